"""The members of a tar file with their places in it, and what of it cannot be read.

The standard library's reader ends without a word at a header that is damaged or cut off, and at the
end of the first of several archives in one file. Here it is asked again behind such a place, and
what was passed over is told.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lmv3det.data.pdf import HEAD
from lmv3det.errors import explain

BLOCK = tarfile.BLOCKSIZE
MAX_HEADER = 1 << 22
"""Bytes of a header with its long names; more is no header of a page."""
_SEARCHED = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive, or what cannot be read of it.

    Attributes:
        name: of the file; empty for a fault of the archive.
        start: its first byte in the archive.
        length: its bytes.
        problem: why it cannot be read; empty where it can.
    """

    name: str
    start: int = 0
    length: int = -1
    problem: str = ""


def read_members(
    stream: Any, wanted: Callable[[str], bool], is_one: Callable[[bytes], bool]
) -> Iterator[Member]:
    """The files of an uncompressed archive that are wanted by name or content, and links to files
    that are by name.

    Args:
        stream: of the archive, at any place; it can be sought.
        wanted: whether a name is of interest.
        is_one: whether a file of another name is, by its first `HEAD` bytes.

    Yields:
        The files, and faults: of the archive (with an empty name), of files that are cut off,
        sparse, or links to nothing, and of files whose name comes again, of which the last is read.

    Raises:
        tarfile.TarError: it does not begin as an archive does.
    """
    size = stream.seek(0, io.SEEK_END)
    found: dict[str, Member] = {}
    links: dict[str, str] = {}
    for member in _walk(stream, size):
        if isinstance(member, str):
            yield Member("", problem=member)
            continue
        name = member.name
        if member.isdir() or not (wanted(name) or is_one(_head(stream, member))):
            continue
        if name in found or name in links:
            yield Member(name, problem="comes again in the archive, where the last one is read")
        found.pop(name, None)
        links.pop(name, None)
        if member.islnk() or member.issym():
            links[name] = _target(member)
        else:
            found[name] = _file(member, size)
    targets = set(links.values())
    for name, file in found.items():
        # A file that its content alone tells goes by the names of the links to it.
        if wanted(name) or posixpath.normpath(name) not in targets:
            yield file
    if links:
        held: dict[str, Member] = {}
        for member in _walk(stream, size):
            if isinstance(member, str) or member.isdir():
                continue
            if posixpath.normpath(member.name) in targets:
                held[posixpath.normpath(member.name)] = _file(member, size)
        for name, target in links.items():
            there = held.get(target)
            if there is None or there.problem:
                yield Member(name, problem=f"is a link to {target}, which is not in the archive")
            else:
                yield Member(name, there.start, there.length)


def _head(stream: Any, member: tarfile.TarInfo) -> bytes:
    """How a plain file begins."""
    if not member.isreg() or member.issparse():
        return b""
    stream.seek(member.offset_data)
    return stream.read(min(member.size, HEAD))


def _target(member: tarfile.TarInfo) -> str:
    """The name that a link leads to: of a hard link from the root of the archive, of a symbolic
    one from its own folder."""
    folder = "" if member.islnk() else posixpath.dirname(member.name)
    return posixpath.normpath(posixpath.join(folder, member.linkname))


def _file(member: tarfile.TarInfo, size: int) -> Member:
    problem = ""
    if member.islnk() or member.issym():
        problem = "is a link to a link"
    elif member.issparse():
        problem = "is stored as a sparse file, which is not read where it lies: unpack the archive"
    elif not member.isreg():
        problem = "is not a regular file"
    elif member.offset_data + member.size > size:
        problem = "is cut off with the archive"
    return Member(member.name, member.offset_data, member.size, problem)


def _walk(stream: Any, size: int) -> Iterator[tarfile.TarInfo | str]:
    """All members, and a sentence for each place that cannot be read."""
    place: int | None = 0
    while place is not None:
        stop, fault = place, ""
        stream.seek(place)
        try:
            bounded: Any = _Bounded(stream)
            archive: Any = tarfile.TarFile(fileobj=bounded, encoding="utf-8")
            while (member := archive.next()) is not None:
                archive.members.clear()  # a million of them would be a gigabyte
                if member.size < 0 or archive.offset <= stop:
                    fault = f"has a member of {member.size} bytes at byte {member.offset}"
                    break
                stop = archive.offset
                yield member
        except Exception as error:  # of tarfile, on headers that are made to confuse it
            if place == stop == 0:
                raise
            fault = f"is damaged behind byte {stop} ({explain(error)[:100]})"
        place, problem = _next_header(stream, stop, size)
        if problem or fault:
            yield problem or fault


def _next_header(stream: Any, start: int, size: int) -> tuple[int | None, str]:
    """Where the next archive or the next whole header begins, and what is wrong at `start`.

    Args:
        stream: of the archive.
        start: where the reader stopped.
        size: of the archive.
    """
    if start > size:
        return None, f"is cut off: its last member ends {start - size} bytes behind it"
    if start == size:
        return None, "has no mark of its end: it may be cut off"
    stream.seek(start)
    first = stream.read(BLOCK)
    if len(first) < BLOCK:
        return None, "" if not any(first) else f"is cut off inside a header, at byte {start}"
    ended = not any(first)
    place = start
    problem = "" if ended else f"its header at byte {start} is damaged"
    stream.seek(start)
    while content := stream.read(_SEARCHED):
        for offset in range(0, len(content), BLOCK):
            block = content[offset : offset + BLOCK]
            if not any(block):
                continue
            if _is_header(block) and place + offset > (start if not ended else -1):
                return place + offset, problem
            problem = problem or f"has bytes behind its end that are no member, at {place + offset}"
        place += len(content)
    return None, problem


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


class _Bounded:
    """A stream of which nobody reads more at a time than a header has."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.name, self.mode = stream, None, "rb"
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self.stream.read(size)
