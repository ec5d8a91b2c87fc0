"""COCO segmentations as polygons.

A run-length mask is stored column by column as lengths of alternating runs of 0 and 1, either as a
list or compressed to a string (six bits a character, differences to the run before the last).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lmv3det.data.limits import MAX_SIDE
from lmv3det.files import are_numbers, is_int
from lmv3det.structures import Polygons


def outline(segmentation: Any, box: np.ndarray, height: int, width: int) -> Polygons:
    """The polygons of a checked COCO segmentation; without one, the box.

    Args:
        segmentation: polygons, a run-length mask, or None.
        box: x0 y0 x1 y1.
        height: of the page, pixels.
        width: of the page, pixels.

    Returns:
        K×2 float64 polygons; a mask becomes disjoint rectangles that cover exactly its pixels.
    """
    if isinstance(segmentation, list):
        return [np.array(flat, dtype=np.float64).reshape(-1, 2) for flat in segmentation]
    boxes = box[None]
    if segmentation is not None:
        boxes = rectangles(run_lengths(segmentation, height, width), height)
    return list(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2))


def bounds(segmentation: Any) -> tuple[float, float, float, float] | None:
    """The x, y, w, h of a COCO segmentation; None where it is none, or malformed."""
    if not segmentation:
        return None
    try:
        if isinstance(segmentation, dict):
            size = segmentation.get("size")
            if not isinstance(size, list) or len(size) != 2 or not all(map(is_int, size)):
                return None
            if not 0 < min(size) <= max(size) <= MAX_SIDE:
                return None
            height, width = size
            ends = np.cumsum(run_lengths(segmentation, height, width))
            starts, stops = ends[0::2][: len(ends[1::2])], ends[1::2]
            starts, stops = starts[stops > starts], stops[stops > starts]
            if not len(starts):
                return None
            first, last = starts // height, (stops - 1) // height
            x0, x1 = int(first.min()), int(last.max()) + 1
            inner = first == last
            y0 = int(np.where(inner, starts % height, 0).min())
            y1 = int(np.where(inner, (stops - 1) % height + 1, height).max())
            return x0, y0, x1 - x0, y1 - y0
        check_polygons(segmentation)
    except ValueError:
        return None
    xs = [x for flat in segmentation for x in flat[0::2]]
    ys = [y for flat in segmentation for y in flat[1::2]]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def check_polygons(segmentation: Any) -> None:
    """Raises ValueError where a segmentation that is no mask is no list of polygons either."""
    if not isinstance(segmentation, list):
        raise ValueError(f"segmentation is a {type(segmentation).__name__}, not polygons or a mask")
    for number, flat in enumerate(segmentation):
        if not isinstance(flat, list) or len(flat) < 6 or len(flat) % 2:
            raise ValueError(f"polygon {number} is not a list of at least three x, y pairs")
        if not are_numbers(flat):
            raise ValueError(f"polygon {number} holds values that are not finite numbers")


def decompress(text: str | bytes) -> list[int]:
    """Run lengths of a compressed mask.

    Raises:
        ValueError: characters out of range, or a run that does not end.
    """
    codes = text.encode("ascii", "replace") if isinstance(text, str) else text
    runs: list[int] = []
    value = shift = 0
    for code in codes:
        bits = code - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("the compressed mask is damaged")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        # From the fourth on, a run is stored as the difference to the one of the same kind.
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the compressed mask is cut off")
    return runs


def run_lengths(segmentation: dict[str, Any], height: int, width: int) -> np.ndarray:
    """The checked run lengths (int64) of a COCO mask `{"size": [h, w], "counts": …}`.

    Raises:
        ValueError: malformed, or not of the page's size.
    """
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or size != [height, width]:
        raise ValueError(f"the mask's size is {size}, the page's {[height, width]}")
    if isinstance(counts, (str, bytes)):
        counts = decompress(counts)
    if not isinstance(counts, list) or not all(is_int(n) and n >= 0 for n in counts):
        raise ValueError("the mask's counts are not a string or a list of lengths")
    if sum(counts) != height * width:
        raise ValueError(f"the mask's counts sum to {sum(counts)}, not {height} · {width}")
    return np.array(counts, dtype=np.int64)


def rectangles(runs: np.ndarray, height: int) -> np.ndarray:
    """The mask as disjoint rectangles that cover exactly its pixels.

    Runs of neighbouring columns with the same rows become one rectangle.

    Args:
        runs: lengths of alternating runs of 0 and 1, column by column.
        height: rows of the mask.

    Returns:
        R×4 float64 x0 y0 x1 y1.
    """
    ends = np.cumsum(runs)
    starts, stops = ends[0::2][: len(ends[1::2])], ends[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts]
    if not len(starts):
        return np.zeros((0, 4))
    # Cut the runs at the columns' ends.
    first, last = starts // height, (stops - 1) // height
    count = last - first + 1
    run = np.repeat(np.arange(len(starts)), count)
    column = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(count) - count, count)
    y0 = np.where(column == first[run], starts[run] % height, 0)
    y1 = np.where(column == last[run], (stops[run] - 1) % height + 1, height)
    # Join equal rows of neighbouring columns.
    order = np.lexsort((column, y1, y0))
    column, y0, y1 = column[order], y0[order], y1[order]
    new = np.ones(len(column), dtype=bool)
    new[1:] = (np.diff(column) != 1) | (np.diff(y0) != 0) | (np.diff(y1) != 0)
    begin = np.flatnonzero(new)
    end = np.append(begin[1:], len(column)) - 1
    return np.stack([column[begin], y0[begin], column[end] + 1, y1[begin]], axis=1).astype(
        np.float64
    )


def mask_runs(mask: np.ndarray, left: int, top: int, height: int, width: int) -> dict[str, Any]:
    """The COCO run-length mask of a page, of a part of it.

    Args:
        mask: H'×W' bool, within the page.
        left: column of the page at which it begins.
        top: row, likewise.
        height: of the page, pixels.
        width: of the page, pixels.
    """
    padded = np.pad(mask, ((1, 1), (0, 0))).astype(np.int8)
    change = np.diff(padded, axis=0).T  # W'×(H' + 1): column by column
    columns, starts = np.nonzero(change == 1)
    stops = np.nonzero(change == -1)[1]
    offset = (columns + left) * height + top
    ends = np.stack([offset + starts, offset + stops], axis=1).ravel()
    counts = np.diff(np.concatenate([[0], ends, [height * width]]))
    return {"size": [height, width], "counts": counts.tolist()}
