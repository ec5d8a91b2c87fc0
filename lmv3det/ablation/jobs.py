"""Carrying out the runs of an ablation: one after another here, or several in processes."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from lmv3det.ablation import runs as ablation_runs
from lmv3det.ablation.runs import Run
from lmv3det.engine.signals import StopSignals
from lmv3det.errors import InputError

log = logging.getLogger(__name__)

LOG = "log.txt"


def execute(runs: Sequence[Run], jobs: int) -> tuple[int, list[str]]:
    """Carry out runs. A run that fails does not stop the others.

    Args:
        runs: those that are not finished.
        jobs: how many at a time; with one they run in this process, else each in a process of
            its own with one thread, on a GPU of its own where there are several.

    Returns:
        0, or 128 + the number of the signal that ended the work early; and what failed.
    """
    if jobs == 1 or len(runs) < 2:
        return _one_by_one(runs)
    return _in_processes(runs, min(jobs, len(runs)))


def _one_by_one(runs: Sequence[Run]) -> tuple[int, list[str]]:
    from lmv3det.engine.trainer import Interrupted

    failed = []
    for number, run in enumerate(runs, start=1):
        log.info("run %d of %d: %s", number, len(runs), run.name)
        try:
            ablation_runs.train_run(run)
        except InputError as error:
            log.error("%s failed: %s", run.name, error)
            failed.append(f"{run.name} ({error})")
        except Interrupted as stop:
            log.warning(
                "%s stopped after step %d and is kept: the same command goes on",
                run.name,
                stop.step,
            )
            return 128 + stop.signum, failed
    return 0, failed


def _in_processes(runs: Sequence[Run], jobs: int) -> tuple[int, list[str]]:
    from tqdm import tqdm

    waiting = list(reversed(runs))
    active: dict[int, tuple[Run, BaseProcess]] = {}  # by slot
    failed: list[str] = []
    asked: set[int | None] = set()
    gpus = _gpus(runs[0].config.device)
    bar = tqdm(total=len(runs), desc="ablation", unit="run")
    with bar, StopSignals() as signals:
        try:
            while active or (waiting and not signals.received):
                while waiting and len(active) < jobs and not signals.received:
                    slot = min(set(range(jobs)) - active.keys())
                    run = waiting.pop()
                    if gpus > 1:
                        run.config.device = f"cuda:{slot % gpus}"
                    active[slot] = (run, _start(run))
                wait([process.sentinel for _, process in active.values()], timeout=0.5)
                if signals.received:
                    for _, process in active.values():
                        if process.pid not in asked:  # once: it saves itself and ends
                            asked.add(process.pid)
                            process.terminate()
                for slot, (run, process) in list(active.items()):
                    if process.exitcode is None:
                        continue
                    del active[slot]
                    bar.update()
                    if process.exitcode and not signals.received:
                        failed.append(f"{run.name} ({_last_line(run.folder / LOG)})")
                        log.error("%s failed, see %s", run.name, run.folder / LOG)
        finally:
            for _, process in active.values():
                process.terminate()
            for _, process in active.values():
                process.join()
    return (128 + signals.received if signals.received else 0), failed


def _gpus(device: str) -> int:
    import torch

    return torch.cuda.device_count() if device in ("auto", "cuda") else 0


def _start(run: Run) -> BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(run,), name=run.name)
    with _environment({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}):
        process.start()
    return process


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _work(run: Run) -> None:
    """A run in a process of its own; what it prints goes to its log file."""
    run.folder.mkdir(parents=True, exist_ok=True)
    with open(run.folder / LOG, "a", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING, force=True)
    logging.getLogger("lmv3det").setLevel(logging.INFO)
    import torch

    torch.set_num_threads(1)
    code, failed = _one_by_one([run])
    sys.exit(1 if failed else code)


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return last[-300:]
