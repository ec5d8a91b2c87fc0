"""SIGTERM and Ctrl-C ask a run to stop after a step, not in the middle of one."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from torch.utils.data import DataLoader

_PAUSE = 2.0
"""A second Ctrl-C counts from this many seconds on: `torchrun` passes the first one on."""


class StopSignals:
    """Notes the first SIGTERM or SIGINT while it is entered, in `received` (0 before).

    A second Ctrl-C, two seconds later or more, raises KeyboardInterrupt at once. Outside the main
    thread, where Python allows no handlers, nothing is noted.
    """

    def __init__(self) -> None:
        self.received = 0
        self._when = 0.0
        self._before: dict[int, Any] = {}
        self._over = multiprocessing.RawValue("b", 0)  # shared with the loaders' processes

    def __enter__(self) -> StopSignals:
        self._over.value = 0
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        self._over.value = 1
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT and time.monotonic() - self._when > _PAUSE:
            raise KeyboardInterrupt
        if not self.received:
            self.received, self._when = int(number), time.monotonic()

    def shield(self, loader: DataLoader) -> None:
        """Let the processes of a loader, which has not started them yet, live on through SIGTERM
        and Ctrl-C: a terminal or a scheduler sends them to all processes of a run, and the step
        that is under way needs its batches. When this is left, SIGTERM ends them again."""
        loader.worker_init_fn = functools.partial(
            _shielded_start, loader.worker_init_fn, self._over
        )


def _shielded_start(start: Callable[[int], None] | None, over: Any, worker: int) -> None:
    def on_term(number: int, frame: FrameType | None) -> None:
        if over.value:
            os._exit(0)

    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if start is not None:
        start(worker)
