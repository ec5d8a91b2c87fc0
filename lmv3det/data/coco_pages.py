"""The `images` of a COCO file, checked against the image folder."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lmv3det.data.image_folder import ImageFolder, is_within, last_part
from lmv3det.data.images import read_size
from lmv3det.data.issues import DataReport
from lmv3det.data.limits import MAX_SIDE
from lmv3det.data.packed import PackedWriter
from lmv3det.errors import InputError
from lmv3det.files import as_int

NAMED = "named"
"""Key of an image: what the annotation tool called the file, where `file_name` says less."""


class PageList:
    """The pages of a COCO file whose images are there.

    Attributes:
        number: image id → place of the page.
        names: each page's file, relative to the image folder.
        sizes: width and height of each page, one after the other.
        missing: names of which no file was found.
        looked_for: names that are no file's as they are written, and the file that was found.
        read: files that were opened: name, size in bytes, time in ns.
        left_out: ids of images that are reported as left out; their annotations then go without a
            word.
    """

    def __init__(self, images: Path, report: DataReport) -> None:
        self.images, self.report = images, report
        self.folder = ImageFolder(images)
        self.number: dict[int, int] = {}
        self.names: list[str] = []
        self.sizes = array("q")
        self.missing: list[str] = []
        self.looked_for: list[tuple[str, str | None]] = []
        self.read: list[tuple[str, int, int]] = []
        self.left_out: set[int] = set()

    def extend(self, entries: Iterable[Any]) -> None:
        """Check entries: all of them at once, because they are compared with each other."""
        add, seen = self.report.add, dict[str, int]()
        entries = list(entries)
        names = [self._name(entry) for entry in entries]
        ids = [_id(entry) for entry in entries]
        found = {name: self._find(name) for name in names if name}
        # Two names that differ in their folders, but not in the one file that is there.
        claims = Counter(file for name, file in found.items() if file is not None and file != name)
        claims.update(file for name, file in found.items() if file == name)
        files = {key: set[str]() for key, count in Counter(ids).items() if count > 1}
        for key, name in zip(ids, names, strict=True):
            if key in files and name:
                files[key].add(found[name] or name)
        for number, entry in enumerate(entries):
            where = f"images[{number}]"
            if not isinstance(entry, dict):
                add("malformed image", where, f"{entry!r:.80}", "left out")
                continue
            image_id, name = ids[number], names[number]
            if image_id is None or not name:
                problem = f"id {entry.get('id')!r:.80}, file_name {entry.get('file_name')!r:.80}"
                add("malformed image", where, problem, "left out")
                continue
            where = f"image {image_id} ({entry['file_name']})"
            if len(files.get(image_id, ())) > 1:  # nobody can tell whose the annotations are
                if image_id not in self.left_out:
                    where = f"image {image_id} ({', '.join(sorted(files[image_id]))[:200]})"
                    problem = f"{len(files[image_id])} files have the id: give each its own"
                    add("duplicate image id", where, problem, "left out, with its annotations")
                self.left_out.add(image_id)
                continue
            if image_id in self.number or image_id in self.left_out:
                add("duplicate image id", where, "the id is taken", "left out")
                continue
            file = found[name]
            if file is None or (file != name and claims[file] > 1):
                problem = f"no file {self.images / last_part(name)}"
                if not is_within(name):
                    problem += ", and nothing is read outside of this folder"
                if file is not None:
                    problem = f"{file} may be this page, or that of another entry: keep the folders"
                add("missing image", where, problem, "left out")
                self.left_out.add(image_id)
                continue
            if file in seen:
                add("file listed twice", where, f"image {seen[file]} is the same file", "kept")
            seen.setdefault(file, image_id)
            size = self._size(entry, file, where)
            if size is None:
                self.left_out.add(image_id)
                continue
            self.number[image_id] = len(self.names)
            self.names.append(file)
            self.sizes.extend(size)

    def _name(self, entry: Any) -> str:
        """What an entry calls its file; "" where it does not."""
        if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
            return ""
        return entry.get(NAMED) or entry["file_name"]

    def _find(self, name: str) -> str | None:
        file = self.folder.find(name)
        if file is None:
            self.missing.append(name)
        if file != name:
            self.looked_for.append((name, file))
        return file

    def _size(self, entry: dict[str, Any], name: str, where: str) -> tuple[int, int] | None:
        """(width, height), of the file where the entry says none; None if it cannot be read."""
        width, height = as_int(entry.get("width")), as_int(entry.get("height"))
        if 0 < (width or 0) <= MAX_SIDE and 0 < (height or 0) <= MAX_SIDE:
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
        problem = f"width {entry.get('width')!r:.80}, height {entry.get('height')!r:.80}"
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


def _id(entry: Any) -> int | None:
    return as_int(entry.get("id")) if isinstance(entry, dict) else None
