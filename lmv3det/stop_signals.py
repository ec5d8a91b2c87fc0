"""SIGTERM and Ctrl-C ask a run to stop at the next step, not in the middle of one."""

from __future__ import annotations

import functools
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from torch.utils.data import DataLoader

_SECOND = 2.0
"""A second Ctrl-C counts from this many seconds on: `torchrun` passes the first one on."""


class StopSignals:
    """Notes the first SIGTERM or SIGINT while it is entered, in `received` (0 before).

    A second Ctrl-C, two seconds later or more, raises KeyboardInterrupt at once. Outside the main
    thread, where Python allows no handlers, nothing is noted.
    """

    def __init__(self) -> None:
        self.received = 0
        self._when = 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT and time.monotonic() - self._when > _SECOND:
            raise KeyboardInterrupt
        if not self.received:
            self.received, self._when = int(number), time.monotonic()


def shield_loader(loader: DataLoader) -> None:
    """Let the processes of a loader, not yet started, live on through SIGTERM and Ctrl-C, which
    a terminal or a scheduler sends to all processes of a run: their parent ends them."""
    loader.worker_init_fn = functools.partial(_shielded_start, loader.worker_init_fn)


def _shielded_start(start: Callable[[int], None] | None, worker: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if start is not None:
        start(worker)
