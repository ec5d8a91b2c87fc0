"""The index of a large annotation file, made once and kept in a cache folder.

It is named by the content of the file, so that a copy of a data set finds it too. Several
processes of a node share one: the first makes it, the others wait, all map it into memory. Whenever
one is made, those that were not used for long are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lmv3det.data.archive import is_zip
from lmv3det.data.coco_index import index_coco
from lmv3det.data.image_folder import ImageFolder
from lmv3det.data.packed import Packed, PackedWriter, pack_in_memory
from lmv3det.errors import InputError
from lmv3det.files import replacing, write_json

log = logging.getLogger(__name__)

CACHE = "LMV3DET_CACHE"
"""Environment variable with the cache folder."""
_LARGE = 64 << 20
"""Bytes from which an annotation file is large; smaller ones are read in a second."""
_DIGEST = re.compile("[0-9a-f]{32}")
_VERSION = 2
"""Grows whenever the same file gives another index."""
UNUSED_DAYS = 60
"""Days without use after which an index is removed."""
MAX_BYTES = 20 << 30
"""Of all indexes together: beyond it, those that were not used for longest are removed."""


def cache_folder() -> Path:
    """`$LMV3DET_CACHE`, or `lmv3det` in the user's cache folder."""
    given = os.environ.get(CACHE)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lmv3det"


def open_index(annotations: Path, images: Path) -> Packed:
    """The index of a COCO file (`index_coco`): from the cache where the file is large.

    Raises:
        InputError: no such file or folder, or no COCO file.
    """
    try:
        size = os.stat(annotations).st_size
    except OSError as error:
        why = "no such annotation file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{annotations}: {why}") from None
    if not annotations.is_file() and not annotations.is_dir():
        raise InputError(f"{annotations}: not a regular file; give COCO instances JSON")
    if not images.is_dir():
        if is_zip(images):
            raise InputError(f"{images}: a ZIP; unpack its images, and give their folder")
        raise InputError(f"{images}: no such image folder")

    def fill(writer: PackedWriter) -> dict[str, Any]:
        bar = tqdm(
            total=size,
            unit="B",
            unit_scale=True,
            desc=f"indexing {annotations.name}",
            disable=None if size >= _LARGE else True,
        )
        with bar:
            return index_coco(annotations, images, writer, lambda at: _advance(bar, at))

    if size < _LARGE or annotations.is_dir():
        return pack_in_memory(fill)
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _cached(folder / f"{_content(annotations, folder)}-{_VERSION}.index", images, fill)
    except OSError as error:
        log.warning(
            "%s: its index cannot be kept in %s (%s) and is made anew by each process; set %s to "
            "a folder with room",
            annotations, folder, error, CACHE,
        )  # fmt: skip
        return pack_in_memory(fill)


def _advance(bar: tqdm, place: int) -> None:
    bar.update(place - bar.n)


def _cached(path: Path, images: Path, fill: Any) -> Packed:
    from filelock import FileLock

    found = _usable(path, images)
    if found is not None:
        _used(path)
        return found
    with FileLock(path.with_suffix(".lock")):
        found = _usable(path, images)  # another process may have made it meanwhile
        if found is not None:
            return found
        with replacing(path) as temporary, open(temporary, "w+b") as file:
            writer = PackedWriter(file)
            writer.finish(fill(writer))
        _tidy(path)
        return Packed(path)


def _used(path: Path) -> None:
    """Note that an index is in use: its time of change is that of the last use."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _tidy(kept: Path) -> None:
    """Remove from the cache what was not used for long, and the oldest where there is too much;
    never the index at `kept`. A process that has one of them mapped keeps it."""
    last, total = time.time() - UNUSED_DAYS * 86400, 0
    indexes: list[tuple[float, int, Path]] = []
    for path in kept.parent.iterdir():
        try:
            found = path.stat()
        except OSError:  # another process tidies too
            continue
        if path.suffix == ".index":
            indexes.append((found.st_mtime, found.st_size, path))
        elif path.suffix in (".json", ".lock") and found.st_mtime < last:
            _remove(path)
    for time_used, size, path in sorted(indexes, reverse=True):
        total += size
        if path != kept and (time_used < last or total > MAX_BYTES):
            log.info("%s: removed from the cache", path)
            _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _usable(path: Path, images: Path) -> Packed | None:
    """The index at a path, if what it says of the image files is still so."""
    try:
        index = Packed(path)
    except (OSError, ValueError):
        return None
    header = index.header
    depends = header["looked_for"] or header["read"]
    if depends and header["images"] != str(images):
        return None
    folder = ImageFolder(images)
    names = index.names.tobytes().decode("utf-8", "surrogatepass").split("\0")[:-1]
    if not all(map(folder.has, names)):
        return None
    if any(folder.find(name) != file for name, file in header["looked_for"]):
        return None
    for name, size, changed in header["read"]:
        try:
            found = os.stat(images / name)
        except OSError:
            return None
        if (found.st_size, found.st_mtime_ns) != (size, changed):
            return None
    return index


def _content(path: Path, folder: Path) -> str:
    """The hash of a file's content; from the note of an earlier call while size and time of the
    file are the same."""
    found = os.stat(path)
    name = str(path.resolve())
    state = [name, found.st_size, found.st_mtime_ns]
    note = folder / f"{hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()}.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["file"] == state and _DIGEST.fullmatch(known["content"]):
            return known["content"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    write_json(note, {"file": state, "content": digest.hexdigest()})
    return digest.hexdigest()
