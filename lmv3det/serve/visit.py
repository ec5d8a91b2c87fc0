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
    """A request that has been let in.

    Args:
        request: whose body has not been read.
        folder: for its files; removed at its end.
        seconds: that it may take.
        places: take it from among the uploads when it has arrived.
    """

    def __init__(self, request: Request, folder: Path, seconds: float, places: Places) -> None:
        self.request, self.folder, self.seconds, self.places = request, folder, seconds, places
        self.deadline = time.monotonic() + seconds
        self.gone: asyncio.Task | None = None
        self.running: deque[asyncio.Task] = deque()

    def arrived(self) -> None:
        """The body has been read: take a place, and look whether the client hangs up.

        Raises:
            Refusal: there is no place.
        """
        self.places.arrived(self)
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
    """As many requests at a time as the limits say, each with a folder of its own.

    An upload takes no place until it has arrived, so that slow ones keep nobody out. Uploads have a
    number of their own, of which one client may not have all.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.uploads: dict[Visit, str] = {}
        self.running: dict[Visit, float] = {}
        self.usual_seconds = 1.0
        """That a request takes, of late, once it has arrived."""

    @property
    def taken(self) -> int:
        """Requests that arrive, run or wait."""
        return len(self.uploads) + len(self.running)

    @property
    def oldest_seconds(self) -> float:
        """For which the oldest request has been running; 0 where there is none."""
        began = min(self.running.values(), default=None)
        return 0.0 if began is None else time.monotonic() - began

    @contextlib.asynccontextmanager
    async def take(self, request: Request) -> AsyncIterator[Visit]:
        """Let a request in, until the block ends.

        Raises:
            Refusal: there is no place, or there are too many uploads, of all or of this client.
        """
        client = request.client.host if request.client else ""
        self._check_running()
        uploads = list(self.uploads.values())
        most = self.limits.client_uploads
        if len(uploads) >= self.limits.uploads or uploads.count(client) >= most:
            raise _busy("Too many files are on their way", self.limits.upload_grace)
        with tempfile.TemporaryDirectory(dir=request.app.state.folder) as folder:
            visit = Visit(request, Path(folder), self.limits.seconds, self)
            self.uploads[visit] = client
            try:
                yield visit
            finally:
                try:
                    await visit.close()
                finally:
                    self.uploads.pop(visit, None)
                    began = self.running.pop(visit, None)
                    if began is not None:
                        took = time.monotonic() - began
                        self.usual_seconds += 0.2 * (took - self.usual_seconds)

    def arrived(self, visit: Visit) -> None:
        """Give a request a place, when its body has been read.

        Raises:
            Refusal: there is none.
        """
        self._check_running()
        self.uploads.pop(visit, None)
        self.running[visit] = time.monotonic()

    def _check_running(self) -> None:
        if len(self.running) >= self.limits.requests:
            now = time.monotonic()
            ages = [now - began for began in self.running.values()]
            # One that takes longer than usual may take as long again as it has taken.
            usual = self.usual_seconds
            raise _busy(
                "The server is busy", min(usual - age if age < usual else age for age in ages)
            )


def _busy(why: str, seconds: float) -> Refusal:
    wait = str(min(max(math.ceil(seconds), 1), 60))
    return Refusal(429, f"{why}: try again in {wait} s.", {**CLOSE, "Retry-After": wait})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
