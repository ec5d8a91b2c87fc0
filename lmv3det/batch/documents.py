"""The documents of a job: found in folders, tar files, object stores and lists, and read.

Addresses are plain paths and those of `lmv3det.data.addresses.PROTOCOLS`, where the package for
them is installed. Documents that are there and cannot be reached (in a folder without permission,
in a damaged part of a tar file) are among those that are found, with their problem.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from lmv3det.batch.tar_members import read_members
from lmv3det.data.addresses import file_system, protocol_of, read_bytes
from lmv3det.data.images import (
    IMAGE_SUFFIXES,
    count_pages,
    is_page,
    is_page_content,
    listed,
)
from lmv3det.errors import InputError, explain, printable
from lmv3det.files import scratch_folder

log = logging.getLogger(__name__)

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
        problem: why it cannot be reached; empty where it can.
    """

    name: str
    address: str
    start: int = 0
    length: int = -1
    problem: str = ""

    @property
    def suffix(self) -> str:
        """Of the file's or member's own name, in lower case."""
        own = self.name if self.length < 0 else self.name.removesuffix(f"::{self.address}")
        return _suffix(own)


def find_documents(sources: Iterable[str]) -> list[Document]:
    """The documents that sources name, each once, sorted by name.

    Args:
        sources: an image or PDF; a folder, with those within it; a tar file, with its members; a
            glob, such as `scans/*/page*.png`; a `.txt` file with a source a line. Files are told
            by suffix or content, of an object store's folders by suffix alone.

    Raises:
        InputError: a source that does not exist or cannot be read, or no document in any.
    """
    found: dict[str, Document] = {}
    for source in sources:
        for document in _expand(source):
            # What can be read goes before a fault of the same name, which is told by itself.
            if document.problem and document.name in found:
                document = replace(document, name=f"{document.name} ({document.problem})")
            elif document.name in found and found[document.name].problem:
                old = found[document.name]
                found[f"{old.name} ({old.problem})"] = replace(
                    old, name=f"{old.name} ({old.problem})"
                )
            found[document.name] = document
    if not any(not document.problem for document in found.values()):
        why = "".join(f"; {d.name}: {d.problem}" for d in list(found.values())[:3])
        raise InputError(f"no image or PDF in what was given{printable(why)}")
    return [found[name] for name in sorted(found)]


def _expand(source: str, *, of_list: bool = False) -> Iterator[Document]:
    """The documents of a source. Of a line of a list with the suffix of a document it is not asked
    whether it is there: an object store would be asked millions of times."""
    protocol = protocol_of(source)
    fs, path = file_system(source)
    is_query = protocol.startswith("http") and "?" in source  # of a web server, no glob
    if is_query or (of_list and _suffix(source) in SUFFIXES and not _is_glob(path)):
        address = _address(fs, path)
        yield Document(address, address)
        return
    if protocol in ("", "file"):
        wanted, folder = _local(source, path)
    else:
        wanted, folder = _remote(source, fs, path)
    if not wanted and of_list and not folder:
        # Its row says that it is not there, as that of a name with a suffix does.
        yield Document(_address(fs, path), _address(fs, path))
        return
    if not wanted:
        raise InputError(f"{source}: no such file, or no image, PDF or tar file in it")
    for one in wanted:
        if isinstance(one, Document):
            yield one
            continue
        address = _address(fs, one)
        kind = _suffix(one)
        if kind == ".tar":
            try:
                with _reading(address):
                    yield from _members(fs, one, address)
            except InputError as error:
                if one == path and not of_list:
                    raise
                why = str(error).removeprefix(f"{address}: ")
                yield Document(address, address, problem=why)
        elif kind == ".txt" and not of_list:
            yield from _lines(fs, one, address)
        else:
            yield Document(address, address)


def _local(source: str, path: str) -> tuple[list[str | Document], bool]:
    """The files that a path of this machine names, and whether it is a folder."""
    if os.path.isdir(path):
        return list(_walk(path)), True
    if os.path.lexists(path):
        if not os.path.exists(path):
            raise InputError(f"{source}: a link to nothing")
        if not os.path.isfile(path):
            raise InputError(f"{source}: not a regular file")
        return [path], False
    faults: list[Document] = []
    found: list[str] = []
    if _is_glob(path):
        # fsspec's would walk through all that lies below the first sign.
        found = sorted(p for p in glob.iglob(path, recursive=True) if not os.path.isdir(p))
        for folder in glob.iglob(os.path.dirname(path), recursive=True):
            try:
                os.scandir(folder).close()
            except NotADirectoryError:
                continue
            except OSError as error:
                faults.append(_fault(error, folder))
    return [*found, *faults], False


def _walk(folder: str) -> Iterator[str | Document]:
    """The documents and tar files of a folder and those within it; folders and files that cannot
    be read come as faults. Links to folders are followed after all else, to each folder once. What
    is neither by its name nor by its content is named in a warning."""
    faults: list[Document] = []
    over: list[Path] = []
    seen: set[tuple[int, int]] = set()
    later = [folder]
    while later:
        for place, folders, files in os.walk(
            later.pop(0), onerror=lambda error: faults.append(_fault(error, folder))
        ):
            try:
                facts = os.stat(place)
            except OSError as error:
                faults.append(_fault(error, place))
                continue
            if (facts.st_dev, facts.st_ino) in seen:
                folders.clear()
                continue
            seen.add((facts.st_dev, facts.st_ino))
            folders.sort()
            later += [
                os.path.join(place, name)
                for name in folders
                if os.path.islink(os.path.join(place, name))
            ]
            for name in sorted(files):
                path = os.path.join(place, name)
                if _suffix(name) in {*SUFFIXES, ".tar"} or _is_document(path):
                    yield from _file(path)
                else:
                    over.append(Path(path))
    if over:
        log.warning("%s: passed over, as no images or PDF%s", printable(folder), listed(over))
    yield from faults


def _is_document(path: str) -> bool:
    """Whether a file is an image or PDF by its content; pipes and devices are not opened."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and is_page(Path(path))
    except OSError:
        return False


def _file(path: str) -> Iterator[str | Document]:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        yield Document(path, path, problem="a link to nothing")
    except OSError as error:
        yield _fault(error, path)
    else:
        if stat.S_ISREG(mode):
            yield path
        else:
            yield Document(path, path, problem="not a regular file")


def _fault(error: Exception, place: str) -> Document:
    """A folder or file that cannot be read."""
    name = getattr(error, "filename", None) or place
    why = getattr(error, "strerror", None) or explain(error)
    return Document(os.fsdecode(name), place, problem=f"cannot be read ({why})")


def _remote(source: str, fs: Any, path: str) -> tuple[list[str | Document], bool]:
    """The files that an address names, and whether it is a folder."""
    faults: list[Document] = []

    def failed(error: Exception) -> None:
        faults.append(_fault(error, source))

    with _reading(source):
        if _suffix(path) not in {*SUFFIXES, ".tar", ".txt"} and fs.isdir(path):
            # What a web server lists may be forbidden: without `on_error` it would be left out.
            web = protocol_of(source).startswith("http")
            paths = sorted(fs.find(path, on_error=failed) if web else fs.find(path))
            return [*(p for p in paths if _suffix(p) in {*SUFFIXES, ".tar"}), *faults], True
        if fs.exists(path):
            return [path], False
        if _is_glob(path):
            return [p for p in fs.glob(path) if not fs.isdir(p)], False
        if fs.isdir(path):
            return _remote(f"{source}/", fs, f"{path}/")
    return [], False


def _lines(fs: Any, path: str, address: str) -> Iterator[Document]:
    """The documents of a list."""
    with _reading(address):
        content = fs.cat_file(path)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{address}: is UTF-16; save the list as UTF-8")
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            try:
                yield from _expand(line.strip(), of_list=True)
            except InputError as error:
                raise InputError(f"{address}: line {number}: {error}") from None


def _suffix(path: str) -> str:
    """Of a file's own name, in lower case; of an address of a web server without its query."""
    if path.startswith(("http://", "https://")):
        path = path.partition("?")[0].partition("#")[0]
    return PurePosixPath(path).suffix.lower()


def _is_glob(path: str) -> bool:
    return any(sign in path for sign in "*?[")


def _is_local(fs: Any) -> bool:
    return "file" in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol)


def _address(fs: Any, path: str) -> str:
    """The whole address of a path; of a file on this machine its plain path."""
    return path if _is_local(fs) else fs.unstrip_protocol(path)


def _members(fs: Any, path: str, address: str) -> Iterator[Document]:
    with fs.open(path, "rb") as stream:
        for member in read_members(stream, lambda name: _suffix(name) in SUFFIXES, is_page_content):
            name = f"tar://{member.name}::{address}" if member.name else address
            yield Document(name, address, member.start, member.length, member.problem)


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
    if document.problem:
        raise InputError(f"{document.name}: {document.problem}")
    fs, path = file_system(document.address)
    if document.length < 0 and _is_local(fs):
        yield Path(path)
        return
    try:
        content = read_bytes(document.address, document.start, document.length)
    except InputError as error:
        raise InputError(str(error).replace(document.address, document.name, 1)) from None
    with scratch_folder("batch") as folder:
        suffix = document.suffix
        if suffix not in SUFFIXES and b"%PDF-" in content[:1024]:
            suffix = ".pdf"  # an address need not end as its file does
        copy = folder / f"document{suffix}"
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
