"""Pixels of every kind as H×W×3 uint8 RGB."""

from __future__ import annotations

import numpy as np
from PIL import ExifTags, Image

from lmv3det.errors import InputError

SWAPPED = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width."""
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BAND = 1 << 24
"""Pixels converted at a time: the copies that a conversion makes stay small on a large page."""


def to_rgb(image: Image.Image, upright: bool) -> np.ndarray:
    """A Pillow image as H×W×3 uint8 RGB.

    Args:
        image: of any mode. Transparency is laid over white; 16-bit grey is divided by 257.
        upright: turn it as its EXIF orientation says.

    Raises:
        ValueError: grey values of a range that says nothing of their meaning.
    """
    turned = orientation(image) if upright else 1
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_from_deep(np.asarray(image)))
    if turned in _TRANSPOSE:
        image = image.transpose(_TRANSPOSE[turned])
    if image.width * image.height <= _BAND:
        return _over_white(image)
    array = np.empty((image.height, image.width, 3), dtype=np.uint8)
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        array[top:bottom] = _over_white(image.crop((0, top, image.width, bottom)))
    return array


def _over_white(image: Image.Image) -> np.ndarray:
    """RGB, with what is transparent laid over white."""
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image H×W×3 uint8 at another (height, width), bilinear with Pillow's antialiasing."""
    width_height = (size[1], size[0])
    if image.shape[0] * image.shape[1] <= _BAND:
        return np.asarray(Image.fromarray(image).resize(width_height, Image.Resampling.BILINEAR))
    # Pillow's copy of all channels takes four bytes a pixel, that of one channel takes one.
    resized = np.empty((*size, 3), dtype=np.uint8)
    for channel in range(3):
        plane = Image.fromarray(np.ascontiguousarray(image[..., channel]))
        resized[..., channel] = np.asarray(plane.resize(width_height, Image.Resampling.BILINEAR))
    return resized


def from_array(array: np.ndarray) -> np.ndarray:
    """An array H×W, H×W×1, ×3 or ×4 (RGB order; uint8, uint16, bool, or float from 0 to 1) as
    H×W×3 uint8 RGB.

    Raises:
        InputError: another shape, type or range.
    """
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


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 where it is missing, broken or no such number."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF raises almost anything, and costs nothing but the turn
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
