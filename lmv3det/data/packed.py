"""Named arrays in one file, which processes map into memory and share.

A file holds a line that names the format, the place, length and check sum of its header, the arrays
one after the other, and the header: JSON with what is not an array.
"""

from __future__ import annotations

import io
import json
import mmap
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_MAGIC = b"lmv3det arrays 2\n"
_PLACE = struct.Struct("<QQI")
_ALIGNMENT = 64


class PackedWriter:
    """Writes a file of arrays as they come; nothing of them is held.

    Args:
        file: opened for writing; at its start.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        file.write(_MAGIC + _PLACE.pack(0, 0, 0))
        self.arrays: dict[str, tuple[str, int, int]] = {}

    def align(self) -> int:
        """Fill up to where an array may begin; that place."""
        place = self.file.tell()
        self.file.write(b"\0" * (-place % _ALIGNMENT))
        return self.file.tell()

    def add(self, name: str, values: np.ndarray) -> None:
        """Write a 1D array."""
        place = self.align()
        self.file.write(np.ascontiguousarray(values).data)
        self.name(name, values.dtype, place, len(values))

    def name(self, name: str, dtype: np.dtype | str, place: int, length: int) -> None:
        """Say that values written by hand are an array."""
        self.arrays[name] = (np.dtype(dtype).str, place, length)

    def finish(self, header: dict[str, Any]) -> None:
        """Write the header; `header` is whatever JSON can hold, as `Packed.header`."""
        place = self.align()
        text = json.dumps({"arrays": self.arrays, "header": header}).encode("ascii")
        self.file.write(text)
        self.file.seek(len(_MAGIC))
        self.file.write(_PLACE.pack(place, len(text), zlib.crc32(text)))
        self.file.flush()


class Packed:
    """Arrays of a file that `PackedWriter` wrote, by attribute; read-only.

    A pickled one of a file is opened anew from its path in the process that it is sent to.

    Args:
        source: a file, mapped into memory; or its content.

    Attributes:
        header: what `finish` was given.

    Raises:
        ValueError: no such file, or one that is cut off or whose header is damaged.
        OSError: the file cannot be read.
    """

    def __init__(self, source: Path | bytes) -> None:
        self.source = source
        content: Any = source
        if isinstance(source, Path):
            with open(source, "rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if content[: len(_MAGIC)] != _MAGIC:
            raise ValueError(f"{source!r:.80}: no file of arrays")
        try:
            place, length, check_sum = _PLACE.unpack_from(content, len(_MAGIC))
            text = content[place : place + length]
            if len(text) != length or zlib.crc32(text) != check_sum:
                raise ValueError(f"{source!r:.80}: damaged")
            whole = json.loads(text)
            self.header: dict[str, Any] = whole["header"]
            self._arrays = {
                name: np.frombuffer(content, dtype, count, offset)
                for name, (dtype, offset, count) in whole["arrays"].items()
            }
        except (struct.error, LookupError, TypeError) as error:
            raise ValueError(f"{source!r:.80}: damaged ({error})") from None

    def __getattr__(self, name: str) -> np.ndarray:
        arrays = self.__dict__.get("_arrays", {})
        if name not in arrays:
            raise AttributeError(name)
        return arrays[name]

    def __reduce__(self) -> tuple:
        return Packed, (self.source,)


def pack_in_memory(fill: Any) -> Packed:
    """The arrays that `fill(writer)` writes, and the header that it returns, without a file."""
    buffer = io.BytesIO()
    writer = PackedWriter(buffer)
    writer.finish(fill(writer))
    return Packed(buffer.getvalue())
