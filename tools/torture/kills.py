"""Jobs that are killed and go on, until they are done."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pyarrow.parquet import read_table
from safetensors import safe_open
from tqdm import tqdm

from lmv3det.checkpoint.file import read_torch
from tools.torture.jobs import Job
from tools.torture.process import kill, kill_self, start, wait

_SECONDS = 120
"""No job takes as long; one that does hangs."""
_LAST_KILL = 4
"""Kills of one job, before it is let go on to its end."""
_PROBLEMS = 5
"""After so many of a job it is let be: something is wrong with it each time."""
_ROUNDS = 10
"""For each kill that is asked for: a job may end before it is killed."""


@dataclass
class Tally:
    """What came of a job's kills.

    Attributes:
        kills: processes that died of them.
        before_change: of these, right before a file operation.
        ends: jobs that went on to their end.
        leftovers: hidden files that were left beside the results of finished jobs.
        problems: what was lost, half-written, or different at the end.
    """

    kills: int = 0
    before_change: int = 0
    ends: int = 0
    leftovers: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reference:
    """The job that nobody killed: how long it took, changes in files, and its end."""

    seconds: float
    changes: int
    end: dict[str, Any]


def reference(job: Job, inputs: Path, work: Path) -> Reference:
    """Run a job to its end.

    Raises:
        RuntimeError: it failed.
    """
    folder, output = work / "reference", work / "reference.txt"
    began = time.monotonic()
    pids = _start(job, inputs, folder, output)
    codes = [wait(pid, _SECONDS) for pid in pids]
    if codes != [0] * len(codes):
        raise RuntimeError(f"{job.name}: ends with {codes}: {_tail(output)}")
    changes = [line for line in _read(output).splitlines() if line.startswith("changes ")]
    return Reference(
        time.monotonic() - began, max(int(line.split()[1]) for line in changes), job.end(folder)
    )


def torture(
    job: Job, inputs: Path, work: Path, kills: int, seed: int, advance: Callable[[], None]
) -> Tally:
    """Kill a job again and again.

    Args:
        job: the job.
        inputs: what it reads.
        work: folder for its folders.
        kills: at least so many, unless it goes wrong again and again.
        seed: of the moments.
        advance: is called after every kill.
    """
    rng, tally = random.Random(f"{job.name} {seed}"), Tally()
    found = reference(job, inputs, work)
    for round_ in range(1, _ROUNDS * kills + 1):
        folder, output = work / f"round_{round_}", work / f"round_{round_}.txt"
        before = len(tally.problems)
        try:
            _round(job, inputs, folder, output, found, rng, tally, advance)
        except Exception as error:
            tally.problems.append(f"round {round_}: {type(error).__name__}: {error}")
        if len(tally.problems) == before:  # else its files stay, to be looked at
            shutil.rmtree(folder, ignore_errors=True)
            output.unlink(missing_ok=True)
        if tally.kills >= kills or len(tally.problems) >= _PROBLEMS:
            break
    if tally.kills < kills:
        tally.problems.append(f"only {tally.kills} kills came of {round_} rounds")
    return tally


def _round(
    job: Job,
    inputs: Path,
    folder: Path,
    output: Path,
    found: Reference,
    rng: random.Random,
    tally: Tally,
    advance: Callable[[], None],
) -> None:
    done: dict[str, Any] = {}
    for _ in range(rng.randint(1, _LAST_KILL)):
        at = rng.randint(1, found.changes) if rng.random() < 0.5 else 0
        victim = rng.randrange(job.processes)
        pids = _start(job, inputs, folder, output, at, victim)
        if at:
            code = wait(pids[victim], _SECONDS)
        else:
            code = wait(pids[victim], rng.uniform(0, found.seconds))
            code = kill(pids[victim]) if code is None else code
        if code is None:
            kill(pids[victim])
            raise AssertionError(f"it hangs: {_tail(output)}")
        for other in (pid for pid in pids if pid != pids[victim]):
            if wait(other, _SECONDS / 2) is None:
                kill(other)
                tally.problems.append(f"a process went on alone for {_SECONDS / 2:.0f} s")
        if code == 0:
            break
        if code != -signal.SIGKILL:
            raise AssertionError(f"it ends with {code}: {_tail(output)}")
        tally.kills += 1
        tally.before_change += at > 0
        advance()
        check_whole(folder)
        done = _not_lost(done, job.done(folder))
        if job.once and folder.exists():
            break
    else:
        codes = [wait(pid, _SECONDS) for pid in _start(job, inputs, folder, output)]
        if codes != [0] * len(codes):
            raise AssertionError(f"it does not go on, {codes}: {_tail(output)}")
    check_whole(folder)
    _not_lost(done, job.done(folder))
    compare(found.end, job.end(folder))
    tally.leftovers |= {path.name for path in leftovers(folder)}
    tally.ends += 1


def _start(
    job: Job, inputs: Path, folder: Path, output: Path, at: int = 0, victim: int = 0
) -> list[int]:
    words = job.words(inputs, folder) + (job.resumed(folder) if folder.exists() else [])
    port = str(_free_port())
    pids = []
    for rank in range(job.processes):
        world = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(job.processes),
                 "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}  # fmt: skip
        environment = world if job.processes > 1 else None
        pids.append(
            start(words, folder, output, at=at if rank == victim else 0, act=kill_self,
                  environment=environment)
        )  # fmt: skip
    return pids


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _not_lost(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    lost = [name for name, value in before.items() if now.get(name) != value]
    if lost:
        raise AssertionError(f"{len(lost)} results are lost or changed, such as {lost[0]:.80}")
    return now


def compare(wanted: dict[str, Any], got: dict[str, Any]) -> None:
    """See that a job's end is that of the job that nobody killed.

    Raises:
        AssertionError: it is not.
    """
    wrong = [name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name)]
    if wrong:
        raise AssertionError(f"{len(wrong)} results differ at the end: {sorted(wrong)[:4]}")


def check_whole(folder: Path) -> None:
    """See that every file which is not hidden can be read.

    Raises:
        AssertionError: one cannot.
    """
    for path in folder.rglob("*") if folder.exists() else ():
        if path.is_dir() or path.name.startswith("."):
            continue
        try:
            _READERS.get(path.suffix, lambda path: None)(path)
        except Exception as error:
            raise AssertionError(f"{path.name} is half-written ({error})") from error


def _read_picture(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def _read_html(path: Path) -> None:
    if "</html>" not in path.read_text(encoding="utf-8"):
        raise ValueError("no end")


def _read_safetensors(path: Path) -> None:
    with safe_open(path, "pt") as file:
        list(file.keys())


def _read_tar(path: Path) -> None:
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            if len(archive.extractfile(member).read()) != member.size:  # type: ignore[union-attr]
                raise ValueError(f"{member.name} is cut off")
    if path.stat().st_size % tarfile.RECORDSIZE:
        raise ValueError("no end")


_READERS: dict[str, Callable[[Path], Any]] = {
    ".json": lambda path: json.loads(path.read_bytes()),
    ".pth": read_torch,
    ".png": _read_picture,
    ".html": _read_html,
    ".safetensors": _read_safetensors,
    ".ts": torch.jit.load,
    ".parquet": lambda path: read_table(path, use_threads=False),
    ".tar": _read_tar,
}


def leftovers(folder: Path) -> list[Path]:
    """Temporary files and locks that nobody removed, in a folder and beside it."""
    around = [path for path in folder.parent.iterdir() if path.name.startswith(".")]
    inside = [path for path in folder.rglob(".*") if path.name not in (".pages", ".lmv3det.lock")]
    return around + inside


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _tail(path: Path) -> str:
    return " / ".join(_read(path).strip().splitlines()[-3:])[-400:]


def ready_to_fork() -> None:
    """One thread a process: those of the parent would be missing in a forked child. And a lock of
    progress bars for each: the one that tqdm makes is shared with the children, and a child that
    is killed while it draws its bar would keep it for ever."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    tqdm.monitor_interval = 0
    tqdm.set_lock(threading.RLock())
