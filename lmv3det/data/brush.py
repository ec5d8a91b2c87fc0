"""Masks as Label Studio stores them: a picture, or by its brush thi.ng's packed runs of an RGBA
picture.

A stream of bits: the number of values (32), the bits of a value less 1 (5), four sizes of run
lengths less 1 (4 each), and runs: whether it is one value repeated (1), which of the sizes its
length has (2), its length less 1, and the value, or as many values. A pixel's last value, alpha,
says how much of it was painted.
"""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

import numpy as np
from PIL import Image

from lmv3det.data.limits import max_pixels

_HEADER = 32 + 5 + 4 * 4


class _Bits:
    def __init__(self, data: bytes) -> None:
        self.data, self.place, self.end = data, 0, 8 * len(data)

    def read(self, count: int) -> int:
        """The number that the next bits are.

        Raises:
            ValueError: there are not so many.
        """
        start, self.place = self.place, self.place + count
        if self.place > self.end:
            raise ValueError("the mask is cut off")
        first, last = start >> 3, (self.place + 7) >> 3
        value = int.from_bytes(self.data[first:last], "big") >> (8 * last - self.place)
        return value & ((1 << count) - 1)


def decode_brush(rle: Any, height: int, width: int) -> np.ndarray:
    """The mask of a brush, H×W bool.

    Args:
        rle: the packed bytes, as a list of numbers.
        height: of the page, pixels.
        width: of the page, pixels.

    Raises:
        ValueError: damaged, not of the page's size, or too large.
    """
    try:
        bits = _Bits(bytes(rle))
    except (TypeError, ValueError):
        raise ValueError("the mask is no list of bytes") from None
    if bits.end < _HEADER:
        raise ValueError("the mask is cut off")
    if height * width > max_pixels():
        raise ValueError(f"a mask of {width}×{height} pixels is too large")
    count = bits.read(32)
    if count != 4 * height * width:
        raise ValueError(f"the mask has {count} values, a page of {width}×{height} 4 a pixel")
    word = bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    values: list[int] = []
    lengths: list[int] = []
    done = 0
    while done < count:
        repeated = bits.read(1)
        length = 1 + bits.read(sizes[bits.read(2)])
        if done + length > count:
            raise ValueError("the mask's runs are longer than the page")
        if repeated:
            values.append(bits.read(word))
            lengths.append(length)
        else:
            if length * word > bits.end - bits.place:
                raise ValueError("the mask is cut off")
            values += [bits.read(word) for _ in range(length)]
            lengths += [1] * length
        done += length
    painted = np.repeat(np.array(values, dtype=np.int64) > 0, lengths)
    return painted[3::4].reshape(height, width)


def decode_bitmask(url: Any, height: int, width: int) -> np.ndarray:
    """The mask of a PNG, H×W bool: where it is opaque, or without transparency not black.

    Args:
        url: `data:image/png;base64,…`.
        height: of the page, pixels.
        width: of the page, pixels.

    Raises:
        ValueError: no such picture, or not of the page's size.
    """
    head, comma, text = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not comma or not head.startswith("data:image/") or not head.endswith("base64"):
        raise ValueError("the mask is no picture in base64")
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(text)), formats=("PNG",))
        if picture.size != (width, height) or width * height > max_pixels():
            raise ValueError(f"the mask has {picture.width}×{picture.height} pixels")
        mode = picture.convert("RGBA" if picture.has_transparency_data else "L")
    except (OSError, SyntaxError, binascii.Error, Image.DecompressionBombError) as error:
        raise ValueError(f"the mask cannot be read ({' '.join(str(error).split())})") from None
    values = np.asarray(mode)
    return (values[..., 3] if values.ndim == 3 else values) > 0
