"""Files that are written whole or not at all, and folders that one process writes to."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmv3det.errors import InputError

LOCK = ".lmv3det.lock"
"""A lock's file in the folder that it keeps."""
_TEMPORARY = re.compile(r"\.\d+\.[0-9a-f]{12}(\.\w+)?")


def temporary_path(path: Path) -> Path:
    """A hidden name beside `path` for what will replace it: short, because names end at 255 bytes,
    and with its suffix, because picture formats are told by it."""
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    return path.with_name(f".{os.getpid()}.{name}{path.suffix}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which replaces `path` when the block ends without an error.

    Its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
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
            for path in folder.iterdir():
                if _TEMPORARY.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            yield
        finally:
            # Under the lock: whoever opened this file meanwhile sees that it has gone.
            (folder / LOCK).unlink(missing_ok=True)


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
