"""The `images` of a COCO file, checked against the image folder."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lmv3det.data.images import read_size
from lmv3det.data.issues import DataReport
from lmv3det.data.limits import MAX_SIDE
from lmv3det.data.packed import PackedWriter
from lmv3det.errors import InputError
from lmv3det.files import is_int


class PageList:
    """The pages of a COCO file whose images are there."""

    def __init__(self, images: Path, report: DataReport) -> None:
        self.images, self.report = images, report
        self.number: dict[int, int] = {}
        self.names: list[str] = []
        self.sizes = array("q")
        self.listed: dict[Path, set[str]] = {}
        self.missing: list[str] = []
        self.read: list[tuple[str, int, int]] = []
        # Images that are reported as left out; their annotations then go without a word.
        self.left_out: set[int] = set()

    def extend(self, entries: Iterable[Any]) -> None:
        add, seen = self.report.add, dict[str, int]()
        for number, entry in enumerate(entries):
            where = f"images[{number}]"
            if not isinstance(entry, dict):
                add("malformed image", where, f"{entry!r:.80}", "left out")
                continue
            image_id, name = entry.get("id"), entry.get("file_name")
            if not is_int(image_id) or not isinstance(name, str) or not name:
                problem = f"id {image_id!r:.80}, file_name {name!r:.80}"
                add("malformed image", where, problem, "left out")
                continue
            where = f"image {image_id} ({name})"
            if image_id in self.number:
                add("duplicate image id", where, "the id is taken", "left out")
                continue
            if not self._there(name):
                add("missing image", where, f"no file {self.images / name}", "left out")
                self.left_out.add(image_id)
                self.missing.append(name)
                continue
            if name in seen:
                add("file listed twice", where, f"image {seen[name]} is the same file", "kept")
            seen.setdefault(name, image_id)
            size = self._size(entry, name, where)
            if size is None:
                self.left_out.add(image_id)
                continue
            self.number[image_id] = len(self.names)
            self.names.append(name)
            self.sizes.extend(size)

    def _there(self, name: str) -> bool:
        path = self.images / name
        if path.parent not in self.listed:
            self.listed[path.parent] = names_in(path.parent)
        return path.name in self.listed[path.parent]

    def _size(self, entry: dict[str, Any], name: str, where: str) -> tuple[int, int] | None:
        """(width, height), of the file where the entry says none; None if it cannot be read."""
        width, height = entry.get("width"), entry.get("height")
        if all(is_int(side) and 0 < side <= MAX_SIDE for side in (width, height)):
            return width, height  # type: ignore[return-value]
        path = self.images / name
        try:
            found = os.stat(path)
            self.read.append((name, found.st_size, found.st_mtime_ns))
            read_height, read_width = read_size(path)
        except OSError as error:
            self.report.add("unreadable image", where, str(error), "left out")
            return None
        except InputError as error:
            self.report.add("unreadable image", where, str(error), "left out")
            return None
        problem = f"width {width!r:.80}, height {height!r:.80}"
        action = f"the file's {read_width}×{read_height} taken"
        self.report.add("size missing", where, problem, action)
        return read_width, read_height

    def write(self, writer: PackedWriter) -> None:
        names = [name.encode("utf-8", "surrogatepass") + b"\0" for name in self.names]
        sizes = np.array(self.sizes, dtype=np.int64).reshape(-1, 2)
        writer.add("image_id", np.array(list(self.number), dtype=np.int64))
        writer.add("width", sizes[:, 0])
        writer.add("height", sizes[:, 1])
        writer.add("names", np.frombuffer(b"".join(names), dtype=np.uint8))
        writer.add("name_start", np.cumsum([0, *map(len, names)], dtype=np.int64))


def names_in(folder: Path) -> set[str]:
    """The names in a folder; none where there is no such folder."""
    try:
        return set(os.listdir(folder))
    except (OSError, ValueError):
        return set()
