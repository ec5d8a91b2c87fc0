"""The files of an image folder, found by the names that annotation files give them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from lmv3det.data.images import IMAGE_SUFFIXES

_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)", re.DOTALL)
"""A file that was uploaded to Label Studio: its name with a random number before it."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MOST_PARTS = 64
"""Folders of a name that are looked at, from its end."""


class ImageFolder:
    """The files of an image folder.

    Tools name a file from a folder, a disk or a host of their own. `find` looks for the name that
    is meant, and never outside of the folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: dict[Path, set[str]] = {}
        self._likes: dict[Path, dict[str, list[str]]] = {}

    def has(self, name: str) -> bool:
        """Whether a name, relative and without `..`, is that of something in the folder."""
        path = self.path / name
        return path.name in self._listed(path.parent)

    def find(self, name: str) -> str | None:
        """A file's name relative to the folder, or None.

        The longest end of a path that is there is taken: first as it is written, then as a URL
        (`?d=…` of Label Studio's local files, `%20`), without the number that an upload puts
        before it, in another Unicode form or other case, and last without its suffix. Of several
        files that differ in case or suffix alone none is taken.
        """
        if _parts(name) and is_within(name) and self.has(name):
            return name
        paths = [_parts(written) for written in _readings(name)]
        for parts in paths:
            for end in _ends(parts):
                if self.has(end):
                    return end
        for parts in paths:
            uploaded = _UPLOADED.fullmatch(parts[-1]) if parts else None
            if uploaded:
                for end in _ends([*parts[:-1], uploaded[1]]):
                    if self.has(end):
                        return end
        for parts in paths:
            for end in _ends(parts):
                found = self._like(end)
                if found is not None:
                    return found
        return None

    def _like(self, name: str) -> str | None:
        """The one file that has this name but for case, Unicode form, or a suffix that is not
        written."""
        folder, _, base = name.rpartition("/")
        parent = self.path / folder
        if parent not in self._likes:
            likes = self._likes[parent] = {}
            for there in self._listed(parent):
                likes.setdefault(_plain(there), []).append(there)
                stem, dot, suffix = there.rpartition(".")
                if stem and f"{dot}{suffix}".lower() in IMAGE_SUFFIXES:
                    likes.setdefault(_plain(stem), []).append(there)
        found = self._likes[parent].get(_plain(base), [])
        return f"{folder}/{found[0]}".removeprefix("/") if len(found) == 1 else None

    def _listed(self, folder: Path) -> set[str]:
        if folder not in self._names:
            self._names[folder] = names_in(folder)
        return self._names[folder]


def names_in(folder: Path) -> set[str]:
    """The names in a folder; none where there is no such folder."""
    try:
        return set(os.listdir(folder))
    except (OSError, ValueError):
        return set()


def is_within(name: str) -> bool:
    """Whether a name is a path below the folder that it is relative to."""
    return not name.startswith("/") and ".." not in name.split("/") and not os.path.isabs(name)


def last_part(name: str) -> str:
    """The name of a file without the folders before it, as it is written."""
    parts = _parts(name)
    return parts[-1] if parts else ""


def same_path(name: str) -> str:
    """A path without `.`, `..` and backslashes: the same for all that name one file."""
    return "/".join(_parts(name))


def _readings(name: str) -> Iterator[str]:
    """A name as a path: as written, and as a URL."""
    yield name
    try:
        parts = urlsplit(name)
        local = parse_qs(parts.query, max_num_fields=20).get("d", [])
    except ValueError:
        return
    if local:
        yield local[0]
    if _URL.match(name) or parts.query:
        yield unquote(parts.path)
    elif "%" in name:
        yield unquote(name)


def _parts(name: str) -> list[str]:
    """The parts of a path; what `..` goes back from is dropped."""
    found: list[str] = []
    for part in name.replace("\\", "/").split("/"):
        if part == ".." and found:
            found.pop()
        elif part not in ("", ".", ".."):
            found.append(part)
    return found[-_MOST_PARTS:]


def _ends(parts: list[str]) -> Iterator[str]:
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
