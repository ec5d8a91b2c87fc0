"""Limits on what a page may be: a small file can unpack to more memory than there is.

Each is read from the environment when a file is opened, so that loader processes share it.
"""

from __future__ import annotations

import os

from lmv3det.errors import InputError

MAX_PIXELS = 178_956_970
"""Pixels of a page; set by LMV3DET_MAX_PIXELS."""
MAX_SIDE = 1_000_000
"""Pixels of a side that a page can have: decoders take their time for millions of rows."""
MAX_PAGE_BYTES = 1 << 30
"""Bytes of a page as its decoder holds it; set by LMV3DET_MAX_PAGE_BYTES."""
MAX_PAGES = 10_000
"""Pages of a PDF, frames of a TIFF; set by LMV3DET_MAX_PAGES."""

_BYTES = {"1": 1, "L": 1, "P": 1, "LA": 4, "PA": 4, "La": 4, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""Bytes that Pillow takes for a pixel of a mode, where not 4."""


def max_pixels() -> int:
    """Pixels that a page may have."""
    return _limit("LMV3DET_MAX_PIXELS", MAX_PIXELS)


def max_pages() -> int:
    """Pages that a file may have."""
    return _limit("LMV3DET_MAX_PAGES", MAX_PAGES)


def check_size(path: str | os.PathLike, width: int, height: int, mode: str = "RGB") -> None:
    """Raise `InputError` where a page is too large to be decoded.

    Args:
        path: of the file, for the message.
        width: pixels.
        height: pixels.
        mode: Pillow's mode of the image.
    """
    if max(width, height) > MAX_SIDE:
        raise InputError(
            f"{width}×{height} pixels, and a side may have {MAX_SIDE:,}",
            subject=path,
            fix="cut the page up",
        )
    if width * height > max_pixels():
        raise InputError(
            f"{width}×{height} pixels, more than the {max_pixels():,} allowed",
            subject=path,
            fix="save the page at a lower resolution",
            setting="LMV3DET_MAX_PIXELS",
        )
    decoded = width * height * _BYTES.get(mode, 4)
    most = _limit("LMV3DET_MAX_PAGE_BYTES", MAX_PAGE_BYTES)
    if decoded > most:
        raise InputError(
            f"{width}×{height} pixels take {decoded:,} bytes, more than the {most:,} allowed",
            subject=path,
            fix="save the page at a lower resolution",
            setting="LMV3DET_MAX_PAGE_BYTES",
        )


def check_pages(path: str | os.PathLike, pages: int) -> int:
    """`pages`; raises `InputError` where a file has too many of them."""
    if pages > max_pages():
        raise InputError(
            f"more than the {max_pages():,} pages allowed",
            subject=path,
            fix="split the file",
            setting="LMV3DET_MAX_PAGES",
        )
    return pages


def _limit(name: str, default: int) -> int:
    value = os.environ.get(name)
    if not value:
        return default
    try:
        limit = int(value)
    except ValueError:
        limit = 0
    if limit < 1:
        raise InputError(f"{name} is {value!r}; it must be a whole number of 1 or more")
    return limit
