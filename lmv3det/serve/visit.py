"""A request under way: its place, its folder, its time, and whether its client is still there."""

from __future__ import annotations

import asyncio
import contextlib
import math
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from lmv3det.serve.limits import CLOSE, Limits, Refusal

T = TypeVar("T")


class Visit:
    """A request that has a place.

    Args:
        request: whose body has not been read.
        folder: for its files; removed at its end.
        seconds: that it may take.
    """

    def __init__(self, request: Request, folder: Path, seconds: float) -> None:
        self.request, self.folder, self.seconds = request, folder, seconds
        self.deadline = time.monotonic() + seconds
        self.gone: asyncio.Task | None = None
        self.running: deque[asyncio.Task] = deque()

    def watch(self) -> None:
        """Look from now on, when the body has been read, whether the client hangs up."""
        self.gone = asyncio.create_task(_disconnected(self.request))

    async def wait(self, work: Awaitable[T]) -> T:
        """The result of a part of the work, which is cancelled where nobody needs it any more.

        Raises:
            ClientDisconnect: the client hung up.
            Refusal: the time is over.
        """
        task = asyncio.ensure_future(work)
        watched = {task, self.gone} if self.gone else {task}
        try:
            left = max(self.deadline - time.monotonic(), 0)
            await asyncio.wait(watched, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if self.gone and self.gone.done():
                raise ClientDisconnect
            raise Refusal(
                504 if self.gone else 408,
                f"It took longer than {self.seconds:g} s: send fewer pages at a time.",
                None if self.gone else CLOSE,
            )
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(BaseException):
                    await task

    def begin(self, work: Coroutine[Any, Any, T]) -> None:
        """Begin a part of the work, to be waited for later."""
        self.running.append(asyncio.create_task(work))

    async def next(self) -> Any:
        """The result of the part that was begun first; raises as `wait`."""
        return await self.wait(self.running.popleft())

    async def close(self) -> None:
        """Cancel what still runs for it."""
        left = [*self.running, self.gone] if self.gone else list(self.running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class Places:
    """As many requests at a time as the limits say, each with a folder of its own."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.taken = 0
        self.usual_seconds = 1.0
        """That a request takes, of late."""

    @contextlib.asynccontextmanager
    async def take(self, request: Request) -> AsyncIterator[Visit]:
        """A place, until the block ends.

        Raises:
            Refusal: there is none.
        """
        if self.taken >= self.limits.requests:
            wait = str(min(max(math.ceil(self.usual_seconds), 1), 60))
            raise Refusal(
                429,
                f"The server is busy: try again in {wait} s.",
                {**CLOSE, "Retry-After": wait},
            )
        self.taken += 1
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(dir=request.app.state.folder) as folder:
                visit = Visit(request, Path(folder), self.limits.seconds)
                try:
                    yield visit
                finally:
                    await visit.close()
        finally:
            self.taken -= 1
            self.usual_seconds += 0.2 * (time.monotonic() - began - self.usual_seconds)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
