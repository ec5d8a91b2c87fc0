"""What was found on a page, with all that people do with it."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lmv3det.data.images import PDF_DPI, iter_pages
from lmv3det.data.pdf import is_pdf
from lmv3det.documents.lines import Line, plain_lines
from lmv3det.documents.markdown import markdown
from lmv3det.documents.page import PageContent, Region, page_content
from lmv3det.documents.pdf_page import PdfPage, read_pdf_page
from lmv3det.documents.reading import lines_of_regions, region_order
from lmv3det.documents.text import join_lines
from lmv3det.documents.whole import build_document
from lmv3det.errors import InputError, count_of, explain, printable
from lmv3det.files import replacing, write_json
from lmv3det.inference.entries import PageEntry
from lmv3det.inference.results import boxes_xywh, encode_masks, page_entries
from lmv3det.inference.selection import Selection
from lmv3det.structures import Detections, as_array
from lmv3det.text.reading_order import Direction, text_direction

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from lmv3det.text.ocr_json import OcrPage

DOCUMENT_OVERLAP = 0.5
"""IoU above which one of two regions is left out of a document: its text would come twice."""
SHOWN_SIDE = 1000
"""Pixels of the longer side of a page in a notebook."""
SHOWN_LETTERS = 200
"""Of a region's text in a notebook's table."""


@dataclass(frozen=True)
class FoundRegion:
    """One region of a page.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the page.
        category: class name.
        score: 0 to 1.
        lines: the text lines in it, in reading order; empty where the page's text is not known.
        mask: 28×28 float probabilities within the box, or None.
    """

    box: tuple[float, float, float, float]
    category: str
    score: float
    lines: list[str] = field(default_factory=list)
    mask: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The lines as one text: divided words are joined."""
        return join_lines(self.lines)


@dataclass(eq=False, repr=False)
class PageDetections(Detections):
    """The regions of a page, by falling score, boxes in pixels of the page.

    `for region in page` and `page[0]` give a `FoundRegion`; an index (M int64, N bool, a slice)
    gives the page with the regions that it selects. A notebook shows the page.

    Attributes:
        lines: the text lines that the model was given, boxes in pixels of the page; None where it
            was given none.
        image: H×W×3 uint8 RGB, for pages that came as images; pages of files are read again.
        dpi: resolution at which a PDF page was drawn.
        password: of an encrypted PDF.
    """

    lines: OcrPage | None = None
    image: np.ndarray | None = None
    dpi: int = PDF_DPI
    password: str | None = None

    def __repr__(self) -> str:
        """One line: whose page, its size, how many regions of which class."""
        height, width = self.image_size
        where = ""
        if self.page is not None and self.page.file:
            number = f", page {self.page.number + 1}" if self.page.number else ""
            where = f"{printable(self.page.file)}{number}: "
        counts = Counter(self.names[k] for k in self.classes.tolist())
        found = ", ".join(f"{number} {printable(name)}" for name, number in counts.most_common())
        return (
            f"<{where}{width}×{height}, {count_of(len(self), 'region')}{': ' * bool(found)}{found}>"
        )

    @overload
    def __getitem__(self, index: int) -> FoundRegion: ...  # type: ignore[overload-overlap]

    @overload
    def __getitem__(self, index: Tensor | np.ndarray | slice) -> PageDetections: ...

    def __getitem__(self, index: int | Tensor | np.ndarray | slice) -> FoundRegion | PageDetections:
        """A region, by its number; the page with some of them, by M int64, N bool, or a slice."""
        if isinstance(index, (int, np.integer)):
            return self._region(range(len(self))[index], self.region_lines())
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[FoundRegion]:
        """The regions by falling score."""
        lines = self.region_lines()
        return (self._region(k, lines) for k in range(len(self)))

    def _region(self, number: int, lines: Sequence[list[str]]) -> FoundRegion:
        x0, y0, x1, y1 = as_array(self.boxes)[number].tolist()
        return FoundRegion(
            (x0, y0, x1, y1),
            self.names[int(self.classes[number])],
            float(self.scores[number]),
            lines[number],
            None if self.masks is None else as_array(self.masks[number]),
        )

    def page_image(self) -> np.ndarray:
        """The page, H×W×3 uint8 RGB.

        Raises:
            InputError: its file cannot be read any more.
        """
        if self.image is not None:
            return self.image
        if self.page is None or not self.page.file:
            raise InputError("these detections have neither an image nor the file of their page")
        pages = iter_pages(
            self.page.file, self.dpi, numbers=[self.page.number], password=self.password
        )
        ((_, image),) = pages
        return image

    def plot(
        self, path: str | os.PathLike | None = None, score_threshold: float = 0.3
    ) -> Image.Image:
        """The page with its regions outlined in the colours of their classes.

        Args:
            path: picture to write as well.
            score_threshold: detections below are left out.
        """
        from lmv3det.visualization.detections import picture_of_detections

        # A name may hold what no font can draw.
        shown = dataclasses.replace(self, names=[printable(name) for name in self.names])
        picture = picture_of_detections(self.page_image(), shown, score_threshold)
        if path is not None:
            with replacing(Path(path)) as temporary:
                picture.save(temporary)
        return picture

    def _repr_png_(self) -> bytes | None:
        """The drawn page, for a console that shows pictures; None where it cannot be read."""
        try:
            return _encoded(self.plot(), "PNG")
        except InputError:
            return None

    def _repr_html_(self) -> str:
        """The drawn page, for a notebook, and its regions in a table below."""
        try:
            data = base64.b64encode(_encoded(self.plot(), "JPEG")).decode()
            picture = f'<img style="max-width: 100%" src="data:image/jpeg;base64,{data}">'
        except InputError as error:
            picture = f"<p>{escape(explain(error))}</p>"
        rows = "".join(
            f"<tr><td>{escape(printable(region.category))}<td>{region.score:.2f}"
            f'<td style="text-align: left">{escape(printable(region.text[:SHOWN_LETTERS]))}'
            for region in self
        )
        return (
            f"<figure>{picture}<figcaption>{escape(repr(self)[1:-1])}</figcaption></figure>"
            f"<details><summary>Regions</summary><table>"
            f"<tr><th>category<th>score<th>text{rows}</table></details>"
        )

    def crop(self, padding: int = 0) -> list[np.ndarray]:
        """The N regions cut out of the page, h×w×3 uint8 RGB.

        Args:
            padding: pixels round each region, as far as the page goes.
        """
        return crop(self.page_image(), as_array(self.boxes), padding)

    def reading_order(self) -> list[int]:
        """Indices that put the regions into reading order."""
        direction: Direction = "right"
        if self.lines is not None:
            direction = text_direction(self.lines.lines, self.lines.boxes)
        return region_order(as_array(self.boxes), direction).tolist()

    def region_lines(self) -> list[list[str]]:
        """The text lines in each of the N regions, in reading order."""
        if self.lines is None:
            return [[] for _ in range(len(self))]
        found = lines_of_regions(as_array(self.boxes), self.lines.boxes, self.lines.lines)
        return [[self.lines.lines[k] for k in region] for region in found]

    def document(self, score_threshold: float = 0.3) -> tuple[PageDetections, list[int]]:
        """What a document is made of: no weak regions, none twice, none within others.

        Returns:
            The regions, and their indices in this object.
        """
        rules = Selection([score_threshold] * len(self.names), DOCUMENT_OVERLAP, True)
        keep = np.flatnonzero(rules.keep(self))
        return self[keep], keep.tolist()

    def to_dict(
        self, mask_threshold: float | None = None, document_score: float = 0.3
    ) -> PageEntry:
        """The page as `predict` writes it into detections.json.

        Args:
            mask_threshold: adds `segmentation`, the mask above this probability (COCO RLE).
            document_score: as in `document`: its regions get `order`, their number in reading
                order from 0, and `lines`, the text in them, where there is any.

        Returns:
            file, page (from 1), width, height, and detections by falling score, each with `bbox`
            [x, y, w, h], `score`, `category`.
        """
        entries = page_entries(self, mask_threshold)
        regions, places = self.document(document_score)
        for number, region in enumerate(regions.reading_order()):
            entries[places[region]]["order"] = number
        if self.lines is not None:
            for place, lines in zip(places, regions.region_lines(), strict=True):
                if lines:
                    entries[place]["lines"] = lines
        height, width = self.image_size
        return {
            "file": self.page.file if self.page else "",
            "page": self.page.number + 1 if self.page else 1,
            "width": width,
            "height": height,
            "detections": entries,
        }

    def content(self, document_score: float = 0.3, read_file: bool = True) -> PageContent:
        """What documents of the page are made of: its blocks in reading order, to which every text
        line belongs.

        Of a PDF whose text layer gave the lines, the file says more: how letters are set, ruling
        lines, pictures and links.

        Args:
            document_score: as in `document`.
            read_file: whether the PDF is read for these; its lines are known without it.
        """
        regions, places = self.document(document_score)
        found = [
            Region(regions.names[c], (box[0], box[1], box[2], box[3]), place)
            for c, box, place in zip(
                regions.classes.tolist(), as_array(regions.boxes).tolist(), places, strict=True
            )
        ]
        height, width = self.image_size
        lines = [] if self.lines is None else plain_lines(self.lines.boxes, self.lines.lines)
        number = self.page.number if self.page else 0
        layer = self._layer(lines) if read_file else PdfPage(lines)
        return page_content(
            number + 1, (width, height), found, layer.lines, layer.rules, layer.pictures
        )

    def _layer(self, lines: list[Line]) -> PdfPage:
        """What a PDF says of the page, where its lines are those of the text layer; else the lines
        alone."""
        if self.page is None or not self.page.file or not is_pdf(self.page.file):
            return PdfPage(lines)
        height, width = self.image_size
        layer = read_pdf_page(self.page.file, self.page.number, width, height, self.password)
        known = Counter(line.text for line in layer.lines)
        if Counter(line.text for line in lines) - known:
            return PdfPage(lines, layer.rules, layer.pictures)
        asked = Counter(line.text for line in lines)
        kept = []
        for line in layer.lines:  # garbled ones are not among those that the model was given
            if asked[line.text] > 0:
                asked[line.text] -= 1
                kept.append(line)
        return PdfPage(kept, layer.rules, layer.pictures)

    def to_markdown(self, document_score: float = 0.3) -> str:
        """The page as Markdown: all of its text but header and footer, without pictures.

        Args:
            document_score: as in `document`.
        """
        content = self.content(document_score)
        return markdown(build_document([content]), page_marks=False)

    def to_json(self, path: str | os.PathLike | None = None, **options: Any) -> str:
        """`to_dict` (which takes the options) as JSON text, written to `path` if one is given."""
        content = self.to_dict(**options)
        if path is not None:
            write_json(Path(path), content)
        return json.dumps(content, ensure_ascii=False, allow_nan=False)

    def to_coco(
        self,
        image_id: int | None = None,
        category_ids: Mapping[str, int] | None = None,
        mask_threshold: float | None = None,
    ) -> list[dict[str, Any]]:
        """The regions as COCO results, for pycocotools' `loadRes`.

        Args:
            image_id: of the page; None takes the page's own, or 0.
            category_ids: class name → id; regions of other classes are left out. None numbers the
                classes from 1, in the model's order.
            mask_threshold: adds `segmentation`, as in `to_dict`.
        """
        if category_ids is None:
            category_ids = {name: k for k, name in enumerate(self.names, start=1)}
        if image_id is None:
            image_id = self.page.image_id if self.page and self.page.image_id >= 0 else 0
        masks = [] if mask_threshold is None else encode_masks(self, mask_threshold)
        results = []
        boxes, scores = (
            boxes_xywh(self, 3),
            as_array(self.scores).astype(np.float64).round(8).tolist(),
        )
        for k, index in enumerate(self.classes.tolist()):
            if self.names[index] not in category_ids:
                continue
            result: dict[str, Any] = {
                "image_id": image_id,
                "category_id": category_ids[self.names[index]],
                "bbox": boxes[k],
                "score": scores[k],
            }
            if masks:
                result["segmentation"] = masks[k]
            results.append(result)
        return results

    def to_dataframe(self) -> Any:
        """The regions as a `pandas.DataFrame`, a row a region by falling score.

        Columns: file, page (from 1), category, score, x0, y0, x1, y1 (pixels of the page), order
        (number in reading order, from 0), text.

        Raises:
            InputError: the package pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InputError("the package pandas is not installed: `pip install pandas`") from None
        boxes = as_array(self.boxes).reshape(-1, 4)
        order = np.empty(len(self), dtype=np.int64)
        order[self.reading_order()] = np.arange(len(self))
        return pandas.DataFrame(
            {
                "file": [self.page.file if self.page else ""] * len(self),
                "page": np.full(len(self), self.page.number + 1 if self.page else 1),
                "category": [region.category for region in self],
                "score": as_array(self.scores),
                **{name: boxes[:, k] for k, name in enumerate(("x0", "y0", "x1", "y1"))},
                "order": order,
                "text": [region.text for region in self],
            }
        )

    def to_supervision(self) -> Any:
        """The regions as `supervision.Detections`, class names under `data["class_name"]`.

        Raises:
            InputError: the package supervision is not installed.
        """
        try:
            import supervision
        except ImportError:
            raise InputError(
                "the package supervision is not installed: `pip install supervision`"
            ) from None
        classes = as_array(self.classes)
        return supervision.Detections(
            xyxy=as_array(self.boxes),
            confidence=as_array(self.scores),
            class_id=classes,
            data={"class_name": np.array([self.names[k] for k in classes.tolist()], dtype=str)},
        )


def _encoded(picture: Image.Image, kind: str) -> bytes:
    """A picture's file, no larger than a notebook shows it."""
    picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    stream = io.BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()


def crop(image: np.ndarray, boxes: np.ndarray, padding: int = 0) -> list[np.ndarray]:
    """The N boxes cut out of an image: whole pixels, at least one, within the image.

    Args:
        image: H×W×3.
        boxes: N×4 x0 y0 x1 y1 pixels.
        padding: pixels round each box.
    """
    height, width = image.shape[:2]
    first = np.floor(boxes[:, :2] - padding).clip(0, (width - 1, height - 1)).astype(int)
    last = np.ceil(boxes[:, 2:] + padding).clip(first + 1, (width, height)).astype(int)
    return [
        image[y0:y1, x0:x1].copy()
        for (x0, y0), (x1, y1) in zip(first.tolist(), last.tolist(), strict=True)
    ]
