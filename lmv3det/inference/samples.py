"""Samples of whatever people have as pages."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lmv3det.data.images import count_pages, find_pages, iter_pages, to_array
from lmv3det.errors import InputError
from lmv3det.inference.options import PredictOptions
from lmv3det.inference.text_source import PageText
from lmv3det.structures import Page, Sample

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def page_samples(
    pages: Any, text: PageText | None, options: PredictOptions | None = None
) -> Iterator[Sample]:
    """Samples of pages, one at a time.

    Args:
        pages: a path, a PIL image, an array H×W(×3) or a tensor 3×H×W (RGB; uint8, or float from
            0 to 1), or a list, tuple or iterator of these. A folder stands for its images and PDF
            files, a PDF for its pages.
        text: gives the text lines; None: no text.
        options: its `dpi` and `password` are those of PDF pages; None: the defaults.

    Raises:
        InputError: a page or its text that cannot be read; a URL; something that is no page.
    """
    several = isinstance(pages, (list, tuple)) or (
        isinstance(pages, Iterator) and not hasattr(pages, "read")
    )
    for item in pages if several else [pages]:
        if isinstance(item, (str, os.PathLike)):
            if _URL.match(os.fspath(item)):
                raise InputError(
                    f"{item}: a URL; nothing is fetched from the network: download it, and give "
                    "the file"
                )
            for path in find_pages([item]):
                yield from read_samples(path, text, options)
        elif hasattr(item, "read"):
            raise InputError(
                f"an open file ({getattr(item, 'name', type(item).__name__)}) is no page; give its "
                "path"
            )
        else:
            image = to_array(item)
            page = Page(str(getattr(item, "filename", "")), image.shape[1], image.shape[0])
            yield make_sample(image, page, 1, text)


def read_samples(
    path: str | os.PathLike,
    text: PageText | None,
    options: PredictOptions | None = None,
    *,
    pages: int | None = None,
    numbers: Sequence[int] | None = None,
    image_id: int = -1,
    failed: Callable[[int, Exception], None] | None = None,
) -> Iterator[Sample]:
    """The pages of an image or PDF, one at a time.

    Args:
        path: of the file.
        text: gives the text lines; None: no text.
        options: its `dpi` and `password` are those of PDF pages; None: the defaults.
        pages: that the file has; None: they are counted.
        numbers: of the pages that are read, from 0; None: all.
        image_id: of the samples.
        failed: callback for a page (from 0) that cannot be read, or whose text cannot; it is left
            out. None raises there.

    Raises:
        InputError: the file cannot be opened.
    """
    chosen = options or PredictOptions()
    count = count_pages(path, chosen.password) if pages is None else pages
    read = iter_pages(path, chosen.dpi, numbers=numbers, failed=failed, password=chosen.password)
    for number, image in read:
        height, width = image.shape[:2]
        page = Page(os.fspath(path), width, height, image_id, number)
        try:
            sample = make_sample(image, page, count, text)
        except Exception as error:
            if failed is None:
                raise
            failed(number, error)
        else:
            yield sample


def make_sample(image: np.ndarray, page: Page, pages: int, text: PageText | None) -> Sample:
    """A page to predict on.

    Args:
        image: H×W×3 uint8 RGB.
        page: its origin and size.
        pages: how many its file has.
        text: gives the text lines, whose boxes are fitted to the image; None: no text.

    Raises:
        InputError: the text cannot be read.
    """
    sample = Sample(image, page)
    if text is not None:
        lines = text(image, page, pages)
        sample.lines = list(lines.lines)
        if len(lines.boxes):
            if not (lines.width > 0 and lines.height > 0):
                raise InputError(
                    f"{page.file or 'page'}: its text is of a page of {lines.width}×{lines.height} "
                    "pixels; give OcrPage the page's width and height"
                )
            scale = np.array([page.width / lines.width, page.height / lines.height])
            sample.line_boxes = lines.boxes * np.tile(scale, 2)
    return sample


def batches_of(
    samples: Iterable[tuple[Sample, Sample]], batch_size: int, step: int, max_bytes: int
) -> Iterator[list[tuple[Sample, Sample]]]:
    """Neighbouring pages whose padded inputs have the same size, as batches.

    A page's detections then do not depend on the pages that it is batched with.

    Args:
        samples: pages, each with its resized copy.
        batch_size: pages a batch at most.
        step: sides are padded to multiples of it.
        max_bytes: of the pages that are held; a larger page is a batch of its own.
    """
    waiting: list[tuple[Sample, Sample]] = []
    shape: tuple[int, ...] = ()
    held = 0
    for sample, resized in samples:
        padded = tuple(-(-side // step) for side in resized.image.shape[:2])
        size = sample.image.nbytes + resized.image.nbytes
        if waiting and (padded != shape or held + size > max_bytes):
            yield waiting
            waiting, held = [], 0
        shape = padded
        held += size
        waiting.append((sample, resized))
        if len(waiting) == batch_size:
            yield waiting
            waiting, held = [], 0
    if waiting:
        yield waiting
