"""What an OCR engine is.

A constructor checks what the engine needs and is cheap; models are loaded with the first page, in
the process that reads it. An engine can be pickled, and is then without its models.
"""

from __future__ import annotations

import importlib.util
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np

from lmv3det.errors import InputError
from lmv3det.text.ocr_json import OcrPage


class Engine(ABC):
    """Reads the text lines of a page.

    Attributes:
        from_pdf: True where `read_pdf` takes the place of `recognize` for pages of PDF files.
        layer_only: True where a page without lines may still show text, which another engine
            could read.
    """

    from_pdf = False
    layer_only = False

    @abstractmethod
    def recognize(self, image: np.ndarray) -> OcrPage:
        """The lines of a page.

        Args:
            image: H×W×3 uint8 RGB.

        Returns:
            L lines, boxes L×4 float64 in pixels of the image. L may be 0.
        """

    def read_pdf(
        self, path: str | os.PathLike, number: int, dpi: int, password: str | None = None
    ) -> OcrPage:
        """The lines of page `number` (from 0) of a PDF, in pixels of the page drawn at `dpi`.

        Raises:
            TypeError: the engine reads images alone (`from_pdf` is False).
        """
        raise TypeError(f"{type(self).__name__} reads images")


def enclosing_lines(
    corners: Iterable[Sequence[Sequence[float]] | np.ndarray],
    words: Iterable[str],
    image_size: tuple[int, int],
) -> OcrPage:
    """A page from lines given by corner points: each gets the box that encloses all its corners.

    Args:
        corners: L sequences of x, y points, pixels; four for a rotated line.
        words: the L strings; lines without any visible character are left out.
        image_size: (height, width); boxes are cut at the page's edge, and left out beyond it.
    """
    height, width = image_size
    boxes, kept = [], []
    for points, word in zip(corners, words, strict=True):
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        x0, y0 = points.min(axis=0).clip(0, (width, height))
        x1, y1 = points.max(axis=0).clip(0, (width, height))
        if word.strip() and x1 > x0 and y1 > y0:
            boxes.append((x0, y0, x1, y1))
            kept.append(word.strip())
    return OcrPage(np.array(boxes, dtype=np.float64).reshape(-1, 4), kept, width, height)


def require_package(package: str, install: str) -> None:
    """Make sure that a package is installed.

    Args:
        package: its name.
        install: the command that installs it.

    Raises:
        InputError: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise InputError(f"OCR needs the package {package}, which is not installed: {install}")


def join_words(words: Sequence[str]) -> str:
    """Words with spaces between, but none between two Chinese (or Japanese) characters."""
    return re.sub(r"(?<=[\u3000-\u9fff\uff00-\uffef]) (?=[\u3000-\u9fff\uff00-\uffef])", "",
                  " ".join(words))  # fmt: skip
