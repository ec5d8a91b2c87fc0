"""What a fuzz target is, and what came of an input."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from lmv3det.errors import InputError

SECONDS = 10
"""An input that is not done by then hangs."""
RESULT, ERROR, TRACEBACK, HANG, MEMORY, CRASH, CODE = (
    "result", "clean error", "traceback", "hang", "memory", "crash", "code run",
)  # fmt: skip
FINE = (RESULT, ERROR)
_OUTSIDE = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen",
            "socket.connect", "socket.getaddrinfo", "webbrowser.open")  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A reader of files from outside.

    Attributes:
        name: as `--only` names it.
        prepare: makes the valid inputs, and files that all inputs share, in a folder.
        write: makes one input of them in a folder of its own.
        read: what a user's command does with it. Whatever is no `InputError` (or an `OSError` with
            the file's name, which the command line prints as one line too) is a finding.
    """

    name: str
    prepare: Callable[[Path], Any]
    write: Callable[[Random, Any, Path], None]
    read: Callable[[Random, Any, Path], object]


class _Hang(BaseException):
    pass


def try_input(
    target: Target, seeds: Any, seed: int, number: int, folder: Path
) -> tuple[str, str, float]:
    """Make an input and read it.

    Args:
        target: whose input.
        seeds: what its `prepare` gave.
        seed: of the run; with the number it decides the input.
        number: of the input.
        folder: empty; the input's files are left there.

    Returns:
        What came of it, the error's text or its traceback, and the seconds that reading took.
    """
    rng = Random(f"{target.name} {seed} {number}")
    target.write(rng, seeds, folder)
    began = time.perf_counter()
    with _alarm(), _outside() as seen, _silence():
        try:
            target.read(rng, seeds, folder)
            outcome, detail = RESULT, ""
        except InputError as error:
            outcome, detail = ERROR, str(error)
        except _Hang:
            outcome, detail = HANG, traceback.format_exc()
        except MemoryError:
            outcome, detail = MEMORY, traceback.format_exc()
        except OSError as error:
            named = error.filename is not None or str(folder) in str(error)
            outcome = ERROR if named else TRACEBACK
            detail = str(error) if named else traceback.format_exc()
        except KeyboardInterrupt:
            raise
        except BaseException:  # libraries in Rust raise some that are no Exception
            outcome, detail = TRACEBACK, traceback.format_exc()
    seconds = time.perf_counter() - began
    return (CODE, ", ".join(seen), seconds) if seen else (outcome, detail, seconds)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder that goes when the block ends."""
    with tempfile.TemporaryDirectory(prefix="lmv3det-fuzz-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise _Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


_seen: list[str] | None = None
_hooked = False


def _note(event: str, arguments: Any) -> None:
    local = event == "socket.connect" and not isinstance(arguments[1], tuple)  # of a worker pool
    if _seen is not None and event in _OUTSIDE and not local:
        _seen.append(f"{event} {arguments!r:.200}")


@contextlib.contextmanager
def _outside() -> Iterator[list[str]]:
    """Notes processes that are started and hosts that are asked for, by Python's audit events."""
    global _seen, _hooked
    if not _hooked:
        sys.addaudithook(_note)
        _hooked = True
    _seen = []
    try:
        yield _seen
    finally:
        _seen = None
