"""Annotation files, plain or in the ZIP that a tool exported."""

from __future__ import annotations

import contextlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from lmv3det.errors import InputError, printable

_MOST_BYTES = 1 << 30
"""Bytes that the annotation files of a ZIP may have together."""
_MOST_RATIO = 200
"""By so much a file of more than `_SMALL` bytes may be compressed: JSON and XML of annotations are
by 5 to 30 times."""
_SMALL = 16 << 20
_MOST_FILES = 200_000
_START = 4096
"""Bytes that tell what a file is."""
_SUFFIXES = (".json", ".xml")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class AnnotationFile:
    """A file with annotations.

    Attributes:
        path: of the file, or of the ZIP that holds it.
        member: its name in the ZIP; "" where it is a file itself.
        archive: the ZIP, opened.
    """

    path: Path
    member: str = ""
    archive: zipfile.ZipFile | None = None

    def __str__(self) -> str:
        return f"{self.path}: {printable(self.member)}" if self.member else str(self.path)

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """The file, opened for reading bytes.

        Raises:
            OSError: it cannot be read.
            InputError: it cannot be unpacked.
        """
        if self.archive is None:
            return open(self.path, mode)
        with self._unpacking():
            return io.BytesIO(self.archive.read(self.member))

    def read(self) -> bytes:
        """All of it, as `open`."""
        with self.open() as file:
            return file.read()

    def start(self) -> bytes:
        """Its first bytes, without byte order mark and space."""
        if self.archive is None:
            with open(self.path, "rb") as file:
                return file.read(_START).removeprefix(_BOM).lstrip()
        with self._unpacking(), self.archive.open(self.member) as member:
            return member.read(_START).removeprefix(_BOM).lstrip()

    @contextlib.contextmanager
    def _unpacking(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGED as error:
            raise InputError(f"{self}: cannot be read ({_why(error)}); unpack the ZIP") from None


_DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError,
    ValueError, OSError, KeyError, MemoryError,
)  # fmt: skip
"""What zipfile raises on files that are damaged, encrypted or packed in a way of their own."""


def is_zip(path: Path) -> bool:
    """Whether a file's content is a ZIP, whatever its name."""
    try:
        with open(path, "rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def annotation_files(path: Path) -> list[AnnotationFile]:
    """The JSON and XML files of a ZIP. Nothing is unpacked to the disk, so that its names can lead
    nowhere.

    Raises:
        InputError: a ZIP that cannot be read, or whose annotations are too large; none in it.
    """
    try:
        archive = zipfile.ZipFile(path)
        members = archive.infolist()
    except _DAMAGED as error:
        raise InputError(f"{path}: a ZIP that cannot be read ({_why(error)})") from None
    found = [info for info in members if _is_annotations(info.filename)]
    unpack = "unpack it, and give its annotation file, or the folder of its LabelMe files"
    total = sum(info.file_size for info in found)
    packed_tightly = [
        info
        for info in found
        if info.file_size > max(_SMALL, _MOST_RATIO * info.compress_size)
    ]  # fmt: skip
    if len(found) > _MOST_FILES or total > _MOST_BYTES or packed_tightly:
        raise InputError(f"{path}: a ZIP whose annotations take {total:,} bytes; {unpack}")
    if not found:
        held = sorted({PurePosixPath(info.filename).suffix.lower() for info in members})
        inner = [info.filename for info in members if info.filename.lower().endswith(".zip")]
        if inner:
            why = f"holds another ZIP, {printable(inner[0])}: unpack it, and give that"
        else:
            kinds = ", ".join(filter(None, held[:8])) or "nothing"
            why = f"a ZIP without JSON or XML (it holds {kinds}): export as COCO, as JSON, or as "
            why += '"CVAT for images 1.1"'
        raise InputError(f"{path}: {why}")
    return [AnnotationFile(path, info.filename, archive) for info in sorted(found, key=_name)]


def _is_annotations(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts)
    return bool(parts) and not hidden and name.lower().endswith(_SUFFIXES)


def _name(info: zipfile.ZipInfo) -> str:
    return info.filename


def _why(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
