"""The documents of a job: found in folders, tar files, object stores and lists, and read.

Addresses are fsspec's: plain paths, `file://`, `memory://`, and `s3://`, `gs://` and others where
the package for them is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lmv3det.data.addresses import file_system, read_bytes
from lmv3det.data.images import IMAGE_SUFFIXES, count_pages
from lmv3det.errors import InputError, explain

SUFFIXES = IMAGE_SUFFIXES | {".pdf"}
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Document:
    """A file, or a member of a tar file.

    Attributes:
        name: what the result calls it: the address; of a member `tar://MEMBER::ADDRESS`, which
            fsspec opens.
        address: of the file, or of the tar file.
        start: first byte of a member in the tar file; 0 for a file.
        length: bytes of a member; -1 for a file.
    """

    name: str
    address: str
    start: int = 0
    length: int = -1

    @property
    def suffix(self) -> str:
        """Of the file's or member's own name, in lower case."""
        own = self.name if self.length < 0 else self.name.removesuffix(f"::{self.address}")
        return PurePosixPath(own).suffix.lower()


def find_documents(sources: Iterable[str]) -> list[Document]:
    """The documents that sources name, each once, sorted by name.

    Args:
        sources: an image or PDF; a folder, with those within it; a tar file, whose members are
            found by their suffix; a glob, such as `scans/*/page*.png`; a `.txt` file with a source
            a line.

    Raises:
        InputError: a source that does not exist or cannot be read, or no document in any.
    """
    found = {document.name: document for source in sources for document in _expand(source)}
    if not found:
        raise InputError("no image or PDF in what was given")
    return [found[name] for name in sorted(found)]


def _expand(source: str, *, of_list: bool = False) -> Iterator[Document]:
    """The documents of a source. Of a line of a list with the suffix of a document it is not asked
    whether it is there: an object store would be asked millions of times."""
    fs, path = file_system(source)
    suffix = PurePosixPath(path).suffix.lower()
    if of_list and suffix in SUFFIXES and not any(sign in path for sign in "*?["):
        address = _address(fs, path)
        yield Document(address, address)
        return
    with _reading(source):
        if fs.isdir(path):
            paths = sorted(fs.find(path))
            wanted = [p for p in paths if PurePosixPath(p).suffix.lower() in {*SUFFIXES, ".tar"}]
        elif fs.exists(path):
            wanted = [path]
        else:
            wanted = [p for p in fs.glob(path) if not fs.isdir(p)] if _is_glob(path) else []
    if not wanted:
        raise InputError(f"{source}: no such file, or no image, PDF or tar file in it")
    for one in wanted:
        address = _address(fs, one)
        kind = PurePosixPath(one).suffix.lower()
        if kind == ".tar":
            with _reading(address):
                yield from _members(fs, one, address)
        elif kind == ".txt" and not of_list:
            with _reading(address):
                content = fs.cat_file(one)
            for line in content.decode("utf-8", "surrogateescape").split("\n"):
                if line.strip() and not line.startswith("#"):
                    yield from _expand(line.strip(), of_list=True)
        else:
            yield Document(address, address)


def _is_glob(path: str) -> bool:
    return any(sign in path for sign in "*?[")


def _is_local(fs: Any) -> bool:
    return "file" in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol)


def _address(fs: Any, path: str) -> str:
    """The whole address of a path; of a file on this machine its plain path."""
    return path if _is_local(fs) else fs.unstrip_protocol(path)


def _members(fs: Any, path: str, address: str) -> Iterator[Document]:
    with fs.open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            if member.isfile() and PurePosixPath(member.name).suffix.lower() in SUFFIXES:
                name = f"tar://{member.name}::{address}"
                yield Document(name, address, member.offset_data, member.size)


@contextlib.contextmanager
def _reading(source: str) -> Iterator[None]:
    """What file systems and tarfile raise becomes one line that names the source."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of any package for a protocol
        raise InputError(f"{source}: cannot be read ({explain(error)})") from error


@contextlib.contextmanager
def open_document(document: Document) -> Iterator[Path]:
    """A path at which a document can be read: its own, or that of a copy in a temporary folder,
    which is removed at the end of the block.

    Raises:
        InputError: it cannot be read.
        OSError: the copy cannot be written.
    """
    fs, path = file_system(document.address)
    if document.length < 0 and _is_local(fs):
        yield Path(path)
        return
    try:
        content = read_bytes(document.address, document.start, document.length)
    except InputError as error:
        raise InputError(str(error).replace(document.address, document.name, 1)) from None
    with tempfile.TemporaryDirectory(prefix="lmv3det-") as folder:
        copy = Path(folder) / f"document{document.suffix}"
        copy.write_bytes(content)
        del content
        yield copy


def check_document(path: Path, password: str | None) -> tuple[str, int]:
    """The SHA-256 of a file's content, and its number of pages.

    Raises:
        InputError: it cannot be opened, or has no page.
    """
    count = count_pages(path, password)  # before it is read: a pipe would be waited for
    if count == 0:
        raise InputError(f"{path}: has no page")
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({explain(error)})") from None
    return digest.hexdigest(), count


def readable(text: str) -> str:
    """A text as UTF-8, which file names need not be: other bytes become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
