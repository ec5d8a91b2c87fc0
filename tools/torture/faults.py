"""Folders that fail a job: no room, read-only, inputs that vanish, another job in it."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lmv3det.files import LOCK
from tools.torture.jobs import Job
from tools.torture.kills import check_whole, compare
from tools.torture.process import start, wait

FAULTS = ("full disk", "read-only folder", "vanished inputs", "two at once")
_SECONDS = 120


def try_fault(job: Job, fault: str, inputs: Path, work: Path) -> tuple[str, bool]:
    """Run a job in a place where it cannot be done.

    Returns:
        What it said, and whether that was one clear line (or success) with all files whole.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    own = shutil.copytree(inputs, work / "inputs")
    # The config names the pages of the other folder.
    text = (own / "config.yaml").read_text().replace(str(inputs), str(own))
    (own / "config.yaml").write_text(text)
    place, output = work / "place", work / "output.txt"
    place.mkdir()
    folder = place / "job"
    words = job.words(own, folder)
    mounted, limit = False, None
    try:
        if fault in ("full disk", "read-only folder"):
            mounted = _mount(place, "size=64k" if fault == "full disk" else "ro")
            if not mounted and fault == "read-only folder":
                return "not tried: a file system cannot be mounted here", True
            limit = None if mounted else _no_large_files
        if fault == "two at once":
            return _two(job, words, folder, output)
        act = (
            (lambda: shutil.rmtree(own / "images", ignore_errors=True))
            if fault == "vanished inputs"
            else None
        )
        pid = start(words, folder, output, at=2, act=act or (lambda: None), limit=limit)
        code = wait(pid, _SECONDS)
        return _judge(code, output, folder, job)
    finally:
        if mounted:
            # Lazily: what a job left running may still have a file open there.
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def _mount(place: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True).returncode == 0


def _no_large_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


def _judge(code: int | None, output: Path, folder: Path, job: Job) -> tuple[str, bool]:
    text = output.read_text(encoding="utf-8", errors="replace")
    said = [line for line in text.splitlines() if line.startswith("lmv3det ")]
    last = said[-1] if said else ""
    try:
        check_whole(folder)
        job.done(folder)
    except Exception as error:
        return f"{error}; it said: {last}", False
    if "Traceback" in text:
        return text.strip().splitlines()[-2][:200], False
    if code is None:
        return "hangs", False
    return (last[:250] or "done"), code == 0 or (code == 1 and bool(last))


def _until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)


def _two(job: Job, words: list[str], folder: Path, output: Path) -> tuple[str, bool]:
    """The same command twice, of which the first waits for the second when it has the lock of the
    folder or file: one is refused, or both end as one would."""
    other, go = output.with_name("other.txt"), output.with_name("go")

    def locked() -> bool:
        return any(folder.glob(f"*{LOCK}"))

    def wait_for_go() -> None:
        if locked():
            _until(go.exists, _SECONDS / 2)

    first = start(words, folder, output, at=1, act=wait_for_go)
    _until(locked, 3)  # some have none
    second = start(words, folder, other)
    second_code = wait(second, _SECONDS)
    go.touch()
    codes = [wait(first, _SECONDS), second_code]
    for path, code in ((output, codes[0]), (other, codes[1])):
        said, fine = _judge(code, path, folder, job)
        if not fine:
            return said, False
    if sorted(codes) == [0, 1]:
        path = other if codes[1] else output
        return _judge(1, path, folder, job)[0], True
    if codes != [0, 0]:
        return f"they end with {codes}", False
    compare(job.end(folder), job.end(folder))
    return "both are done", True
