"""Page images as H×W×3 uint8 RGB arrays, from image files, PDF, PIL, numpy and torch."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lmv3det.data.formats import FORMATS, IMAGE_SUFFIXES, format_of, unread_format
from lmv3det.data.limits import check_pages, check_size, max_pages, max_pixels
from lmv3det.data.pdf import HEAD, PDFIUM, is_pdf, missing_fonts, open_pdf
from lmv3det.data.pixels import SWAPPED, from_array, orientation, to_rgb
from lmv3det.errors import InputError

log = logging.getLogger(__name__)

LISTED = 4
"""Files that are passed over are named up to this number."""
PDF_DPI = 144
MISSING = 0.02
"""Fraction of a page's characters without a glyph from which on it is told of."""


def read_image(
    path: str | os.PathLike, *, upright: bool = True, least_side: int | None = None
) -> np.ndarray:
    """Read an image file.

    Args:
        path: one of `FORMATS`, told by its content; of several frames the first is taken.
        upright: turn the page as its EXIF orientation says; False gives the stored raster.
        least_side: decode a JPEG at a half, a quarter or an eighth of its size where its shortest
            side then still has this many pixels; None decodes all.

    Returns:
        H×W×3 uint8 RGB; the sides of a reduced one are rounded up. Transparency is laid over
        white; 16-bit values are divided by 257.

    Raises:
        InputError: the file is missing, empty, not an image, damaged, or too large.
    """
    with _Guard(path), _open_image(path) as image:
        return _decode(image, upright, least_side)


def decode_image(content: bytes, name: str, *, least_side: int | None = None) -> np.ndarray:
    """As `read_image`, of a file's content.

    Args:
        content: of one of `FORMATS`.
        name: what errors call it.
    """
    with _Guard(name), _opened(io.BytesIO(content), name) as image:
        return _decode(image, True, least_side)


def _decode(image: Image.Image, upright: bool, least_side: int | None) -> np.ndarray:
    if least_side is not None:
        image.draft(None, (least_side, least_side))  # does nothing to other formats
    image.load()
    return to_rgb(image, upright)


def can_be(size: tuple[int, int], whole: tuple[int, int], least_side: int | None) -> bool:
    """Whether `read_image` gives an image of `size` for a file of the size `whole`, both (height,
    width): its own, or with `least_side` a reduced one."""
    reductions = (1,) if least_side is None else (1, 2, 4, 8)
    return any(size == tuple(-(-side // times) for side in whole) for times in reductions)


def read_size(path: str | os.PathLike, *, upright: bool = True) -> tuple[int, int]:
    """(height, width) of an image file from its header, turned upright by EXIF.

    Raises:
        InputError: as `read_image`, as far as the header shows it.
    """
    with _Guard(path), _open_image(path) as image:
        width, height = image.size
        # Pillow gives the size of a TIFF upright already, whose orientation it applies itself.
        swapped = image.format != "TIFF" and orientation(image) in SWAPPED
        return (width, height) if swapped and upright else (height, width)


def read_format(path: str | os.PathLike) -> str:
    """One of `FORMATS` in lower case, told by the content of a file, whatever its name."""
    with _Guard(path), _open_image(path) as image:
        return str(image.format).lower()


def read_orientation(path: str | os.PathLike) -> int:
    """The EXIF orientation (1 upright … 8) that `read_image` applies."""
    with _Guard(path), _open_image(path) as image:
        return 1 if image.format == "TIFF" else orientation(image)


def turn_back(boxes: np.ndarray, size: tuple[int, int], orientation: int) -> np.ndarray:
    """Boxes of an upright page in the raster that it was stored as.

    Args:
        boxes: N×4 x0 y0 x1 y1, pixels of the upright page.
        size: (height, width) of the upright page.
        orientation: EXIF orientation of the file.
    """
    height, width = size
    x0, y0, x1, y1 = boxes.T
    if orientation in (2, 3, 6, 7):
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 7, 8):
        y0, y1 = height - y1, height - y0
    if orientation in SWAPPED:
        x0, y0, x1, y1 = y0, x0, y1, x1
    return np.stack([x0, y0, x1, y1], axis=1)


def count_pages(path: str | os.PathLike, password: str | None = None) -> int:
    """Pages of a PDF, frames of a TIFF, 1 for any other image.

    Args:
        path: image or PDF.
        password: of an encrypted PDF.

    Raises:
        InputError: no regular file (a pipe would be waited for), it cannot be opened, or it has
            too many pages.
    """
    with _Guard(path), _open_pages(path, password) as pages:
        return check_pages(path, pages.count)


def iter_pages(
    path: str | os.PathLike,
    dpi: int = PDF_DPI,
    *,
    numbers: Iterable[int] | None = None,
    failed: Callable[[int, InputError], None] | None = None,
    password: str | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """The pages of a PDF or multi-frame TIFF, or the one page of another image.

    Args:
        path: image or PDF.
        dpi: resolution at which PDF pages are drawn.
        numbers: the pages wanted, from 0; None for all.
        failed: callback for a page that cannot be read, which is left out; None raises there.
        password: of an encrypted PDF.

    Yields:
        (number from 0, H×W×3 uint8 RGB).

    Raises:
        InputError: the file cannot be opened or has too many pages, or, without `failed`, a page
            cannot be read.
    """
    if dpi <= 0:
        raise InputError(f"{path}: the resolution is {dpi} dpi; it must be more than 0")
    with _Guard(path):
        pages = _open_pages(path, password)
    with pages:
        with _Guard(path):
            count = check_pages(path, pages.count)
        for number in range(count) if numbers is None else numbers:
            try:
                with _Guard(path):
                    array = pages.read(number, dpi)
            except InputError as error:
                if failed is None:
                    raise
                failed(number, error)
            else:
                yield number, array


class _PdfPages:
    """The pages of an open PDF."""

    def __init__(self, path: str | os.PathLike, password: str | None) -> None:
        self.path = path
        with PDFIUM:
            self.document = open_pdf(path, password)

    @property
    def count(self) -> int:
        with PDFIUM:
            return len(self.document)

    def read(self, number: int, dpi: int) -> np.ndarray:
        with PDFIUM:
            return self._draw(number, dpi)

    def _draw(self, number: int, dpi: int) -> np.ndarray:
        from pypdfium2 import PdfImage
        from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

        page = self.document[number]
        scale = dpi / 72
        width, height = page.get_size()
        check_size(self.path, round(width * scale), round(height * scale))
        for picture in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE]):
            if isinstance(picture, PdfImage):  # PDFium unpacks it whole, however small it is drawn
                w, h = picture.get_px_size()
                check_size(f"{self.path}: a picture on page {number + 1}", w, h, "L")
        self._tell_missing(page, number)
        bitmap = page.render(scale=scale, rev_byteorder=True)
        array = to_rgb(bitmap.to_pil(), upright=False)
        bitmap.close()
        page.close()
        return array

    def _tell_missing(self, page: Any, number: int) -> None:
        names, lost, total = missing_fonts(page)
        if lost > MISSING * total:
            fonts = f"font {names[0]} is" if len(names) == 1 else f"fonts {', '.join(names)} are"
            log.warning(
                "%s: page %d is drawn without %d of its %d characters: the %s neither in the "
                "file nor on this computer; install it, or embed it in the file",
                self.path, number + 1, lost, total, fonts,
            )  # fmt: skip

    def __enter__(self) -> _PdfPages:
        return self

    def __exit__(self, *_: object) -> None:
        with PDFIUM:
            self.document.close()


class _Frames:
    """The frames of an open TIFF, or another image. The file is opened once: to reach a frame,
    Pillow walks through those before it."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = path
        self.image = _open_image(path)

    @property
    def count(self) -> int:
        """The frames; one more than are allowed where there are still more."""
        if self.image.format != "TIFF":
            return 1
        number = 0
        with contextlib.suppress(EOFError):
            while number <= max_pages():
                self.image.seek(number)
                number += 1
        return number

    def read(self, number: int, dpi: int) -> np.ndarray:
        self.image.seek(number)
        check_size(self.path, *self.image.size, self.image.mode)
        self.image.load()
        return to_rgb(self.image, True)

    def __enter__(self) -> _Frames:
        return self

    def __exit__(self, *_: object) -> None:
        self.image.close()


def _open_pages(path: str | os.PathLike, password: str | None) -> _PdfPages | _Frames:
    _check_regular(path)
    return _PdfPages(path, password) if is_pdf(path) else _Frames(path)


def find_pages(inputs: Sequence[str | os.PathLike], *, tell: bool = True) -> list[Path]:
    """Files named one by one, and the images and PDF of folders (not of folders within them).

    Args:
        inputs: files and folders.
        tell: say what is passed over in a folder.

    Returns:
        The paths in the order given; those of a folder in natural order (page 2 before page 10).

    Raises:
        InputError: an input does not exist, or a folder has no page in it.
    """
    pages: list[Path] = []
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            files = sorted((p for p in path.iterdir() if p.is_file()), key=_natural)
            found = [p for p in files if is_page(p)]
            over = [p for p in files if p not in set(found)]
            if not found:
                there = f", only{listed(over)}" if over else ""
                raise InputError(f"{path}: no image or PDF in this folder{there}")
            if over and tell:
                log.warning("%s: passed over, as no images or PDF%s", path, listed(over))
            pages += found
        elif path.exists():
            pages.append(path)
        else:
            raise InputError(f"{path}: no such file or folder")
    return pages


def is_page(path: Path) -> bool:
    """Whether a file of a folder is an image or a PDF, by its name or by its content."""
    if path.suffix.lower() in IMAGE_SUFFIXES | {".pdf"}:
        return True
    try:
        with open(path, "rb") as stream:
            return is_page_content(stream.read(HEAD))
    except OSError:
        return False


def is_page_content(head: bytes) -> bool:
    """Whether what begins with `head` (the first `HEAD` bytes) is an image or a PDF."""
    return b"%PDF-" in head or format_of(head) in FORMATS


def listed(paths: Sequence[Path]) -> str:
    """Files of a folder, and what they are where that is known, for people."""
    if not paths:
        return ""
    names = []
    for path in paths[:LISTED]:
        kind = unread_format(path)
        names.append(f"{path.name} ({kind})" if kind else path.name)
    more = f" and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
    return f": {', '.join(names)}{more}"


def to_array(image: Any) -> np.ndarray:
    """Whatever a caller has as a page, as H×W×3 uint8 RGB.

    Args:
        image: a path; a PIL image; a numpy array H×W, H×W×1, ×3 or ×4 (RGB order; uint8, uint16,
            bool, or float from 0 to 1); a torch tensor H×W, 1×H×W, 3×H×W or 4×H×W of the same.

    Raises:
        InputError: another type, shape or range; an unreadable file.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    if isinstance(image, Image.Image):
        with _Guard("image"):
            return to_rgb(image, True)
    if hasattr(image, "detach"):
        array = image.detach().cpu().numpy()
        if array.ndim == 3:
            if array.shape[0] not in (1, 3, 4):
                raise InputError(f"tensor of shape {array.shape}: a page tensor is 3×H×W")
            array = array.transpose(1, 2, 0)
    elif isinstance(image, np.ndarray):
        array = image
    else:
        kind = type(image).__name__
        raise InputError(f"a page cannot be a {kind}: give a path, PIL image, array or tensor")
    return from_array(array)


def _open_image(path: str | os.PathLike) -> Image.Image:
    _check_regular(path)
    return _opened(path, path)


def _opened(source: Any, name: str | os.PathLike) -> Image.Image:
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels() > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels()  # Pillow's own limit is at twice this number
    image = Image.open(source, formats=FORMATS)
    try:
        check_size(name, *image.size, image.mode)
    except InputError:
        image.close()
        raise
    return image


def _check_regular(path: str | os.PathLike) -> None:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise InputError(f"{path}: not a regular file; give an image or a PDF")


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts]


class _Guard:
    """Turns what decoders raise on bad files into an `InputError` that names the file.

    Decoders of damaged files raise almost anything (OSError, SyntaxError, struct.error, IndexError
    …), hence every Exception is caught; `InputError` passes.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.warnings = warnings.catch_warnings()
        self.warnings.__enter__()
        # check_size draws one clear line; Pillow's warning at half of it would only confuse.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.warnings.__exit__(None, None, None)
        if error is None or isinstance(error, InputError) or not isinstance(error, Exception):
            return
        path = Path(self.path)
        if isinstance(error, FileNotFoundError):
            why = "no such file"
        elif isinstance(error, Image.DecompressionBombError):
            why = "too many pixels: save the page at a lower resolution"
        elif path.is_file() and path.stat().st_size == 0:
            why = "the file is empty"
        elif unread_format(path):
            why = f"not an image that can be read: {unread_format(path)}"
        elif isinstance(error, Image.UnidentifiedImageError):
            why = "not an image that can be read (or damaged)"
        else:
            reason = " ".join(str(error).split()) or type(error).__name__
            why = f"cannot be read ({reason[:200]})"
        raise InputError(f"{self.path}: {why}") from error
