"""The names of files that belong to pages."""

from __future__ import annotations

import hashlib
import os
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
    stem = Path(path).stem
    return f"{stem}.json" if pages == 1 else f"{stem}_p{number + 1}.json"


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

    Args:
        files: each with its number of pages.
    """
    names = UniqueNames()
    return {
        (str(path), number): names.new(ocr_name(path, number, pages).removesuffix(".json"), ".json")
        for path, pages in files
        for number in range(pages)
    }


def _fitting(stem: str, suffix: str, max_bytes: int) -> str:
    whole = os.fsencode(stem)
    limit = max_bytes - len(os.fsencode(suffix))
    if len(whole) <= limit:
        return stem + suffix
    mark = f"~{hashlib.sha256(whole).hexdigest()[:8]}"
    # A character that is cut in two is left out.
    return whole[: limit - len(mark)].decode(errors="ignore") + mark + suffix
