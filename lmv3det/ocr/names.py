"""The names of files that belong to pages."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

MAX_BYTES = 255
"""Of a file's name, on nearly all file systems."""


def ocr_name(path: str | os.PathLike, number: int = 0, pages: int = 1) -> str:
    """The name of a page's OCR file.

    `<stem>.json` for the only page of an image or PDF; `<stem>_p<number>.json`, counted from 1,
    where there are several.

    Args:
        path: image or PDF.
        number: the page within it, from 0.
        pages: how many it has.
    """
    return f"{Path(path).stem}{_page(number, pages)}.json"


def full_ocr_name(path: str | os.PathLike, number: int = 0, pages: int = 1) -> str:
    """As `ocr_name` with the file's whole name, which tells `a.png` from `a.jpg`; every reader of
    OCR files prefers it where it is there."""
    return f"{Path(path).name}{_page(number, pages)}.json"


def _page(number: int, pages: int) -> str:
    return "" if pages == 1 else f"_p{number + 1}"


class UniqueNames:
    """Gives out file names, each once: `a.png`, then `a-2.png`, `a-3.png`.

    Names that differ in upper and lower case alone count as the same, as they do on some file
    systems. A name that is too long is cut, and keeps apart from others by a hash of the whole.

    Args:
        max_bytes: of a name.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.taken: set[str] = set()

    def new(self, stem: str, suffix: str) -> str:
        """A name that was not given before: the stem, a number if needed, and the suffix."""
        name, number = _fitting(stem, suffix, self.max_bytes), 1
        while name.casefold() in self.taken:
            number += 1
            name = _fitting(stem, f"-{number}{suffix}", self.max_bytes)
        self.taken.add(name.casefold())
        return name


def page_names(files: Iterable[tuple[Path, int]]) -> dict[tuple[str, int], str]:
    """The OCR file's name of every page of the files of a job: (path, page from 0) → name.

    `ocr_name`, but `full_ocr_name` where several pages of a folder have the same. Files of several
    folders keep the folder's name: `train/a.json` and `val/a.json`.

    Args:
        files: each with its number of pages.
    """
    pages = [(path, number, count) for path, count in files for number in range(count)]
    folders = folder_names(path for path, _, _ in pages)
    same = Counter((folders[path.parent], ocr_name(path, n, k).casefold()) for path, n, k in pages)
    names: defaultdict[str, UniqueNames] = defaultdict(UniqueNames)
    found = {}
    for path, number, count in pages:
        folder, name = folders[path.parent], ocr_name(path, number, count)
        if same[folder, name.casefold()] > 1:
            name = full_ocr_name(path, number, count)
        name = names[folder].new(name.removesuffix(".json"), ".json")
        found[str(path), number] = f"{folder}/{name}" if folder else name
    return found


def folder_names(paths: Iterable[Path]) -> dict[Path, str]:
    """What the folders of files are called beside one another: the end of their paths that no
    other has (`train`, or `a/images` beside `b/images`); empty where there is one folder alone.

    Args:
        paths: of the files.
    """
    folders = {path.parent: Path(os.path.abspath(path.parent)).parts[1:] for path in paths}
    if len(set(folders.values())) < 2:
        return dict.fromkeys(folders, "")
    names = {}
    for folder, parts in folders.items():
        others = [other for other in folders.values() if other != parts]
        length = 1
        while length < len(parts) and any(
            [p.casefold() for p in other[-length:]] == [p.casefold() for p in parts[-length:]]
            for other in others
        ):
            length += 1
        names[folder] = "/".join(parts[-length:])
    return names


def _fitting(stem: str, suffix: str, max_bytes: int) -> str:
    whole = os.fsencode(stem)
    limit = max_bytes - len(os.fsencode(suffix))
    if len(whole) <= limit:
        return stem + suffix
    mark = f"~{hashlib.sha256(whole).hexdigest()[:8]}"
    # A character that is cut in two is left out.
    return whole[: limit - len(mark)].decode(errors="ignore") + mark + suffix
