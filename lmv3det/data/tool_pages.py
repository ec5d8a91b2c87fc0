"""Pages and regions of annotation tools, gathered as the lists of a COCO file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lmv3det.data.coco_pages import NAMED
from lmv3det.data.image_folder import ImageFolder, last_part, same_path
from lmv3det.data.images import read_size
from lmv3det.data.issues import DataReport
from lmv3det.data.segmentation import mask_runs
from lmv3det.errors import InputError
from lmv3det.files import as_int


class ToolPages:
    """What the readers of annotation tools add their pages and regions to.

    Args:
        images: folder of the page images.
        report: takes what is left out.
    """

    def __init__(self, images: Path, report: DataReport) -> None:
        self.images, self.report = images, report
        self.pages: list[dict[str, Any]] = []
        self.regions: list[dict[str, Any]] = []
        self.labels: list[str] = []
        self.folder = ImageFolder(images)

    def size(self, name: str) -> tuple[int, int] | None:
        """(width, height) of the file that a page is called by; None where it cannot be read."""
        try:
            height, width = read_size(self.images / self.find(name))
        except (InputError, OSError):  # as the check of the pages tells
            return None
        return width, height

    def add_page(self, name: str, width: Any = None, height: Any = None) -> int:
        """Add a page, and return its id.

        Args:
            name: as the tool calls its file.
            width: pixels; read from the file where it is not said.
            height: likewise.
        """
        size = self.size(name) if width is None or height is None else None
        width, height = size or (width, height)
        page = {"id": len(self.pages) + 1, "file_name": self.find(name), NAMED: same_path(name)}
        self.pages.append({**page, "width": width, "height": height})
        return len(self.pages)

    def add_region(
        self,
        page: int,
        label: str,
        points: np.ndarray,
        is_box: bool,
        mask: dict[str, Any] | None = None,
    ) -> None:
        """Add a region.

        Args:
            page: its id.
            label: its class.
            points: K×2 pixels, corners of a polygon, or with `is_box` two of a box.
            is_box: the sides are those of the page.
            mask: its run-length mask, of which `points` are the box.
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
        if mask is not None:
            region["segmentation"] = mask
        elif not is_box:
            region["segmentation"] = [points.ravel().tolist()]
        self.regions.append(region)

    def add_mask(self, page: int, label: str, mask: np.ndarray, left: int, top: int) -> str | None:
        """Add a region of the pixels of a mask; what is wrong with it where it is none.

        Args:
            page: its id.
            label: its class.
            mask: H'×W' bool.
            left: column of the page at which the mask begins.
            top: row, likewise.
        """
        width, height = (as_int(self.pages[page - 1][key]) for key in ("width", "height"))
        if width is None or height is None:
            return "a mask of a page without size"
        cut = mask[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
        rows, columns = np.flatnonzero(cut.any(axis=1)), np.flatnonzero(cut.any(axis=0))
        if not len(rows):
            return "an empty mask" if not mask.any() else "a mask off the page"
        x, y = int(columns[0]), int(rows[0])
        tight = cut[y : rows[-1] + 1, x : columns[-1] + 1]
        x, y = x + max(left, 0), y + max(top, 0)
        box = np.array([[x, y], [x + tight.shape[1], y + tight.shape[0]]], dtype=np.float64)
        self.add_region(page, label, box, True, mask_runs(tight, x, y, height, width))
        return None

    def find(self, name: str) -> str:
        """A page's file relative to the image folder (`ImageFolder.find`). Where there is none, the
        file's name."""
        return self.folder.find(name) or last_part(name)

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
