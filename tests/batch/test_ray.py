"""Corpora on Ray: rows of the local engine, workers that die, what ends a job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from batch_helpers import draw_page, rows

pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

from lmv3det.batch import ray_engine
from lmv3det.batch.documents import Document
from lmv3det.batch.job import run_batch
from lmv3det.batch.ray_engine import Cluster
from lmv3det.batch.shard import BatchOptions, Result
from lmv3det.errors import InputError
from lmv3det.inference.options import DetectorOptions

ROOT = Path(__file__).resolve().parents[2]


def kill_a_worker() -> int:
    """Kill -9 a process of Ray's that holds a detector; its id."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"ray::MapWorker" in title:
            os.kill(int(folder.name), signal.SIGKILL)
            return int(folder.name)
    return 0


def start_job(folder: Path, out: Path, ckpt: Any, *paths: Path) -> subprocess.Popen[str]:
    """`lmv3det batch` on two workers of Ray; `paths` come first in their PYTHONPATH."""
    words = [sys.executable, "-m", "lmv3det", "batch", folder, "--out", out, "--ckpt", ckpt]
    words += ["--engine", "ray", "--workers", "2", "--shard-size", "4"]
    return subprocess.Popen(
        list(map(str, words)),
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, [*paths, ROOT])),
            "RAY_ADDRESS": "local",
        },
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What a job that ends well says; one that does not end is killed."""
    try:
        said, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0
    return said


@pytest.mark.slow
def test_ray_gives_what_local_gives_also_when_a_worker_is_killed(options, tmp_path):
    pytest.importorskip("ray")
    folder = tmp_path / "pages"
    for number in range(120):
        draw_page(folder / f"page{number}.png", number)
    (folder / "broken.png").write_bytes(b"no image at all")
    run_batch([folder], tmp_path / "local", options, shard_size=4)
    process = start_job(folder, tmp_path / "ray", options.detector.ckpt)
    while process.poll() is None and not list((tmp_path / "ray").glob("*.parquet")):
        time.sleep(0.05)
    assert kill_a_worker(), "no worker was there to kill"
    said = finish(process)
    assert "121 pages in" in said and "1 failed" in said
    assert rows(tmp_path / "ray") == rows(tmp_path / "local")


def test_why_a_worker_of_ray_ends_the_job():
    """What Ray is given back: a line of the worker's, or the trace of a fault of the program."""
    actor = object.__new__(ray_engine._Actor)
    batch = {"number": [3], "documents": [json.dumps([[("a.png", "a.png", 0, -1)], [0]])]}
    for error in (InputError("no room"), OSError("no room"), TypeError("a bug")):

        def failing(number, documents, fatal, error=error):
            assert (number, documents[0].name, fatal) == (3, "a.png", [0])
            raise error

        actor.worker = failing
        row = {key: value for key, (value,) in actor(batch).items()}
        assert row["number"] == 3 and row["content"] == b""
        if isinstance(error, TypeError):
            assert row["error"] == "" and row["trace"].endswith("TypeError: a bug\n")
        else:
            assert row["error"].endswith(": no room") and row["trace"] == ""


def test_documents_that_workers_die_at_are_looked_for(monkeypatch):
    documents = [Document(f"{number}.png", f"{number}.png") for number in range(4)]
    asked = []

    def some(shards, options, cluster, workers, fatal=()):
        asked.append((shards, fatal))
        for number, found in shards:
            if not set(found) & deadly - {documents[place] for place in fatal}:
                yield Result(number, b"", len(found), 0, len(found))

    monkeypatch.setattr(ray_engine, "_map", some)
    deadly = {documents[1], documents[3]}
    result = ray_engine._try_again(7, documents, BatchOptions(), Cluster(), 2)
    assert (result.number, result.documents) == (7, 4) and len(asked) == 2
    assert asked[-1] == ([(7, documents)], [1, 3])

    def none(shards, options, cluster, workers, fatal=()):
        yield from (Result(n, b"", 1, 0, 1) for n, found in shards if len(found) == 1)

    monkeypatch.setattr(ray_engine, "_map", none)
    with pytest.raises(InputError, match=r"^0\.png: a worker dies at the shard of 4 documents"):
        ray_engine._try_again(7, documents, BatchOptions(), Cluster(), 2)


ABORTS = """
import os
from PIL import Image
usual = Image.open
Image.open = lambda file, **how: os.abort() if "fatal" in str(file) else usual(file, **how)
"""


@pytest.mark.slow
def test_a_page_that_ends_its_process_of_ray_each_time_is_a_row(options, tmp_path):
    pytest.importorskip("ray")
    folder = tmp_path / "pages"
    for number in range(10):
        draw_page(folder / f"page{number}.png", number)
    run_batch([folder], tmp_path / "local", options, shard_size=4)
    draw_page(folder / "fatal.png")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ABORTS)
    said = finish(start_job(folder, tmp_path / "ray", options.detector.ckpt, tmp_path / "site"))
    assert "11 pages in" in said and "1 failed" in said
    first, *others = rows(tmp_path / "ray")
    assert first["document"] == f"{folder}/fatal.png" and first["page"] is None
    assert first["error"].startswith(f"{folder}/fatal.png: the process that worked on it died")
    assert others == rows(tmp_path / "local")


@pytest.mark.slow
def test_what_a_worker_of_ray_cannot_do_is_one_line(corpus, tmp_path):
    pytest.importorskip("ray")
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"bad\.pth"):
        run_batch([corpus], tmp_path / "out", BatchOptions(DetectorOptions(str(bad))), engine="ray")
    with pytest.raises(InputError, match="no room for a worker of 999 CPUs"):
        run_batch(
            [corpus],
            tmp_path / "o",
            BatchOptions(),
            engine="ray",
            cluster=Cluster("local", cpus=999),
        )
