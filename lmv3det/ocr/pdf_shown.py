"""Which characters of a PDF page are shown on it.

Text may be there and not be seen: on a layer that is off, clipped away, behind a picture or a
filled box, in the colour of its ground, or too small. What PDFium draws decides. As drawing takes
time, it is done where the page's objects give a reason to: text in forms, on layers, clipped, or
with something drawn over it.

Text that is not drawn by its own account (rendering mode 3) is the text of a scan, and is kept; so
is text behind a picture of the whole page.

Shapes: N characters, H×W pixels of the drawing. Boxes are x0 y0 x1 y1, points of the shown page.
"""

from __future__ import annotations

from ctypes import byref, c_float, c_int, c_uint, c_ulong
from dataclasses import dataclass
from typing import Any

import numpy as np

from lmv3det.data.pdf import address, page_objects
from lmv3det.ocr.pdf_chars import Chars

INVISIBLE, CLIP_ONLY = 3, 7
"""Rendering modes of text that is not drawn, and of text that only clips."""
LEAST_SIZE = 1.0
"""Points: smaller characters cannot be read at any usual resolution."""
DRAWN_SIDE = 1200
"""Pixels that the longer side of the drawing has at most; else one a point."""
_HUES = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255))
"""Colours that tell objects apart that lie over one another."""
_SEEN = 12
"""Difference of two drawings, of 255, from which a pixel has changed."""
_SAME = 10
"""Difference, of 255, up to which text has the colour of its ground."""
_GROUND = 5.0
"""Points: a filled box with a shorter side is a rule, no ground for text."""
_EDGE = 0.3
"""Fraction of a box that may be cut off without a doubt, at most two points."""
_OTHER = 0.1
"""Fraction of a character's place that must have another colour than the character."""
_WHITE = 235
"""Text lighter than this, of 255, may be white on white."""
_WHOLE_PAGE = 0.8
"""Fraction of the page from which on a picture is a scan of it."""


@dataclass
class Layout:
    """What lies on a page beside its characters.

    Attributes:
        pictures: P×4, boxes of its pictures.
        suspects: indices of text objects that may be off, clipped or covered.
        pale: indices of text objects that may have the colour of their ground.
        colours: of each text object, red, green, blue, alpha (0 to 255); -1 where it is no colour.
    """

    pictures: np.ndarray
    suspects: set[int]
    pale: set[int]
    colours: np.ndarray


def survey(page: Any, chars: Chars) -> Layout:
    """The pictures of a page, and the text objects that may not be seen.

    Args:
        page: `pypdfium2.PdfPage`.
        chars: of it.
    """
    import pypdfium2.raw as pdfium

    number_of = {address(item): number for number, item in enumerate(chars.objects)}
    count = len(chars.objects)
    spans = _object_boxes(chars)
    places = np.zeros(count, dtype=np.int64)  # in the order of drawing
    suspects: set[int] = set()
    colours = np.full((count, 4), -1.0)
    covers: list[tuple[int, float, float, float, float]] = []
    grounds: list[tuple[float, ...]] = []
    pictures = []
    left, bottom, right, top = (c_float() for _ in range(4))
    sides = (byref(left), byref(bottom), byref(right), byref(top))
    red, green, blue, alpha = (c_uint() for _ in range(4))
    paint = (byref(red), byref(green), byref(blue), byref(alpha))
    for place, (item, kind, depth) in enumerate(page_objects(page)):
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            number = number_of.get(address(item), -1)
            if number < 0:
                continue
            places[number] = place
            if pdfium.FPDFPageObj_GetFillColor(item, *paint):
                colours[number] = red.value, green.value, blue.value, alpha.value
            if depth or _has_layer(item) or _clipped(item, spans[number], chars.to_shown):
                suspects.add(number)
            continue
        if kind == pdfium.FPDF_PAGEOBJ_PATH and not _filled(item):
            continue
        if not count and kind != pdfium.FPDF_PAGEOBJ_IMAGE:
            continue
        if depth and kind != pdfium.FPDF_PAGEOBJ_IMAGE:
            continue  # its form's box is taken, whose coordinates are the page's
        if not pdfium.FPDFPageObj_GetBounds(item, *sides):
            continue
        corners = np.array([[left.value, bottom.value], [right.value, top.value]])
        corners = corners @ chars.to_shown[:, :2].T + chars.to_shown[:, 2]
        box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            pictures.append(box)
        if min(box[2] - box[0], box[3] - box[1]) < 2:
            continue
        covers.append((place, *box))
        if kind == pdfium.FPDF_PAGEOBJ_PATH and pdfium.FPDFPageObj_GetFillColor(item, *paint):
            grounds.append((red.value, green.value, blue.value, *box))
    suspects |= _covered(chars.size, spans, places, covers)
    pale = _on_own_ground(spans, colours, grounds)
    return Layout(np.array(pictures, dtype=np.float64).reshape(-1, 4), suspects, pale, colours)


def shown_chars(page: Any, chars: Chars, layout: Layout) -> np.ndarray:
    """Which characters can be seen, N bool. The page's objects are changed: draw it no more.

    Args:
        page: `pypdfium2.PdfPage`.
        chars: of it.
        layout: of it.
    """
    shown = np.ones(len(chars), dtype=bool)
    if not len(chars) or not chars.objects:
        return shown
    own = chars.runs >= 0
    runs = np.where(own, chars.runs, 0)
    spans = (chars.boxes[:, 2:] - chars.boxes[:, :2]).max(axis=1)
    shown &= ~(own & ~chars.blank & (chars.sizes[runs] < LEAST_SIZE) & (spans < LEAST_SIZE))
    kept = np.isin(chars.modes, (INVISIBLE, CLIP_ONLY))
    clear = (layout.colours[:, 3] >= 0) & (layout.colours[:, 3] < 6) & (chars.modes == 0)
    shown &= ~(own & clear[runs])
    able = own & ~chars.blank & chars.drawn & shown & ~kept[runs]
    for objects, looks in ((layout.suspects, _in_colours), (layout.pale, _off_ground)):
        indices = np.flatnonzero(able & np.isin(runs, list(objects)))
        if not len(indices):
            continue
        window = _Window(page, chars, chars.boxes[indices])
        seen = looks(window, chars, layout, sorted(set(runs[indices].tolist())), indices)
        if layout.pictures.size and not seen.all():
            seen |= _behind_scan(chars, layout.pictures, indices)
        # One character alone, between others that are seen, is a thin one that the drawing lost.
        seen[1:-1] |= seen[:-2] & seen[2:]
        shown[indices[~seen]] = False
    return shown


def _object_boxes(chars: Chars) -> np.ndarray:
    """The box of the characters of each text object; of one without, an empty box far away."""
    count = len(chars.objects)
    low, high = np.full((count, 2), 1e9), np.full((count, 2), -1e9)
    inked = np.flatnonzero((chars.runs >= 0) & ~chars.blank) if len(chars) else np.zeros(0, int)
    np.minimum.at(low, chars.runs[inked], chars.boxes[inked, :2])
    np.maximum.at(high, chars.runs[inked], chars.boxes[inked, 2:])
    return np.concatenate([low, high], axis=1)


def _has_layer(item: Any) -> bool:
    import pypdfium2.raw as pdfium

    size = c_ulong()
    name = (pdfium.FPDF_WCHAR * 8)()
    for index in range(pdfium.FPDFPageObj_CountMarks(item)):
        mark = pdfium.FPDFPageObj_GetMark(item, index)
        pdfium.FPDFPageObjMark_GetName(mark, name, 16, byref(size))
        if size.value == 6 and bytes(name)[:4] == "OC".encode("utf-16-le"):
            return True
    return False


def _filled(item: Any) -> bool:
    import pypdfium2.raw as pdfium

    mode, stroke = c_int(), c_int()
    return bool(pdfium.FPDFPath_GetDrawMode(item, byref(mode), byref(stroke))) and mode.value != 0


def _clipped(item: Any, box: np.ndarray, to_shown: np.ndarray) -> bool:
    """Whether an object's clip path may cut its box."""
    import pypdfium2.raw as pdfium

    clip = pdfium.FPDFPageObj_GetClipPath(item)
    if not clip:
        return False
    x, y = c_float(), c_float()
    for path in range(max(pdfium.FPDFClipPath_CountPaths(clip), 0)):
        points = []
        segments = pdfium.FPDFClipPath_CountPathSegments(clip, path)
        if segments > 6:
            return True
        for index in range(segments):
            segment = pdfium.FPDFClipPath_GetPathSegment(clip, path, index)
            pdfium.FPDFPathSegment_GetPoint(segment, byref(x), byref(y))
            points.append((x.value, y.value))
        if not points:
            return True
        shown = np.array(points) @ to_shown[:, :2].T + to_shown[:, 2]
        edge = np.minimum(_EDGE * (box[2:] - box[:2]), 2.0)
        if (box[:2] + edge < shown.min(axis=0)).any() or (box[2:] - edge > shown.max(axis=0)).any():
            return True
    return False


def _covered(
    size: tuple[float, float],
    boxes: np.ndarray,
    places: np.ndarray,
    covers: list[tuple[int, float, float, float, float]],
) -> set[int]:
    """Objects that something is drawn over, told on a grid of cells."""
    if not covers or not len(boxes):
        return set()
    cell = max(max(size) / 200, 2.0)
    columns, rows = (int(side / cell) + 1 for side in size)
    last = np.full((rows, columns), -1, dtype=np.int64)
    table = np.array(covers, dtype=np.float64)
    low = np.floor(table[:, 1:3] / cell).clip(0, (columns, rows)).astype(np.int64)
    high = np.ceil(table[:, 3:5] / cell).clip(0, (columns, rows)).astype(np.int64)
    for (x0, y0), (x1, y1), place in zip(
        low.tolist(), high.tolist(), table[:, 0].astype(np.int64).tolist(), strict=True
    ):
        last[y0:y1, x0:x1] = place  # in the order of drawing, so the last one stays
    found = set()
    first = np.floor(boxes[:, :2] / cell).clip(0, (columns, rows)).astype(np.int64).tolist()
    end = np.ceil(boxes[:, 2:] / cell).clip(0, (columns, rows)).astype(np.int64).tolist()
    for number, ((x0, y0), (x1, y1)) in enumerate(zip(first, end, strict=True)):
        part = last[y0:y1, x0:x1]
        if part.size and part.max() > places[number]:
            found.add(number)
    return found


def _on_own_ground(
    boxes: np.ndarray, colours: np.ndarray, grounds: list[tuple[float, ...]]
) -> set[int]:
    """Objects that are nearly white, or lie over a filled box of their own colour."""
    known = colours[:, 3] >= 0
    found = set(np.flatnonzero(known & (colours[:, :3].min(axis=1) >= _WHITE)).tolist())
    for red, green, blue, *box in grounds:
        light = min(red, green, blue) >= _WHITE
        if light or min(box[2] - box[0], box[3] - box[1]) < _GROUND:
            continue
        alike = np.abs(colours[:, :3] - (red, green, blue)).max(axis=1) <= 2 * _SAME
        x0, y0, x1, y1 = box
        over = (boxes[:, 0] < x1) & (boxes[:, 2] > x0) & (boxes[:, 1] < y1) & (boxes[:, 3] > y0)
        found.update(np.flatnonzero(known & alike & over).tolist())
    return found


class _Window:
    """The part of a page that holds some characters, to be drawn.

    Args:
        page: `pypdfium2.PdfPage`.
        chars: of it.
        boxes: M×4, those of the characters.
    """

    def __init__(self, page: Any, chars: Chars, boxes: np.ndarray) -> None:
        self.page = page
        self.scale = min(1.0, DRAWN_SIDE / max(*chars.size, 1.0))
        self.size = [max(int(np.ceil(side * self.scale)), 1) for side in page.get_size()]
        scaled = boxes * self.scale
        low = np.floor(scaled[:, :2]).clip(0, np.array(self.size) - 1)
        high = np.ceil(scaled[:, 2:]).clip(low + 1, self.size)
        self.x0, self.y0 = (int(side) for side in low.min(axis=0))
        self.x1, self.y1 = (int(side) for side in high.max(axis=0))
        corner = (self.x0, self.y0)
        self.places = np.concatenate([low - corner, high - corner], axis=1).astype(int).tolist()

    def draw(self) -> np.ndarray:
        """The part as it is drawn now, h×w×3 int16 RGB."""
        width, height = self.size
        # pypdfium2 takes what is cut off in units of the page, and rounds it up in pixels.
        cut = (self.x0, height - self.y1, width - self.x1, self.y0)
        bitmap = self.page.render(
            scale=self.scale,
            crop=tuple(max(side - 0.5, 0) / self.scale for side in cut),
            rev_byteorder=True,
            may_draw_forms=False,
            draw_annots=False,
        )
        pixels = bitmap.to_numpy()[:, :, :3].astype(np.int16)
        bitmap.close()
        return pixels

    def parts(self, pixels: np.ndarray) -> list[np.ndarray]:
        """The pixels of each character, of a drawing h×w(×3)."""
        return [pixels[y0:y1, x0:x1] for x0, y0, x1, y1 in self.places]


def _in_colours(
    window: _Window, chars: Chars, layout: Layout, objects: list[int], indices: np.ndarray
) -> np.ndarray:
    """Which of the characters `indices` of some text objects change the drawing of the page.

    The objects are drawn black, then each in a colour: what is seen of them differs in just that
    colour, however much of it shows through. What differs in none, such as the coloured glyphs of
    Type 3 fonts, is left out of a drawing and put back.
    """
    runs = chars.runs[indices]
    hue_of = _hues(_object_boxes(chars)[objects])
    hues = hue_of[np.searchsorted(objects, runs)] > 0
    _paint(chars, objects, None)
    black = window.draw()
    _paint(chars, objects, hue_of)
    changed = np.abs(window.draw() - black) > _SEEN
    seen = np.array(
        [
            bool((part == hue).all(axis=2).any())
            for part, hue in zip(window.parts(changed), hues, strict=True)
        ]
    )
    unsure = sorted(set(runs[~seen].tolist()) - set(runs[seen].tolist()))
    if unsure:
        _activate(chars, unsure, False)
        without = window.draw()
        _activate(chars, unsure, True)
        marked = (np.abs(window.draw() - without) > _SEEN).any(axis=2)
        again = np.array([bool(part.any()) for part in window.parts(marked)])
        seen |= again & np.isin(runs, unsure)
    return seen


def _off_ground(
    window: _Window, chars: Chars, layout: Layout, objects: list[int], indices: np.ndarray
) -> np.ndarray:
    """Which of the characters `indices` of some text objects have another colour than what they
    stand on."""
    runs = chars.runs[indices]
    _activate(chars, objects, False)
    ground = window.draw()
    _activate(chars, objects, True)
    colours = layout.colours[runs, :3]
    return np.array(
        [
            bool((np.abs(part - colour).max(axis=2) > _SAME).mean() > _OTHER)
            for part, colour in zip(window.parts(ground), colours, strict=True)
        ]
    ) | (chars.modes[runs] != 0)


def _hues(boxes: np.ndarray) -> np.ndarray:
    """S×3: a colour for each of S boxes, another one than those of boxes that it overlaps."""
    number = np.zeros(len(boxes), dtype=np.int64)
    low, high = boxes[:, :2] - 1, boxes[:, 2:] + 1
    for k in range(len(boxes)):
        over = (low[:k] < high[k]).all(axis=1) & (high[:k] > low[k]).all(axis=1)
        used = np.bincount(number[:k][over], minlength=len(_HUES))
        number[k] = used.argmin()
    return np.array(_HUES)[number]


def _paint(chars: Chars, objects: list[int], hues: np.ndarray | None) -> None:
    """Give text objects a colour, whatever they had; black without `hues`."""
    import pypdfium2.raw as pdfium

    for k, number in enumerate(objects):
        colour = (0, 0, 0) if hues is None else hues[k].tolist()
        pdfium.FPDFPageObj_SetFillColor(chars.objects[number], *colour, 255)
        pdfium.FPDFPageObj_SetStrokeColor(chars.objects[number], *colour, 255)


def _activate(chars: Chars, objects: list[int], active: bool) -> None:
    """Whether text objects are drawn."""
    import pypdfium2.raw as pdfium

    for number in objects:
        pdfium.FPDFPageObj_SetIsActive(chars.objects[number], active)


def _behind_scan(chars: Chars, pictures: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Which characters lie within a picture of nearly the whole page, whose text they are."""
    spans = (pictures[:, 2:].clip(0, chars.size) - pictures[:, :2].clip(0, chars.size)).prod(axis=1)
    whole = pictures[spans >= _WHOLE_PAGE * chars.size[0] * chars.size[1]]
    boxes = chars.boxes[indices]
    found = np.zeros(len(indices), dtype=bool)
    for x0, y0, x1, y1 in whole.tolist():
        found |= (
            (boxes[:, 0] >= x0 - 1) & (boxes[:, 1] >= y0 - 1)
            & (boxes[:, 2] <= x1 + 1) & (boxes[:, 3] <= y1 + 1)
        )  # fmt: skip
    return found
