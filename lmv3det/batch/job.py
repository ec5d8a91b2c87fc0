"""A corpus to Parquet files: shard by shard, on either engine, resumable, one job a folder."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lmv3det.batch import ray_engine
from lmv3det.batch.documents import Document, find_documents
from lmv3det.batch.plan import DOCUMENTS, JOB, Plan, load_plan, shard_files
from lmv3det.batch.ray_engine import Cluster
from lmv3det.batch.shard import BatchOptions, Result, Worker
from lmv3det.errors import InputError, explain, install_extra
from lmv3det.files import lock_folder, replacing
from lmv3det.inference.selection import check_count, check_fraction

log = logging.getLogger(__name__)

ENGINES = ("local", "ray")
SHARD_SIZE = 256


@dataclass
class Report:
    """What came of a job.

    Attributes:
        pages: rows written by this run.
        failed: of these, the ones with an error.
        skipped: rows that were there before.
        seconds: of this run.
        lost: a line for each document, folder or part of a tar file that is there and cannot be
            reached; its row says so too.
    """

    pages: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    lost: list[str] = field(default_factory=list)


def run_batch(
    sources: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    options: BatchOptions | None = None,
    *,
    engine: str = "local",
    cluster: Cluster | None = None,
    shard_size: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Report:
    """Find the regions of a corpus and write them as `pages-000000.parquet`, … into a folder.

    The sorted list of documents is cut into shards when the job begins. A shard's file is written
    whole when its pages are done, and its rows do not depend on the engine or the number of
    workers.

    Args:
        sources: see `find_documents`.
        out: folder to write to.
        options: how pages become rows.
        engine: `local`, a loop in this process, or `ray`.
        cluster: for `ray`.
        shard_size: documents a shard; None: 256, or that of the job that goes on.
        resume: go on with a job that was stopped; without one, begin.
        overwrite: drop the job that the folder has.

    Raises:
        InputError: sources, options, a checkpoint or a cluster that cannot be used; a folder that
            another job writes to, or that has another job.
        OSError: a file cannot be written.
    """
    options = options or BatchOptions()
    if engine not in ENGINES:
        raise InputError(f"--engine {engine}: is none of {', '.join(ENGINES)}")
    if shard_size is not None:
        check_count(shard_size, "shard_size")
    check_fraction(options.document_score, "document_score")
    _check_pyarrow()
    out = Path(out)
    with lock_folder(out, "another job"):
        if overwrite:
            _remove_job(out)
        elif not resume and ((out / JOB).exists() or shard_files(out)):
            raise InputError(
                f"{out}: holds a job already; --resume goes on with it, --overwrite starts again"
            )
        settings = {
            **options.settings(),
            "sources": [os.fspath(source) for source in sources],
        }
        plan = load_plan(out, settings, shard_size)
        if plan is None:
            documents = find_documents(settings["sources"])
            plan = Plan(out, documents, shard_size or SHARD_SIZE)
            plan.save(settings)
        return _work(plan, options, engine, cluster or Cluster())


def read_results(out: str | os.PathLike) -> Any:
    """The rows of a job as a `pyarrow.dataset.Dataset`, those of finished shards if it still runs.

    Raises:
        InputError: the folder has none.
    """
    import pyarrow.dataset

    files = [path for _, path in shard_files(Path(out))] if Path(out).is_dir() else []
    if not files:
        raise InputError(f"{out}: no pages-*.parquet in it; give the --out of `lmv3det batch`")
    for path in files:
        _count_rows(path)
    return pyarrow.dataset.dataset([str(path) for path in files])


def _count_rows(path: Path) -> int:
    """Rows of a Parquet file.

    Raises:
        InputError: it is damaged.
    """
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(path).num_rows
    except Exception as error:  # of Arrow, and of whatever it reads the metadata with
        raise InputError(
            f"{path}: damaged ({explain(error)}); remove it, and the job makes it again with "
            "--resume"
        ) from None


def _check_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError(
            f"the package pyarrow is not installed: {install_extra('batch')}"
        ) from None


def _remove_job(out: Path) -> None:
    """Remove the files of the job that a folder has.

    Raises:
        InputError: there are such files, but no job that wrote them.
    """
    if not (out / JOB).exists() and shard_files(out):
        raise InputError(
            f"{shard_files(out)[0][1]}: not of a job in this folder ({JOB} is missing); move it "
            "away, or give another --out"
        )
    for path in (out / JOB, out / DOCUMENTS, *(path for _, path in shard_files(out))):
        if path.is_symlink():
            raise InputError(f"{path}: is a link, which no job writes; move it away")
    for _, path in shard_files(out):
        path.unlink()
    (out / DOCUMENTS).unlink(missing_ok=True)
    (out / JOB).unlink(missing_ok=True)


def _work(plan: Plan, options: BatchOptions, engine: str, cluster: Cluster) -> Report:
    began, finished = time.perf_counter(), plan.finished()
    report = Report(lost=[f"{d.name}: {d.problem}" for d in plan.documents if d.problem])
    report.skipped = sum(_count_rows(plan.path(number)) for number in sorted(finished))
    left = [(number, plan[number]) for number in range(len(plan)) if number not in finished]
    done_before = len(plan.documents) - sum(len(documents) for _, documents in left)
    with tqdm(total=len(plan.documents), initial=done_before, desc="batch", unit="doc") as bar:
        results: Iterator[Result] = iter(())
        if left and engine == "local":
            results = _local(left, options, bar)
        elif left:
            results = _on_ray(left, options, cluster, bar)
        try:
            for result in results:
                with replacing(plan.path(result.number)) as path:
                    path.write_bytes(result.content)
                report.pages += result.pages
                report.failed += result.failed
                rate = report.pages / (time.perf_counter() - began)
                bar.set_postfix_str(f"{rate:.2f} pages/s, {report.failed} failed")
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, OSError, InputError)):
                log.warning(
                    "%d of %d shards are done and kept in %s; the same command with --resume goes "
                    "on", len(plan.finished()), len(plan), plan.folder,
                )  # fmt: skip
            raise
    report.seconds = time.perf_counter() - began
    return report


def _local(
    shards: Sequence[tuple[int, Sequence[Document]]], options: BatchOptions, bar: tqdm
) -> Iterator[Result]:
    worker = Worker(options)
    for number, documents in shards:
        yield worker(number, documents, bar.update)


def _on_ray(
    shards: Sequence[tuple[int, Sequence[Document]]],
    options: BatchOptions,
    cluster: Cluster,
    bar: tqdm,
) -> Iterator[Result]:
    for result in ray_engine.run(shards, options, cluster):
        bar.update(result.documents)
        yield result
