"""Files that are written whole or not at all, folders that one process writes to, and what the
values of a JSON file are."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from lmv3det.errors import InputError

LOCK = ".lmv3det.lock"
"""A lock's file in the folder that it keeps."""
_NUMBERS = {int, float}
_WHOLE = re.compile(r"\s*-?\d{1,18}\s*", re.ASCII)
_TEMPORARY = re.compile(r"\.(\d+)\.[0-9a-f]{12}(\.\w+)?")


def temporary_path(path: Path) -> Path:
    """A hidden name beside `path` for what will replace it: of this process and host, short,
    because names end at 255 bytes, and with its suffix, because picture formats are told by it."""
    name = hashlib.sha256(os.fsencode(f"{path.name} {socket.gethostname()}")).hexdigest()[:12]
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
        with naming(path, temporary):
            yield temporary
            for told in _watchers:
                told(path, temporary)
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # where nothing can be written, nothing can be removed
            temporary.unlink(missing_ok=True)


_watchers: list[Callable[[Path, Path], None]] = []


@contextlib.contextmanager
def watching(told: Callable[[Path, Path], None]) -> Iterator[None]:
    """Tell of each file that `replacing` is about to put into its place, until the block ends.

    Args:
        told: is given the path and the temporary one; what it raises keeps the file away.
    """
    _watchers.append(told)
    try:
        yield
    finally:
        _watchers.remove(told)


@contextlib.contextmanager
def lock_folder(folder: Path, what: str, inner: Sequence[str] = ()) -> Iterator[None]:
    """Keep a folder, which is made, for one job at a time. The lock ends with the block, or with
    the process, however that dies. Temporary files that a killed job left are removed.

    Args:
        folder: where the job writes.
        what: who may have it, in words, such as "another training".
        inner: names of folders in it that the job writes to, at any depth.

    Raises:
        InputError: another job has the folder, or it cannot be made or written to.
    """
    with _lock(folder / LOCK, folder, what, "folder"):
        remove_temporary(folder)
        for name in inner:
            for below in (folder / name, *(folder / name).rglob("*/")):
                if below.is_dir():
                    remove_temporary(below)
        yield


@contextlib.contextmanager
def lock_file(path: Path, what: str) -> Iterator[None]:
    """Keep a file, whose folder is made, for one job at a time, as `lock_folder` does a folder.
    Temporary files that a killed job left of it are removed.

    Args:
        path: what the job writes.
        what: who may have it, in words.

    Raises:
        InputError: another job writes it, or its folder cannot be made or written to.
    """
    name = temporary_path(path).name.removeprefix(f".{os.getpid()}")
    with _lock(path.with_name(f"{name}{LOCK}"), path, what, "file"):
        remove_leftovers(path)
        yield


@contextlib.contextmanager
def _lock(lock_path: Path, kept: Path, what: str, kind: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_path).acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{kept}: {what} writes to it already; wait for it, or set another {kind}"
        ) from None
    except OSError as error:
        raise InputError(f"{kept}: cannot be written to ({error}); set another {kind}") from None
    with lock:
        try:
            yield
        finally:
            # Under the lock: whoever opened this file meanwhile sees that it has gone.
            lock_path.unlink(missing_ok=True)


def remove_temporary(folder: Path) -> None:
    """Remove what killed jobs left of files that they were writing in a folder, not below it. Files
    of other processes that live, such as an export into the folder, stay."""
    for path in folder.iterdir():
        found = _TEMPORARY.fullmatch(path.name)
        if found and (int(found[1]) == os.getpid() or not _is_alive(int(found[1]))):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder(what: str) -> Iterator[Path]:
    """An empty folder in the system's temporary one, until the block ends. Those that killed
    processes left are removed: a lock, which the system drops with its process, tells them.

    Args:
        what: a word, part of the name.
    """
    from filelock import FileLock

    sweep_scratch(what)
    name = tempfile.mkdtemp(prefix=f"lmv3det-{what}-")
    try:
        with FileLock(Path(name) / LOCK).acquire(timeout=0):
            folder = Path(name) / "files"
            folder.mkdir(mode=0o700)
            yield folder
    finally:
        shutil.rmtree(name, ignore_errors=True)


def sweep_scratch(what: str) -> None:
    """Remove the temporary folders of this user that killed processes left."""
    from filelock import FileLock, Timeout

    for left in Path(tempfile.gettempdir()).glob(f"lmv3det-{what}-*"):
        with contextlib.suppress(OSError, Timeout):
            facts = left.lstat()
            ours = not hasattr(os, "geteuid") or facts.st_uid == os.geteuid()
            if not (stat.S_ISDIR(facts.st_mode) and ours and (left / LOCK).is_file()):
                continue  # another's, or one that is being made
            with FileLock(left / LOCK).acquire(timeout=0):
                shutil.rmtree(left / "files", ignore_errors=True)
            shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `folder` (missing or empty) when the block ends
    without an error.

    Raises:
        InputError: another process has filled the folder meanwhile.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    temporary = temporary_path(folder)
    try:
        with naming(folder, temporary):
            temporary.mkdir()
            yield temporary
            try:
                os.replace(temporary, folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                raise InputError(f"{folder}: another process has written it meanwhile") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """An `OSError` that names no file, or the temporary one, becomes one that names `path`."""
    try:
        yield
    except OSError as error:
        text = str(error)
        if temporary is not None and str(temporary) in text:
            text = text.replace(str(temporary), str(path))
        elif error.filename is not None or str(path) in text:
            raise
        else:
            text = f"{path}: cannot be written ({text})"
        named = OSError(text)
        named.errno = error.errno
        raise named from error


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes of this host left of writing `path` by `replacing` or
    `replacing_folder`."""
    ours = temporary_path(path).name.removeprefix(f".{os.getpid()}")
    for left in path.parent.iterdir() if path.parent.is_dir() else ():
        pid = left.name.removesuffix(ours)[1:]
        if not left.name.endswith(ours) or not pid.isdecimal() or _is_alive(int(pid)):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":  # there, signal 0 is no question
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


def content_hash(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file at once or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON at once or not at all; NaN is refused."""
    with replacing(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        # A lone surrogate becomes the JSON escape of the same name.
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def read_json(path: Path) -> Any:
    """The value of a JSON file, NaN included.

    Raises:
        InputError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from None


def is_int(value: Any) -> TypeGuard[int]:
    """Whether a JSON value is a whole number that 64 bits hold (true and false are not)."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def as_int(value: Any) -> int | None:
    """A whole number of a JSON value, which some tools write as text or with a point; else None."""
    if is_int(value):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    return None


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a finite number of a size that pixels can have."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


def as_number(value: Any) -> float | None:
    """A finite number of a JSON value, which some tools write as text; else None."""
    if isinstance(value, str) and len(value) < 40:
        try:
            value = float(value)
        except ValueError:
            return None
    return value if is_number(value) else None


def is_unicode(text: str) -> bool:
    """Whether a string can be written as UTF-8: JSON escapes can make halves of characters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_path(text: str) -> bool:
    """Whether a string can be the name of a file."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def are_numbers(values: list[Any]) -> bool:
    """`is_number` of every value of a list, at once."""
    if not values:
        return True
    if not set(map(type, values)) <= _NUMBERS:
        return False
    try:  # their length is one pass, where the rest is three; NaN compares with nothing
        if math.hypot(*values) < 1e12:
            return True
    except OverflowError:  # a whole number beyond a float
        return False
    # NaN and infinity are found by the sum.
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
        with naming(self.path, self.temporary):
            self.stream.write(f",\n{text}" if self.count else f"\n{text}")
        self.count += 1

    def __enter__(self) -> JsonList:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.stream = open(self.temporary, "w", encoding="utf-8", errors="backslashreplace")
        self.stream.write("[")
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            with naming(self.path, self.temporary):
                self.stream.write("\n]\n")
                self.stream.close()
                if self.count or error is None:
                    os.replace(self.temporary, self.path)
        finally:
            self.temporary.unlink(missing_ok=True)
