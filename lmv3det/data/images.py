"""Page images as H×W×3 uint8 RGB arrays, from image files, PDF, PIL, numpy and torch."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image

from lmv3det.errors import InputError

if TYPE_CHECKING:
    import pypdfium2

MAX_PIXELS = 178_956_970
"""Larger images are refused: a small file may unpack to more memory than there is."""
_SUFFIXES = "bmp gif jfif jp2 jpe jpeg jpg pbm pgm png pnm ppm tif tiff webp"
IMAGE_SUFFIXES = frozenset(f".{name}" for name in _SUFFIXES.split())
PDF_DPI = 144

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPPED = (5, 6, 7, 8)


def read_image(path: str | os.PathLike, *, upright: bool = True) -> np.ndarray:
    """Read an image file.

    Args:
        path: any format that Pillow reads; of several frames the first is taken.
        upright: turn the page as its EXIF orientation says; False gives the stored raster.

    Returns:
        H×W×3 uint8 RGB. Transparency is laid over white; 16-bit values are divided by 257.

    Raises:
        InputError: the file is missing, empty, not an image, damaged, or too large.
    """
    with _Guard(path), Image.open(path) as image:
        _check_pixels(path, *image.size)
        image.load()
        return _to_rgb(image, upright)


def read_size(path: str | os.PathLike, *, upright: bool = True) -> tuple[int, int]:
    """(height, width) of an image file from its header, turned upright by EXIF.

    Raises:
        InputError: as `read_image`, as far as the header shows it.
    """
    with _Guard(path), Image.open(path) as image:
        width, height = image.size
        # Pillow gives the size of a TIFF upright already, whose orientation it applies itself.
        swapped = image.format != "TIFF" and _orientation(image) in _SWAPPED
        return (width, height) if swapped and upright else (height, width)


def read_orientation(path: str | os.PathLike) -> int:
    """The EXIF orientation (1 upright … 8) that `read_image` applies."""
    with _Guard(path), Image.open(path) as image:
        return 1 if image.format == "TIFF" else _orientation(image)


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
    if orientation in _SWAPPED:
        x0, y0, x1, y1 = y0, x0, y1, x1
    return np.stack([x0, y0, x1, y1], axis=1)


def is_pdf(path: str | os.PathLike) -> bool:
    """Whether the file's name says PDF."""
    return Path(path).suffix.lower() == ".pdf"


def count_pages(path: str | os.PathLike, password: str | None = None) -> int:
    """Pages of a PDF, frames of a TIFF, 1 for any other image.

    Args:
        path: image or PDF.
        password: of an encrypted PDF.

    Raises:
        InputError: no regular file (a pipe would be waited for), or it cannot be opened.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise InputError(f"{path}: not a regular file; give an image or a PDF")
    if is_pdf(path):
        with _Guard(path):
            document = _open_pdf(path, password)
            try:
                return len(document)
            finally:
                document.close()
    with _Guard(path), Image.open(path) as image:
        return getattr(image, "n_frames", 1) if image.format == "TIFF" else 1


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
        failed: is told of a page that cannot be read, which is left out; None raises there.
        password: of an encrypted PDF.

    Yields:
        (number from 0, H×W×3 uint8 RGB).

    Raises:
        InputError: the file cannot be opened, or, without `failed`, a page cannot be read.
    """
    if dpi <= 0:
        raise InputError(f"{path}: the resolution is {dpi} dpi; it must be more than 0")
    with _Guard(path):
        document = _open_pdf(path, password) if is_pdf(path) else None
    try:
        if numbers is None:
            numbers = range(count_pages(path) if document is None else len(document))
        for number in numbers:
            try:
                with _Guard(path):
                    array = (
                        _read_frame(path, number)
                        if document is None
                        else _draw_page(path, document, number, dpi)
                    )
            except InputError as error:
                if failed is None:
                    raise
                failed(number, error)
            else:
                yield number, array
    finally:
        if document is not None:
            document.close()


def _read_frame(path: str | os.PathLike, number: int) -> np.ndarray:
    with Image.open(path) as image:
        _check_pixels(path, *image.size)
        image.seek(number)
        _check_pixels(path, *image.size)
        image.load()
        return _to_rgb(image, True)


def _draw_page(
    path: str | os.PathLike, document: pypdfium2.PdfDocument, number: int, dpi: int
) -> np.ndarray:
    page = document[number]
    scale = dpi / 72
    width, height = page.get_size()
    _check_pixels(path, round(width * scale), round(height * scale))
    bitmap = page.render(scale=scale, rev_byteorder=True)
    array = _over_white(bitmap.to_pil())
    bitmap.close()
    page.close()
    return array


def find_pages(inputs: Sequence[str | os.PathLike]) -> list[Path]:
    """Files named one by one, and the images and PDF of folders (not of folders within them).

    Returns:
        The paths in the order given; those of a folder in natural order (page 2 before page 10).

    Raises:
        InputError: an input does not exist, or a folder has no page in it.
    """
    pages: list[Path] = []
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            suffixes = IMAGE_SUFFIXES | {".pdf"}
            found = [p for p in path.iterdir() if p.suffix.lower() in suffixes and p.is_file()]
            if not found:
                raise InputError(f"{path}: no image or PDF in this folder")
            pages += sorted(found, key=_natural)
        elif path.exists():
            pages.append(path)
        else:
            raise InputError(f"{path}: no such file or folder")
    return pages


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
            return _to_rgb(image, True)
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
    return _from_array(array)


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise InputError(f"array of shape {array.shape}: a page is H×W, H×W×3 or H×W×4")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype == np.uint16:
        array = _from_16_bit(array)
    elif np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise InputError(
                f"float page with values from {array.min():g} to {array.max():g}: floats go from "
                "0 to 1; convert 0..255 with .astype('uint8')"
            )
        array = (array.astype(np.float64) * 255 + 0.5).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InputError(f"page of {array.dtype}: give uint8, or float from 0 to 1")
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        return _over_white(Image.fromarray(np.ascontiguousarray(array)))
    return np.ascontiguousarray(array)


def _to_rgb(image: Image.Image, upright: bool) -> np.ndarray:
    orientation = _orientation(image) if upright else 1
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_from_deep(np.asarray(image)))
    transparent = "A" in image.mode or "a" in image.mode or "transparency" in image.info
    if image.mode != "RGB" and not transparent:
        image = image.convert("RGB")
    if orientation in _TRANSPOSE:
        image = image.transpose(_TRANSPOSE[orientation])
    return _over_white(image) if transparent else np.array(image)


def _over_white(image: Image.Image) -> np.ndarray:
    if image.mode == "RGB" and "transparency" not in image.info:
        return np.array(image)
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.array(Image.alpha_composite(white, rgba).convert("RGB"))


def _from_deep(values: np.ndarray) -> np.ndarray:
    """16-bit grey (Pillow's modes I and I;16) or float grey (F), as 8-bit grey."""
    low, high = values.min(), values.max()
    if np.issubdtype(values.dtype, np.integer) and low >= 0 and high <= 65535:
        return _from_16_bit(values)
    if np.issubdtype(values.dtype, np.floating) and low >= 0 and high <= 1:
        return (values * 255 + 0.5).astype(np.uint8)
    raise ValueError(
        f"grey values from {low} to {high}, not 0 to 65535 (integers) or 0 to 1 (floats): save it "
        "with 8 bits"
    )


def _from_16_bit(values: np.ndarray) -> np.ndarray:
    # 65535 = 255 · 257
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1) or 1)


def _open_pdf(path: str | os.PathLike, password: str | None = None) -> pypdfium2.PdfDocument:
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(Path(path), password=password)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) != pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise
        why = "encrypted; give its password (--password)" if password is None else "wrong password"
        raise InputError(f"{path}: {why}") from None


def _check_pixels(path: str | os.PathLike, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: {width}×{height} pixels, more than the {MAX_PIXELS:,} allowed: save the page "
            "at a lower resolution"
        )


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(p), p) if p.isdigit() else (1, 0, p) for p in parts]


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
        # _check_pixels draws one clear line; Pillow's warning at half of it would only confuse.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.warnings.__exit__(None, None, None)
        if error is None or isinstance(error, InputError) or not isinstance(error, Exception):
            return
        path = Path(self.path)
        if isinstance(error, FileNotFoundError):
            why = "no such file"
        elif isinstance(error, Image.DecompressionBombError):
            why = (
                f"more than the {MAX_PIXELS:,} pixels allowed: save the page at a lower resolution"
            )
        elif path.is_file() and path.stat().st_size == 0:
            why = "the file is empty"
        elif isinstance(error, Image.UnidentifiedImageError):
            why = "not an image that can be read (or damaged)"
        else:
            reason = " ".join(str(error).split()) or type(error).__name__
            why = f"cannot be read ({reason[:200]})"
        raise InputError(f"{self.path}: {why}") from error
