"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmv3det.errors import InputError

LOCK = ".lmv3det.lock"
"""A lock's file in the folder that it keeps."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which replaces `path` when the block ends without an error.

    Its folder is made. The suffix stays the same, because picture formats are told by it. An
    `OSError` that names no file (no room, say) becomes one that names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with _naming(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def lock_folder(folder: Path, what: str) -> Iterator[None]:
    """Keep a folder, which is made, for one job at a time. The lock ends with the block, or with
    the process, however that dies; its file stays.

    Args:
        folder: where the job writes.
        what: the job in words, such as "a training".

    Raises:
        InputError: another job has the folder.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{folder}: {what} writes to it already; wait for it, or set another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


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


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON at once or not at all; NaN is refused."""
    with replacing(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        # A lone surrogate becomes the JSON escape of the same name.
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


class JsonList:
    """Writes a JSON list, an entry a line, as the entries come; NaN is refused.

    The list replaces `path` when the block ends, also when an error or Ctrl-C ends it: what was
    appended until then is kept. Only an error before the first entry leaves `path` as it was.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self.temporary = path.with_name(f".{os.getpid()}.{path.name}")

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
