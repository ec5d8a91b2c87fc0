"""The pages of a job, kept as they are done: JSON lines beside the result that they become."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from lmv3det.errors import InputError
from lmv3det.files import is_int, naming, replacing
from lmv3det.inference.entries import PageEntry

FORMAT = "lmv3det pages"
Key = tuple[str, int]
"""(file, page from 1) of an entry."""


class Journal:
    """A file of JSON lines: a head that says what job it is of, then an entry a page.

    Every entry is in the file when `append` returns, so that no page is lost when the process is
    killed; a line that was cut off then is dropped when the journal is opened again.

    Args:
        path: the file.
        settings: of the job: what entries depend on.
        resume: go on with what is there.

    Raises:
        InputError: with `resume`: it is of a job with other settings, or not a journal.
    """

    def __init__(self, path: Path, settings: dict[str, Any], resume: bool) -> None:
        self.path = path
        self.places: dict[Key, int] = {}
        self.inputs: dict[str, str] = {}
        if path.is_symlink() or (path.exists() and not _is_journal(path)):
            raise InputError(f"{path}: not written by a job; remove it")
        resume = resume and path.exists()
        self.stream: BinaryIO = open(path, "r+b" if resume else "w+b")  # noqa: SIM115
        try:
            if not (resume and self._read(settings)):
                self.stream.seek(0)
                self.stream.truncate()
                self._write({"format": FORMAT, "settings": settings})
        except BaseException:
            self.stream.close()
            raise

    def _read(self, settings: dict[str, Any]) -> bool:
        """Find the entries; False where not even the head was written whole."""
        head = self.stream.readline()
        if not head.endswith(b"\n"):
            return False
        try:
            found = json.loads(head.decode("utf-8"))
            if found["format"] != FORMAT:
                raise ValueError(found["format"])
            before = found["settings"]
            if not isinstance(before, dict):
                raise ValueError(before)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{self.path}: not written by a job; remove it") from None
        changed = [key for key, value in settings.items() if before.get(key) != value]
        if changed:
            raise InputError(
                f"{self.path}: the stopped job had "
                + ", ".join(f"{key} {before.get(key)!r}, not {settings[key]!r}" for key in changed)
                + "; give the same, or leave out --resume to start again"
            )
        place = self.stream.tell()
        for line in self.stream:
            found = _input(line)
            if found is not None and line.endswith(b"\n"):
                self.inputs[found[0]] = found[1]
                place += len(line)
                continue
            key = _key(line)
            if key is None or not line.endswith(b"\n"):
                break
            self.places[key] = place
            place += len(line)
        self.stream.seek(place)
        self.stream.truncate()
        return True

    def _write(self, content: Mapping[str, Any]) -> None:
        with naming(self.path):
            self.stream.write(_as_line(content) + b"\n")
            self.stream.flush()

    def add_input(self, file: str, sha256: str) -> None:
        """Note the content of a file, of which pages follow. Entries of another content are
        dropped: they are done again."""
        if self.inputs.get(file) != sha256:
            for key in [key for key in self.places if key[0] == file]:
                del self.places[key]
            self.stream.seek(0, 2)
            self._write({"input": file, "sha256": sha256})
            self.inputs[file] = sha256

    def append(self, entry: PageEntry) -> None:
        """Add a page; `file` and `page` are its key."""
        self.stream.seek(0, 2)
        place = self.stream.tell()
        self._write(entry)
        self.places[entry["file"], entry["page"]] = place

    def entries(self, keys: Iterable[Key] | None = None) -> Iterator[PageEntry]:
        """The entries, of the keys and in their order where they are given; missing ones are left
        out."""
        self.stream.flush()
        for key in list(self.places if keys is None else keys):
            if key in self.places:
                self.stream.seek(self.places[key])
                yield json.loads(self.stream.readline())

    def finish(self, result: Path, keys: Iterable[Key]) -> None:
        """Write the entries of the keys, in their order, as the JSON list `result`, without what
        documents alone are made of; then remove the journal."""
        with replacing(result) as temporary, open(temporary, "wb") as target:
            separator = b"[\n"
            for key in keys:
                if key in self.places:
                    self.stream.seek(self.places[key])
                    line = self.stream.readline().rstrip(b"\n")
                    target.write(separator + _without_content(line))
                    separator = b",\n"
            target.write(b"[\n]\n" if separator == b"[\n" else b"\n]\n")
        self.close()
        self.path.unlink()

    def close(self) -> None:
        """Close the file, which stays."""
        self.stream.close()


def _without_content(line: bytes) -> bytes:
    """A line without the content of documents, as it is written where it has none."""
    if b'"content": {' not in line:
        return line
    entry = json.loads(line)
    entry.pop("content", None)
    return _as_line(entry)


def _as_line(content: Mapping[str, Any]) -> bytes:
    # A lone surrogate, of a file name that is not UTF-8, becomes the JSON escape of it.
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")


def _key(line: bytes) -> Key | None:
    """The key of a line's entry; None where it is not whole."""
    try:
        entry = json.loads(line.decode("utf-8"))
        key = entry["file"], entry["page"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return key if isinstance(key[0], str) and is_int(key[1]) else None


def _input(line: bytes) -> tuple[str, str] | None:
    """The file and the hash of a line that notes them."""
    if not line.startswith(b'{"input": '):
        return None
    try:
        entry = json.loads(line.decode("utf-8"))
        return str(entry["input"]), str(entry["sha256"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _is_journal(path: Path) -> bool:
    """Whether a file begins as a journal does, or is so short that it may be the start of one."""
    start = b'{"format": "' + FORMAT.encode()
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        return start.startswith(stream.read(len(start)))


def count_entries(path: Path) -> int:
    """Pages in a journal that a stopped job left; 0 where there is none."""
    try:
        with open(path, "rb") as stream:
            whole = (line for line in stream if line.endswith(b"\n"))
            return max(sum(not line.startswith(b'{"input": ') for line in whole) - 1, 0)
    except OSError:
        return 0
