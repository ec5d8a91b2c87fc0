"""Commands in forked processes, which have torch loaded already, and their death by SIGKILL."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmv3det.cli import main

_CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate",
            "shutil.rmtree", "shutil.copyfile")  # fmt: skip
UNCAUGHT = 70
"""Exit code of a command that ended in a traceback."""


class FileOperations:
    """Counts the changes that this process makes below a folder (Python's audit events), and does
    something right before one of them and those that follow.

    Args:
        folder: that changes are counted in.
        at: number of the change, from 1.
        act: what to do there.
    """

    def __init__(self, folder: Path, at: int = 0, act: Any = None) -> None:
        self.folder, self.at, self.act, self.count = str(folder), at, act, 0
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if event not in _CHANGES or (event == "open" and not _for_writing(arguments)):
            return
        if self.folder not in str(arguments[0]):
            return
        self.count += 1
        if self.at and self.count >= self.at:
            self.act()


def _for_writing(arguments: tuple) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR))


def start(
    words: Sequence[str],
    folder: Path,
    output: Path,
    *,
    at: int = 0,
    act: Any = None,
    environment: Mapping[str, str] | None = None,
    limit: Any = None,
) -> int:
    """Run a command of `lmv3det` in a process of its own.

    Args:
        words: of its command line.
        folder: that it writes to; changes in it and beside it are counted.
        output: gets what the command prints, and last a line with the number of changes.
        at: number of the change before which `act` is called; 0: never.
        act: such as to kill the process.
        environment: variables for it.
        limit: is called in the process first.

    Returns:
        The process's id.
    """
    pid = os.fork()
    if pid:
        return pid
    code = UNCAUGHT
    try:
        os.setsid()
        stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        os.environ.update(environment or {})
        if limit is not None:
            limit()
        operations = FileOperations(folder.parent, at, act)
        code = main(words)
        print(f"\nchanges {operations.count}", flush=True)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def kill_self() -> None:
    """What `kill -9` does, now."""
    os.kill(os.getpid(), signal.SIGKILL)


def wait(pid: int, seconds: float) -> int | None:
    """The exit code of a process (-9: killed); None where it is not done by then."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.002)


def kill(pid: int) -> int:
    """`kill -9`, and the exit code."""
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
