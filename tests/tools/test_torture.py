"""The harness that kills jobs: a few kills, and that it sees what it is there to see."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tools.torture import kills
from tools.torture.jobs import Job
from tools.torture.kills import check_whole, compare, leftovers
from tools.torture.process import FileOperations

ROOT = Path(__file__).parents[2]


def run(*words: str, limit: float = 300) -> str:
    command = [sys.executable, "-m", "tools.torture", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PROBLEM" not in done.stdout
    return done.stdout


def test_killed_jobs_go_on(tmp_path):
    said = run("--kills", "2", "--only", "ocr", "convert", "--work", str(tmp_path / "work"))
    counts = {line.split(" | ")[0]: line.split(" | ")[1:] for line in said.splitlines()}
    for name in ("ocr", "convert"):
        kills, _, ends, problems, left = map(int, (n.strip(" |") for n in counts[f"| {name}"]))
        assert kills >= 2 and ends >= 1 and problems == 0 and left == 0
    assert "ocr, two at once: lmv3det ocr: " in said and "another job writes to it already" in said


KILLED_IN_ITS_BAR = """
import os, signal
from tqdm import tqdm
from tools.torture.kills import ready_to_fork

ready_to_fork()
tqdm.get_lock()
if not os.fork():
    tqdm.get_lock().acquire()
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
for _ in tqdm(range(3)):
    tqdm.get_lock().acquire()
"""


def test_a_child_that_is_killed_in_its_progress_bar_holds_up_nobody():
    """Failed before: the harness, and each job after this one, waited for ever."""
    subprocess.run([sys.executable, "-c", KILLED_IN_ITS_BAR], cwd=ROOT, check=True, timeout=60)


@pytest.mark.slow
def test_all_jobs_are_killed_and_go_on():
    pytest.importorskip("typst")
    run("--kills", "4", "--seed", "1", limit=3000)


@pytest.mark.parametrize(
    ("goes_wrong", "says"),
    [(True, "round 5: ValueError: each time"), (False, "only 0 kills came of 30 rounds")],
)
def test_a_job_that_is_never_killed_is_let_be(goes_wrong, says, tmp_path, monkeypatch):
    """Failed before: the harness went on without end."""

    def run_once(*_):
        if goes_wrong:
            raise ValueError("each time")

    monkeypatch.setattr(kills, "reference", lambda *_: None)
    monkeypatch.setattr(kills, "_round", run_once)
    job = Job("none", *[lambda *_: []] * 4)
    tally = kills.torture(job, tmp_path, tmp_path, 3, 0, lambda: None)
    assert says in tally.problems and tally.problems[-1].startswith("only 0 kills")


@pytest.mark.parametrize(
    "name", ["a.json", "b.pth", "c.png", "d.html", "e.safetensors", "f.ts", "g.parquet", "h.tar"]
)
def test_half_a_file_is_seen(name, tmp_path):
    (tmp_path / ".123.png").write_bytes(b"hidden")
    (tmp_path / "metrics.jsonl").write_bytes(b'{"half')
    check_whole(tmp_path)
    (tmp_path / name).write_bytes(b"PK half")
    with pytest.raises(AssertionError, match=f"{name} is half-written"):
        check_whole(tmp_path)


def test_whole_files_are_let_pass(tmp_path):
    from PIL import Image
    from safetensors.torch import save_file

    (tmp_path / "a.json").write_text(json.dumps([1]))
    torch.save({"a": torch.zeros(2)}, tmp_path / "b.pth")
    Image.new("L", (4, 5)).save(tmp_path / "c.png")
    (tmp_path / "d.html").write_text("<html></html>")
    save_file({"a": torch.zeros(2)}, tmp_path / "e.safetensors")
    check_whole(tmp_path)
    check_whole(tmp_path / "not there")


def test_an_end_that_differs_is_seen():
    compare({"a": b"1"}, {"a": b"1"})
    for got in ({"a": b"2"}, {}, {"a": b"1", "b": b""}):
        with pytest.raises(AssertionError, match="1 results differ"):
            compare({"a": b"1"}, got)


def test_leftovers_are_seen(tmp_path):
    (tmp_path / "out/.pages").mkdir(parents=True)
    assert leftovers(tmp_path / "out") == []
    (tmp_path / ".12.model").mkdir()
    (tmp_path / "out/.pages/.page.part").write_text("")
    assert {path.name for path in leftovers(tmp_path / "out")} == {".12.model", ".page.part"}


def test_changes_below_a_folder_are_counted_and_one_is_met(tmp_path):
    met: list[int] = []
    (tmp_path / "job").mkdir()
    operations = FileOperations(tmp_path / "job", 3, lambda: met.append(operations.count))
    path = tmp_path / "job/a.txt"
    path.write_text("1")  # 1
    path.read_text()
    (tmp_path / "b.txt").write_text("elsewhere")
    path.rename(tmp_path / "job/b.txt")  # 2
    assert not met
    (tmp_path / "job/b.txt").unlink()  # 3
    (tmp_path / "job/c").mkdir()  # 4
    assert (operations.count, met) == (4, [3, 4])
    operations.folder = "nowhere"  # the hook of an audit stays
