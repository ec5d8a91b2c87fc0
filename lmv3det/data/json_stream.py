"""The lists of a large JSON file, entry by entry, so that the file is never held as a whole."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Collection, Iterator
from json.decoder import JSONDecodeError
from pathlib import Path
from typing import Any

from lmv3det.data.archive import AnnotationFile

_WINDOW = 1 << 22
"""Characters read at a time."""
_ENTRIES = 1024
"""Entries handed over at a time, at most."""
_SPACE = re.compile(r"[ \t\n\r]*")
_COMMA = re.compile(r"[ \t\n\r]*,[ \t\n\r]*")


class NoList(ValueError):
    """The file is JSON, but no object that holds lists."""


def read_lists(
    path: Path | AnnotationFile,
    keys: Collection[str],
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[str, bool, list[Any]]]:
    """The entries of some lists of a JSON object, in the order of the file.

    Every value is what `json.loads` makes of it, NaN included.

    Args:
        path: file with the object.
        keys: of its lists that are wanted; the rest is read over.
        progress: callback, with how many bytes have been read.

    Yields:
        (key, whether a list begins here, some of its entries). A list that is empty comes as no
        entries. A key that is there twice begins twice; the last one counts in JSON.

    Raises:
        NoList: something else than an object, or than a list under one of the keys.
        ValueError: not JSON.
        OSError: the file cannot be read.
    """
    with path.open("rb") as content:
        encoding = json.detect_encoding(content.read(4))
        content.seek(0)
        file = io.TextIOWrapper(content, encoding, errors="surrogatepass", newline="")
        yield from _Reader(file, progress).lists(keys)


class _Reader:
    def __init__(self, file: Any, progress: Callable[[int], None] | None) -> None:
        self.file, self.progress = file, progress
        self.text, self.place, self.before = "", 0, 0
        self.ended = False
        self.scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
        self._fill()

    def lists(self, keys: Collection[str]) -> Iterator[tuple[str, bool, list[Any]]]:
        if self._next() != "{":
            self._value()
            raise NoList(f"it has no list {next(iter(keys))!r}")
        self.place += 1
        if self._next() == "}":
            self.place += 1
        else:
            while True:
                if self._next() != '"':
                    raise self._error("Expecting property name enclosed in double quotes")
                key = self._value()
                if self._next() != ":":
                    raise self._error("Expecting ':' delimiter")
                self.place += 1
                is_list = self._next() == "["
                if key not in keys:
                    self._value()
                elif is_list:
                    for first, entries in self._entries():
                        yield key, first, entries
                else:
                    self._value()
                    raise NoList(f"it has no list {key!r}")
                end = self._next()
                self.place += 1
                if end == "}":
                    break
                if end != ",":
                    self.place -= 1
                    raise self._error("Expecting ',' delimiter")
        if self._next():
            raise self._error("Extra data")

    def _entries(self) -> Iterator[tuple[bool, list[Any]]]:
        self.place += 1
        entries: list[Any] = []
        first = True
        if self._next() != "]":
            comma = True
            while comma:
                entries.append(self._value())
                if len(entries) == _ENTRIES:
                    yield first, entries
                    entries, first = [], False
                comma = self._skip_comma()
            if self._next() != "]":
                raise self._error("Expecting ',' delimiter")
        self.place += 1
        if entries or first:
            yield first, entries

    def _skip_comma(self) -> bool:
        match = _COMMA.match(self.text, self.place)
        if match is None or match.end() == len(self.text):
            if self._next() != ",":
                return False
            self.place += 1
            self._next()
            return True
        self.place = match.end()
        return True

    def _value(self) -> Any:
        """The value at `place`, which is moved behind it."""
        while True:
            try:
                value, end = self.scan(self.text, self.place)
            except StopIteration:
                if self.ended:
                    raise self._error("Expecting value") from None
            except JSONDecodeError as error:
                if self.ended:
                    self.place = error.pos
                    raise self._error(error.msg) from None
            else:
                # A number at the end of the window may go on behind it: 1, 1e, 1e+, 1e+3.
                if end + 2 < len(self.text) or self.ended:
                    self.place = end
                    return value
            self._fill()

    def _next(self) -> str:
        """The next character that is no space, "" at the end; `place` is moved to it."""
        while True:
            match = _SPACE.match(self.text, self.place)
            assert match is not None
            self.place = match.end()
            if self.place < len(self.text):
                return self.text[self.place]
            if self.ended:
                return ""
            self._fill()

    def _fill(self) -> None:
        """Read on; what was read over is dropped. Windows grow with what has to be in one."""
        kept = self.text[self.place :]
        self.before += self.place
        more = self.file.read(max(_WINDOW, len(kept)))
        self.text, self.place, self.ended = kept + more, 0, not more
        if self.progress is not None:
            self.progress(self.file.buffer.tell())

    def _error(self, what: str) -> ValueError:
        return ValueError(f"{what} at character {self.before + self.place}")
