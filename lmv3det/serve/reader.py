"""Files of strangers are opened in processes of their own.

A file can be made to hang its decoder, to crash it, or to unpack to more memory than there is; then
its process is ended, and the server goes on with a new one. `pebble` keeps these processes.
"""

from __future__ import annotations

import asyncio
import base64
import io
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image
from pydantic import ValidationError

from lmv3det.data.images import count_pages
from lmv3det.errors import InputError
from lmv3det.inference.options import PredictOptions
from lmv3det.inference.samples import read_samples
from lmv3det.inference.text_source import PageText, page_text
from lmv3det.serve.limits import Limits, Refusal
from lmv3det.serve.output import Output, write_format
from lmv3det.serve.schema import Shown, first_error
from lmv3det.structures import Sample

if TYPE_CHECKING:
    from concurrent.futures import Future

    from lmv3det.config import Config
    from lmv3det.inference.entries import PageEntry

WRITTEN = 50
"""Documents that a process writes before a new one takes its place."""
MAX_LINES = 20_000
"""Text lines of a page; what has more is no page, and would hold the model."""
PICTURE_SIDE = 1600
"""Pixels of the longer side of a page's picture."""
TASKS = 500
"""Pages that a process reads before a new one takes its place, which gives memory back."""


@dataclass
class Reading:
    """How pages are read.

    Attributes:
        options: resolution of PDF pages; `ocr` as `choose_text` gives it.
        config: of the model.
        uses_text: whether the model reads text.
    """

    options: PredictOptions
    config: Config
    uses_text: bool

    def text(self, password: str | None = None) -> PageText | None:
        """What gives the text of pages, of a file with a password."""
        if not self.uses_text:
            return None
        return page_text(self.options.ocr, self.config, replace(self.options, password=password))


class Readers:
    """Processes that read files, within the limits.

    Args:
        reading: how pages are read.
        limits: of files, of the processes' memory and of their time.
    """

    def __init__(self, reading: Reading, limits: Limits) -> None:
        from pebble import ProcessPool

        if "forkserver" in multiprocessing.get_all_start_methods():
            # What a reader imports is imported once, so that a new one starts at once.
            context: Any = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__])
        else:
            context = multiprocessing.get_context("spawn")
        self.limits = limits
        self.pool = ProcessPool(
            limits.readers, max_tasks=TASKS, context=context,
            initializer=_begin, initargs=(reading, limits),
        )  # fmt: skip
        # Formats are written apart, so that they and the reading do not wait for each other.
        self.writers = ProcessPool(
            limits.readers, max_tasks=WRITTEN, context=context,
            initializer=_bound, initargs=(limits,),
        )  # fmt: skip

    def start(self) -> None:
        """Start the processes, so that the first request does not wait for them."""
        self.pool.schedule(_ready).result()

    def close(self) -> None:
        """End the processes."""
        for pool in (self.pool, self.writers):
            pool.stop()
            pool.join()

    async def count(self, path: Path, password: str | None) -> int:
        """Pages of a file.

        Raises:
            Refusal: it cannot be opened, or has too many.
        """
        return await self._call(_count, path, password)

    async def page(
        self, path: Path, number: int, pages: int, password: str | None, picture: bool
    ) -> tuple[Sample, str]:
        """A page with its text, and its picture as a `data:` URL where one is asked for.

        Raises:
            Refusal: it cannot be read.
        """
        return await self._call(_page, path, number, pages, password, picture)

    async def shown(self, path: Path, names: list[str], name: str, out: Path) -> tuple[str, Output]:
        """Pages that a client sends, in another format: (name of their file, the output).

        Raises:
            Refusal: the body is not what it should be.
        """
        return await self._call(_shown, path, names, name, out, pool=self.writers)

    async def write(
        self, name: str, pages: list[PageEntry], names: list[str], out: Path, archive: bool
    ) -> Output:
        """Pages in a format, as `write_format` gives them.

        Raises:
            Refusal: they cannot be written in time.
        """
        return await self._call(_write, out, name, pages, names, archive, pool=self.writers)

    async def _call(self, function: Any, *args: Any, pool: Any = None) -> Any:
        """The result of a function in a process. Cancelled, it is ended with its process."""
        from pebble import ProcessExpired

        pool = self.pool if pool is None else pool
        future: Future = pool.schedule(function, args=args, timeout=self.limits.page_seconds)
        try:
            return await asyncio.wrap_future(future)
        except Refusal:
            raise
        except InputError as error:
            raise Refusal(422, _sentence(error, args[0])) from error
        except (TimeoutError, asyncio.TimeoutError) as error:
            work = "read" if pool is self.pool else "write"
            sentence = f"it takes longer than {self.limits.page_seconds:g} s to {work}"
            raise Refusal(422, sentence) from error
        except (ProcessExpired, MemoryError) as error:
            raise Refusal(422, "it cannot be read: damaged, or made to use up memory") from error


def _asked_of_clients(setting: str) -> str:
    """What a client can do about a setting."""
    return "give its password" if setting == "password" else ""


def _sentence(error: InputError, path: Path) -> str:
    """What an error says, without the file's path here and without settings of this computer."""
    text = " ".join(
        error.sentence(subject=error.subject != str(path), named=_asked_of_clients).split()
    )
    text = text.replace(f"{path}: ", "", 1).replace(str(path), "the file")  # of a library
    # Whether it is a PDF was told by its content; the client may have meant either.
    text = text.replace("not an image that can be read", "it is neither a PDF nor a readable image")
    return f"it {text}".replace(".)", ")") if text.startswith("cannot") else text


# What follows runs in a reader.

_reading: Reading
_text: PageText | None


def _begin(reading: Reading, limits: Limits) -> None:
    global _reading, _text
    _bound(limits)
    os.environ["LMV3DET_MAX_PIXELS"] = str(limits.pixels)
    os.environ["LMV3DET_MAX_PAGES"] = str(limits.pages)
    _reading, _text = reading, reading.text()


def _bound(limits: Limits) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's: what runs is finished
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limits.reader_bytes, limits.reader_bytes))


def _ready() -> None:
    pass


def _count(path: Path, password: str | None) -> int:
    return count_pages(path, password)


def _page(
    path: Path, number: int, pages: int, password: str | None, picture: bool
) -> tuple[Sample, str]:
    options = replace(_reading.options, password=password)
    text = _text if password is None else _reading.text(password)
    (sample,) = read_samples(path, text, options, pages=pages, numbers=[number])
    if len(sample.lines) > MAX_LINES:
        raise InputError(
            f"has {len(sample.lines)} lines of text; at most {MAX_LINES}", subject=path
        )
    return sample, _data_url(sample.image) if picture else ""


def _shown(path: Path, names: list[str], name: str, out: Path) -> tuple[str, Output]:
    try:
        shown = Shown.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(first_error(error.errors())) from None
    dumped = [page.model_dump(exclude_none=True) for page in shown.pages]
    pages = cast("list[PageEntry]", dumped)
    seen = (region["category"] for page in pages for region in page["detections"])
    names = list(dict.fromkeys([*names, *seen]))
    return shown.file, write_format(name, pages, names, out, False)


def _write(out: Path, name: str, pages: list[PageEntry], names: list[str], archive: bool) -> Output:
    return write_format(name, pages, names, out, archive)


def _data_url(image: np.ndarray) -> str:
    small = Image.fromarray(image)
    small.thumbnail((PICTURE_SIDE, PICTURE_SIDE), reducing_gap=2)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
