"""Files that are written whole or not at all, folders that one process writes to, and what the
values of a JSON file are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from lmv3det.errors import InputError

LOCK = ".lmv3det.lock"
"""A lock's file in the folder that it keeps."""
_NUMBERS = {int, float}
_TEMPORARY = re.compile(r"\.\d+\.[0-9a-f]{12}(\.\w+)?")


def temporary_path(path: Path) -> Path:
    """A hidden name beside `path` for what will replace it: short, because names end at 255 bytes,
    and with its suffix, because picture formats are told by it."""
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    return path.with_name(f".{os.getpid()}.{name}{path.suffix}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which replaces `path` when the block ends without an error.

    Its folder is made. An `OSError` that names no file (no room, say) becomes one that names
    `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with _naming(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def lock_folder(folder: Path, what: str) -> Iterator[None]:
    """Keep a folder, which is made, for one job at a time. The lock ends with the block, or with
    the process, however that dies. Temporary files that a killed job left are removed.

    Args:
        folder: where the job writes.
        what: who may have it, in words, such as "another training".

    Raises:
        InputError: another job has the folder, or it cannot be made or written to.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK).acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{folder}: {what} writes to it already; wait for it, or set another folder"
        ) from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error}); set another folder") from None
    with lock:
        try:
            remove_temporary(folder)
            yield
        finally:
            # Under the lock: whoever opened this file meanwhile sees that it has gone.
            (folder / LOCK).unlink(missing_ok=True)


def remove_temporary(folder: Path) -> None:
    """Remove what killed jobs left of files that they were writing in a folder, not below it."""
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `folder` (missing or empty) when the block ends
    without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{os.getpid()}.{folder.name}")
    try:
        temporary.mkdir()
        with _naming(folder):
            yield temporary
            os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename is not None or str(path) in str(error):
            raise
        raise OSError(f"{path}: cannot be written ({error})") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file at once or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON at once or not at all; NaN is refused."""
    with replacing(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        # A lone surrogate becomes the JSON escape of the same name.
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def is_int(value: Any) -> TypeGuard[int]:
    """Whether a JSON value is a whole number that 64 bits hold (true and false are not)."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a finite number of a size that pixels can have."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


def is_unicode(text: str) -> bool:
    """Whether a string can be written as UTF-8: JSON escapes can make halves of characters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def are_numbers(values: list[Any]) -> bool:
    """`is_number` of every value of a list, at once."""
    if not values:
        return True
    if not set(map(type, values)) <= _NUMBERS:
        return False
    # NaN and infinity are found by the sum, as NaN compares with nothing.
    total = sum(values)
    return min(values) > -1e12 and max(values) < 1e12 and total - total == 0


class JsonList:
    """Writes a JSON list, an entry a line, as the entries come; NaN is refused.

    The list replaces `path` when the block ends, also when an error or Ctrl-C ends it: what was
    appended until then is kept. Only an error before the first entry leaves `path` as it was.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self.temporary = temporary_path(path)

    def append(self, entry: Any) -> None:
        """Write an entry."""
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        self.stream.write(f",\n{text}" if self.count else f"\n{text}")
        self.count += 1

    def __enter__(self) -> JsonList:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.stream = open(self.temporary, "w", encoding="utf-8", errors="backslashreplace")
        self.stream.write("[")
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self.stream.write("\n]\n")
            self.stream.close()
            if self.count or error is None:
                os.replace(self.temporary, self.path)
        finally:
            self.temporary.unlink(missing_ok=True)
