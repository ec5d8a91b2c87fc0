"""From a document to its pages: typeset, rendered, regions and words read, some scanned."""

from __future__ import annotations

import io
import json
import math
import os
import random
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.files import atomic_write
from pagegen.degrade import move_boxes, scan
from pagegen.latex.body import Body
from pagegen.latex.document import Document
from pagegen.latex.journals import CLASSES
from pagegen.latex.lines import read_lines
from pagegen.latex.read import Found, Unclear, regions_of
from pagegen.ocr import ocr_json, whole_pixels
from pagegen.truth import hull

if TYPE_CHECKING:
    from PIL import Image

VERSION = 4
"""Grows whenever the same seed gives other pages."""
TIMEOUT = 60
"""Seconds that one run of LaTeX may take."""


class Failed(Exception):
    """A document that LaTeX does not set without an error; it is left out."""


@dataclass(frozen=True)
class Job:
    """What a worker needs.

    Attributes:
        out: the data set's folder.
        seed: of all chance.
        degrade: share of scanned pages.
        classes: names of the document classes.
    """

    out: Path
    seed: int
    degrade: float
    classes: tuple[str, ...]

    @property
    def pictures(self) -> Path:
        """Folder of the figures' files."""
        return self.out / ".pictures"

    def record(self, number: int) -> Path:
        """The file that says which pages document ``number`` gave."""
        return self.out / ".documents" / f"{number:06d}.json"


def write_document(job: Job, number: int) -> tuple[random.Random, Document]:
    """The source of document ``number``, and its dice for what comes after."""
    rng = random.Random(f"latex/{VERSION}/{job.seed}/{number}")
    weights = [CLASSES[name][1] for name in job.classes]
    make = CLASSES[rng.choices(job.classes, weights)[0]][0]
    return rng, make(rng, lambda look: Body(rng, look, job.pictures, job.seed))


def typeset(source: str, folder: Path, pictures: Path, date: int) -> Path:
    """Run pdflatex once in ``folder``; returns the PDF.

    Raises:
        Failed: an error, no PDF, or no end.
    """
    (folder / "page.tex").write_text(source, "utf-8")
    command = ["pdflatex", "-interaction=batchmode", "-no-shell-escape", "page.tex"]
    own = {
        "TEXINPUTS": f"{pictures.resolve()}:",
        "SOURCE_DATE_EPOCH": str(date),
        "FORCE_SOURCE_DATE": "1",
        "MKTEXPK": "0",  # A font without outlines is an error, not a bitmap.
    }
    try:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **own}, capture_output=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"no end in {TIMEOUT} s") from None
    pdf = folder / "page.pdf"
    if done.returncode or not pdf.exists():
        log = folder / "page.log"
        lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        raise Failed(next((x for x in lines if x.startswith("!")), f"exit code {done.returncode}"))
    return pdf


def make_document(job: Job, number: int) -> None:
    """Make the pages of document ``number``; last the record that says it is done."""
    rng, document = write_document(job, number)
    pages: list[dict[str, Any]] = []
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="latex-pages-") as scratch:
        try:
            date = rng.randrange(800_000_000, 1_600_000_000)
            pdf = typeset(document.source, Path(scratch), job.pictures, date)
            _make_pages(job, number, document, pdf, rng, pages, faults)
        except Failed as error:
            faults.append(f"document: {error}")
    record = {"class": document.kind, "pages": pages, "faults": faults}
    atomic_write(job.record(number), json.dumps(record).encode())


def _make_pages(
    job: Job,
    number: int,
    document: Document,
    pdf: Path,
    rng: random.Random,
    pages: list[dict[str, Any]],
    faults: list[str],
) -> None:
    """Write a document's pages; those that are unclear are left out and named in ``faults``."""
    import pypdfium2

    # A document's pages are drawn and scanned alike.
    longest = rng.choice([800, 850, 900, 950, 1000])
    scanned = rng.random() < job.degrade
    finer = rng.choice([1, 1, 2])
    with pypdfium2.PdfDocument(pdf) as opened:
        for index in range(len(opened)):
            page, dice = opened[index], random.Random(rng.getrandbits(64))
            try:
                found = regions_of(page, document.body.regions, document.body.look.columns)
                dpi = int(longest * 72 / max(page.get_size()))
                words, boxes, size = read_lines(page, dpi / 72)
                image = page.render(scale=dpi / 72 * finer).to_pil().convert("RGB")
                if finer > 1:
                    image = image.resize(size)
                found = _in_pixels(found, dpi / 72, image)
            except Unclear as error:
                faults.append(f"page {index + 1}: {error}")
                continue
            if scanned:
                image, matrix = scan(image, dice)
                found = [(kind, move_boxes(part, matrix)) for kind, part in found]
                boxes = move_boxes(boxes, matrix) if len(boxes) else boxes
            lines = [
                (box, text)
                for one, text in zip(boxes, words, strict=True)
                if (box := whole_pixels(one[None], *size)) is not None
            ]
            regions = [
                {"category": kind, "box": box}
                for kind, part in found
                if (box := whole_pixels(part, *size)) is not None
            ]
            name = f"d{number:06d}_{index + 1:02d}"
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=dice.choice([75, 85, 90, 95]))
            atomic_write(job.out / "images" / f"{name}.jpg", buffer.getvalue())
            source = (f"images/{name}.jpg", buffer.getvalue())
            written = ocr_json(lines, *size, source).encode("utf-8")
            atomic_write(job.out / "OCR" / f"{name}.json", written)
            pages.append(
                {
                    "file_name": f"{name}.jpg",
                    "width": size[0],
                    "height": size[1],
                    "language": "en",
                    "columns": document.body.look.columns,
                    "class": document.kind,
                    "regions": regions,
                }
            )


def _in_pixels(found: list[Found], scale: float, image: Image.Image) -> list[Found]:
    """Regions in pixels of the page's image; pictures as far as their ink reaches.

    Raises:
        Unclear: a picture without ink, or regions that lie on each other.
    """
    grey = np.asarray(image.convert("L"))
    scaled = [(kind, boxes * scale) for kind, boxes in found]
    scaled = [(kind, _inked(part, grey) if kind == "Figure" else part) for kind, part in scaled]
    _check(scaled)
    return scaled


def _inked(boxes: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """The part of a picture's frame that has ink, 1×4."""
    x0, y0 = np.maximum(np.floor(boxes[:, :2].min(axis=0)), 0).astype(int)
    x1, y1 = np.ceil(boxes[:, 2:].max(axis=0)).astype(int)
    ink = grey[y0:y1, x0:x1] < 250
    columns, rows = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    if len(columns) == 0:
        raise Unclear("a picture without ink")
    return np.array(
        [[x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1]], dtype=float
    )


def _check(found: list[Found]) -> None:
    """See that regions do not lie on each other, which says that something went wrong.

    Raises:
        Unclear: two regions share more than a quarter of the smaller.
    """
    hulls = np.array([hull(part) for _, part in found])
    low = np.maximum(hulls[:, None, :2], hulls[None, :, :2])
    high = np.minimum(hulls[:, None, 2:], hulls[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area = np.prod(hulls[:, 2:] - hulls[:, :2], axis=1)
    np.fill_diagonal(shared, 0)
    part = shared / np.minimum(area[:, None], area[None])
    if part.max(initial=0.0) > 0.25:
        i, j = np.unravel_index(int(part.argmax()), part.shape)
        names = f"{found[i][0]} and {found[j][0]}"
        raise Unclear(f"{names} overlap at {math.floor(low[i, j, 0])}, {math.floor(low[i, j, 1])}")
