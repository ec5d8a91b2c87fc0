"""Pages and regions of annotation tools, gathered as the lists of a COCO file."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lmv3det.data.coco_pages import names_in
from lmv3det.data.images import read_size
from lmv3det.data.issues import DataReport
from lmv3det.errors import InputError
from lmv3det.files import are_numbers

_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""A file that was uploaded to Label Studio: its name with a random number before it."""


class ToolPages:
    """What the readers of annotation tools add their pages and regions to.

    Args:
        images: folder of the page images.
        report: is told of what is left out.
    """

    def __init__(self, images: Path, report: DataReport) -> None:
        self.images, self.report = images, report
        self.pages: list[dict[str, Any]] = []
        self.regions: list[dict[str, Any]] = []
        self.labels: list[str] = []
        self.listed: dict[Path, set[str]] = {}

    def add_page(self, name: str, width: Any = None, height: Any = None) -> int:
        """Add a page, and return its id. A size that is not said is read from the file."""
        if width is None or height is None:
            with contextlib.suppress(InputError, OSError):  # as the check of the pages tells
                height, width = read_size(self.images / name)
        self.pages.append(
            {"id": len(self.pages) + 1, "file_name": name, "width": width, "height": height}
        )
        return len(self.pages)

    def add_region(self, page: int, label: str, points: np.ndarray, is_box: bool) -> None:
        """Add a region.

        Args:
            page: its id.
            label: its class.
            points: K×2 pixels, corners of a polygon, or with `is_box` two of a box.
            is_box: the sides are those of the page.
        """
        if label not in self.labels:
            self.labels.append(label)
        low, high = points.min(axis=0), points.max(axis=0)
        region = {
            "id": len(self.regions) + 1,
            "image_id": page,
            "category": label,
            "bbox": [*low.tolist(), *(high - low).tolist()],
            "iscrowd": 0,
        }
        if not is_box:
            region["segmentation"] = [points.ravel().tolist()]
        self.regions.append(region)

    def find(self, name: str) -> str:
        """A page's file relative to the image folder.

        Tools name a file from a folder of their own: the longest end of its path that is a file in
        the image folder is taken, also without the number that an upload puts before it. Where
        there is none, the file's name.
        """
        path = posixpath.normpath(name.replace("\\", "/"))
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            if self._there(end):
                return end
        last = parts[-1] if parts else ""
        uploaded = _UPLOADED.fullmatch(last)
        return uploaded[1] if uploaded and self._there(uploaded[1]) else last

    def _there(self, name: str) -> bool:
        path = self.images / name
        if path.parent not in self.listed:
            self.listed[path.parent] = names_in(path.parent)
        return path.name in self.listed[path.parent]

    def lists(self, labels: Sequence[str] | None = None) -> dict[str, list[dict[str, Any]]]:
        """`images`, `annotations` and `categories` of a COCO file.

        Args:
            labels: the classes in order, those that regions have beside; None: by name.
        """
        names = sorted(self.labels) if labels is None else list(dict.fromkeys(labels))
        names += sorted(set(self.labels) - set(names))
        ids = {name: k for k, name in enumerate(names, start=1)}
        regions = [
            {**{k: v for k, v in r.items() if k != "category"}, "category_id": ids[r["category"]]}
            for r in self.regions
        ]
        categories = [{"id": key, "name": name} for name, key in ids.items()]
        return {"images": self.pages, "annotations": regions, "categories": categories}


def read_points(points: Any) -> np.ndarray | None:
    """K×2 float64 of a list of x, y pairs; None where it is none."""
    if not isinstance(points, list) or not points:
        return None
    if not all(isinstance(p, list) and len(p) == 2 and are_numbers(p) for p in points):
        return None
    return np.array(points, dtype=np.float64)


def turned_box(
    box: Sequence[float], degrees: float, centre: Sequence[float] | None = None
) -> np.ndarray:
    """The 4×2 corners of a box that was turned clockwise.

    Args:
        box: x, y, width, height before.
        degrees: the angle.
        centre: x, y of the point that stays; None: the middle of the box.
    """
    x, y, w, h = box
    corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    fixed = np.array([x + w / 2, y + h / 2] if centre is None else centre)
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    return (corners - fixed) @ np.array([[cosine, sine], [-sine, cosine]]) + fixed
