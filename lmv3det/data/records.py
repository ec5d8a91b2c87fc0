"""The pages of an index, and the regions of each, made when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from lmv3det.data.coco_annotations import MASK, NONE
from lmv3det.data.packed import Packed
from lmv3det.data.segmentation import outline
from lmv3det.structures import Polygons


@dataclass(frozen=True)
class Record:
    """A page of the annotation file.

    Attributes:
        image_id: COCO id.
        file_name: as the annotations say, relative to the image folder.
        path: of the image file.
        width: as the annotations say (the frame of the annotations), pixels.
        height: likewise.
        regions: the annotations, crowds included.
    """

    image_id: int
    file_name: str
    path: Path
    width: int
    height: int
    regions: Regions = field(repr=False, compare=False)

    @property
    def annotations(self) -> list[dict[str, Any]]:
        """The usable COCO annotations, crowds included: `id` (unique, from 1), `category_id`,
        `bbox` (clipped to the page), `area`, `iscrowd`, and `segmentation` (None where there is
        none that can be used), in the frame of `width` and `height`."""
        return self.regions.as_coco(self.image_id)


class Records(Sequence[Record]):
    """The pages of an index; each `Record` is made when it is asked for.

    Args:
        packed: the index of the annotation file.
        images: folder of the image files.
        numbers: the pages of the index, in order.
        ids: category id of the file → the id that stands in its place; None where its regions are
            left out. None keeps them all.
    """

    def __init__(
        self,
        packed: Packed,
        images: Path,
        numbers: np.ndarray,
        ids: Mapping[int, int | None] | None = None,
    ) -> None:
        self.packed, self.images, self.numbers, self.ids = packed, images, numbers, ids

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return [self._record(number) for number in self.numbers[place].tolist()]
        return self._record(int(self.numbers[place]))

    def _record(self, number: int) -> Record:
        index = self.packed
        start, stop = index.name_start[number : number + 2].tolist()
        name = index.names[start : stop - 1].tobytes().decode("utf-8", "surrogatepass")
        return Record(
            int(index.image_id[number]),
            name,
            self.images / name,
            int(index.width[number]),
            int(index.height[number]),
            Regions(index, number, self.ids),
        )

    def file_names(self) -> list[str]:
        """The `file_name` of every page."""
        names = self.packed.names.tobytes().decode("utf-8", "surrogatepass").split("\0")
        return [names[number] for number in self.numbers.tolist()]

    def sizes(self) -> np.ndarray:
        """N×2 int64, height and width of every page."""
        return np.stack([self.packed.height, self.packed.width], axis=1)[self.numbers]

    def aspect_ratios(self) -> np.ndarray:
        """N float64, height / width of every page."""
        return self.packed.height[self.numbers] / self.packed.width[self.numbers]

    def page_classes(self, class_of: Mapping[int, int], number: int) -> np.ndarray:
        """N×C bool: which classes have regions on each page, crowds left out.

        Args:
            class_of: category id → class index.
            number: C.
        """
        index = self.packed
        present = np.zeros((len(index.image_id), number + 1), dtype=bool)  # the last: left out
        known, place = np.unique(index.category_id, return_inverse=True)
        ids = [key if self.ids is None else self.ids[key] for key in known.tolist()]
        classes = np.array(
            [number if key is None else class_of[key] for key in ids], dtype=np.int64
        )
        page = np.repeat(np.arange(len(index.image_id)), np.diff(index.region_start))
        counted = index.iscrowd == 0
        present[page[counted], classes[place][counted]] = True
        return present[self.numbers, :number]


@dataclass(frozen=True)
class Regions:
    """The regions of a page, read from the index when asked for."""

    packed: Packed
    page: int
    ids: Mapping[int, int | None] | None = None

    @property
    def _span(self) -> slice:
        start, stop = self.packed.region_start[self.page : self.page + 2].tolist()
        return slice(start, stop)

    def as_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO annotations, see `Record.annotations`."""
        index, span = self.packed, self._span
        boxes = index.bbox[4 * span.start : 4 * span.stop].reshape(-1, 4).tolist()
        columns = (
            index.id[span].tolist(),
            index.category_id[span].tolist(),
            boxes,
            index.area[span].tolist(),
            index.iscrowd[span].tolist(),
            range(span.start, span.stop),
        )
        found = []
        for key, own, box, area, crowd, region in zip(*columns, strict=True):
            category = own if self.ids is None else self.ids[own]
            if category is None:
                continue
            segmentation = self._segmentation(region)
            if isinstance(segmentation, list):
                segmentation = [flat.tolist() for flat in segmentation]
            found.append(
                {
                    "id": key,
                    "image_id": image_id,
                    "category_id": category,
                    "bbox": box,
                    "area": area,
                    "iscrowd": crowd,
                    "segmentation": segmentation,
                }
            )
        return found

    def without_crowds(
        self, height: int, width: int
    ) -> tuple[np.ndarray, list[int], list[Polygons]]:
        """Boxes G×4 float64 x0 y0 x1 y1, category ids and outlines, in pixels of a page of
        height × width."""
        index, span = self.packed, self._span
        regions = np.flatnonzero(index.iscrowd[span] == 0)
        categories = index.category_id[span][regions].tolist()
        if self.ids is not None:
            folded = [self.ids[category] for category in categories]
            regions = regions[[category is not None for category in folded]]
            categories = [category for category in folded if category is not None]
        boxes = index.bbox[4 * span.start : 4 * span.stop].reshape(-1, 4)[regions]
        boxes[:, 2:] += boxes[:, :2]
        outlines = [
            outline(self._segmentation(region), box, height, width)
            for region, box in zip((regions + span.start).tolist(), boxes, strict=True)
        ]
        return boxes, categories, outlines

    def _segmentation(self, region: int) -> list[np.ndarray] | dict[str, Any] | None:
        """Polygons as flat float64 arrays, a run-length mask, or None."""
        index = self.packed
        kind = index.segmentation[region]
        if kind == NONE:
            return None
        content = index.content[index.content_start[region] : index.content_stop[region]]
        if kind == MASK:
            return json.loads(content.tobytes())
        values = content.view(np.float64)
        count = int(values[0])
        ends = count + 1 + np.cumsum(values[1 : count + 1]).astype(np.int64)
        starts = [count + 1, *ends[:-1].tolist()]
        return [values[start:end] for start, end in zip(starts, ends.tolist(), strict=True)]


def pages_with_regions(index: Packed, ids: Mapping[int, int | None] | None = None) -> np.ndarray:
    """N bool: whether each page of an index has regions that are no crowds, and that `ids`, as of
    `Records`, does not leave out."""
    counted = index.iscrowd == 0
    dropped = [key for key, kept in (ids or {}).items() if kept is None]
    if dropped:
        counted = counted & ~np.isin(index.category_id, dropped)
    counts = np.concatenate([[0], np.cumsum(counted)])
    return np.diff(counts[index.region_start]) > 0
