"""What annotations look like that are read as they are, and are meant otherwise: boxes in other
units, crowds in place of regions, a class that stands for all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmv3det.classes import plain_name
from lmv3det.data.categories import Category
from lmv3det.data.issues import DataReport

_UNITS = {
    1: "fractions of the page: multiply them by its width and height",
    100: "per cent of the page: multiply them by its width and height / 100",
    1000: "thousandths of the page: multiply them by its width and height / 1000",
}
_ROOM = 1.5
"""A page is larger than a unit by this factor where its boxes are suspected to be in it."""
_FILLED = 0.6
"""Boxes in a unit reach over this share of it."""
_PIXEL = 1.0


def suspect_units(boxes: np.ndarray, sizes: np.ndarray, report: DataReport) -> None:
    """Tell of boxes that are corners, fractions, per cent or thousandths.

    Args:
        boxes: N×4 x, y, w, h as the file has them.
        sizes: N×2 width, height of the page of each, pixels.
        report: is told.
    """
    if not len(boxes) or not (boxes[:, 2:] > 0).all() or (boxes[:, :2] < 0).any():
        return
    number = f"{len(boxes):,} box" + ("es" if len(boxes) > 1 else "")
    far = boxes[:, :2] + boxes[:, 2:]
    sticks_out = (far > sizes + _PIXEL).any(axis=1)
    as_corners = (boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] <= sizes + _PIXEL)
    if sticks_out.any() and as_corners.all():
        problem = f"{int(sticks_out.sum()):,} of {number} leave the page as x, y, width, height, "
        problem += "and all fit as x0, y0, x1, y1; perhaps they are corners: bbox must be "
        problem += "[x, y, width, height]"
        report.suspect("corners for sizes", "annotations", problem)
        return
    for unit, fix in _UNITS.items():
        within = far.max() <= unit * (1 + 1e-6) and far.max() >= unit * _FILLED
        larger = (sizes > unit * _ROOM).all() and (sizes > 2).all()
        if within and (larger or (unit == 1000 and sticks_out.any())):
            problem = f"all {number} lie within {unit}×{unit}, and the pages are "
            problem += f"{_range(sizes[:, 0])}×{_range(sizes[:, 1])}; perhaps they are {fix}"
            report.suspect("boxes in another unit", "annotations", problem)
            return


def suspect_classes(
    categories: Sequence[Category], regions: dict[int, int], crowds: dict[int, int],
    report: DataReport,
) -> None:  # fmt: skip
    """Tell of classes of crowds alone, of a class that is but the parent of others, and of no
    region at all.

    Args:
        categories: of the file.
        regions: category id → its regions.
        crowds: category id → its crowds.
        report: is told.
    """
    below: dict[str, list[str]] = {}
    for category in categories:
        if plain_name(category.above) != plain_name(category.name):
            below.setdefault(plain_name(category.above), []).append(category.name)
    for category in categories:
        where = f"category {category.id} ({category.name})"
        if category.id not in regions and category.id in crowds:
            problem = f"{crowds[category.id]:,} annotations have iscrowd 1 and none 0; crowds are "
            problem += "not trained on. CVAT exports masks as crowds: set iscrowd to 0 if each is "
            problem += "one region"
            report.suspect("crowds alone", where, problem)
        children = below.get(plain_name(category.name))
        if children and category.id not in regions and category.id not in crowds:
            problem = f"no region, and the supercategory of {', '.join(children[:5])}"
            problem += (
                f"{', …' if len(children) > 5 else ''}; a detector would get a class that it "
            )
            problem += "never finds: take it out of categories"
            report.suspect("class without regions", where, problem, "kept")
    if not regions:
        problem = "no annotation can be used as a region"
        report.suspect("no region", "annotations", problem, "every page is taken as empty")


def _range(values: np.ndarray) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low}–{high}"
