"""What runs in a process of its own: a file can be made to hang its reader, or to crash it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lmv3det.classes import FINE
from lmv3det.data.images import count_pages, iter_pages
from lmv3det.data.pdf import PDFIUM
from lmv3det.errors import InputError
from lmv3det.files import atomic_write, replacing
from lmv3det.harvest.page import PageLabels, read_labels
from lmv3det.harvest.tags import RoleMap
from lmv3det.text.ocr_json import OcrPage, write_ocr

MAX_BYTES = 4 << 30
"""Memory that a process may take (Linux)."""


@dataclass(frozen=True)
class Settings:
    """How pages are read.

    Attributes:
        out: folder of the data set.
        dpi: resolution at which pages are drawn.
        jpeg: quality of JPEG files; None makes PNG files.
        untagged: share of letters without a tag that is let pass.
        draw: folder for drawings, or None.
        password: of encrypted files.
    """

    out: Path
    dpi: int
    jpeg: int | None
    untagged: float
    draw: Path | None
    password: str | None


@dataclass(frozen=True)
class Task:
    """A page to read.

    Attributes:
        path: of the PDF.
        name: what the document is called: the path that was given.
        number: of the page, from 0.
        stem: of the names of its files.
    """

    path: Path
    name: str
    number: int
    stem: str


_document: tuple[Path, Any, RoleMap] | None = None


def start() -> None:
    """Prepare a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MAX_BYTES, MAX_BYTES))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot end its workers, which would wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def survey(path: Path, password: str | None) -> int:
    """The number of pages of a tagged PDF; 0 where it is not tagged.

    Raises:
        InputError: it cannot be opened, or has too many pages.
    """
    import pypdfium2.raw as pdfium

    pages = count_pages(path, password)
    with PDFIUM:
        document, _ = _open(path, password)
        return pages if pdfium.FPDFCatalog_IsTagged(document) else 0


def read_page(task: Task, settings: Settings) -> None:
    """Read a page, write its image and words where it can be trusted, then its record.

    Raises:
        InputError: the page cannot be read.
    """
    ((_, image),) = iter_pages(
        task.path, settings.dpi, numbers=[task.number], password=settings.password
    )
    with PDFIUM:
        document, roles = _open(task.path, settings.password)
        page = document[task.number]
        try:
            labels = read_labels(page, image, settings.dpi / 72, roles, settings.untagged)
        finally:
            page.close()
    height, width = labels.size
    suffix = ".png" if settings.jpeg is None else ".jpg"
    if not labels.reasons:
        _write_image(settings.out / "images" / f"{task.stem}{suffix}", image, settings.jpeg)
        boxes = np.array([box for _, box in labels.lines], dtype=np.float64).reshape(-1, 4)
        texts = [_valid(text) for text, _ in labels.lines]
        write_ocr(settings.out / "OCR" / f"{task.stem}.json", OcrPage(boxes, texts, width, height))
    if settings.draw is not None:
        _draw(settings.draw, task.stem, image, labels)
    record = {
        "file": _valid(task.name),
        "page": task.number,
        "stem": task.stem,
        "file_name": f"{task.stem}{suffix}",
        "width": width,
        "height": height,
        "untagged": round(labels.untagged, 4),
        "reasons": [_valid(reason) for reason in labels.reasons],
        "regions": [
            {
                "category": region.kind,
                "box": [round(float(value), 2) for value in region.box],
                "level": region.level,
            }
            for region in labels.regions
        ],
    }
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    atomic_write(settings.out / ".pages" / f"{task.stem}.json", text.encode())


def _open(path: Path, password: str | None) -> tuple[Any, RoleMap]:
    """A document, kept open for its next page."""
    global _document
    import pypdfium2

    if _document is None or _document[0] != path:
        if _document is not None:
            _document[1].close()
            _document = None
        try:
            document = pypdfium2.PdfDocument(path, password=password)
        except pypdfium2.PdfiumError as error:
            raise InputError(f"{path}: cannot be read ({error})") from None
        _document = (path, document, RoleMap(document))
    return _document[1], _document[2]


def _valid(text: str) -> str:
    """A text without halves of characters, which UTF-8 cannot hold."""
    return text.encode("utf-8", errors="replace").decode()


def _write_image(path: Path, image: np.ndarray, jpeg: int | None) -> None:
    with replacing(path) as temporary:
        if jpeg is None:
            Image.fromarray(image).save(temporary, "PNG")
        else:
            Image.fromarray(image).save(temporary, "JPEG", quality=jpeg)


def drawing_path(folder: Path, stem: str, trusted: bool) -> Path:
    """Where the drawing of a page is."""
    return (folder if trusted else folder / "left_out") / f"{stem}.jpg"


def _draw(folder: Path, stem: str, image: np.ndarray, labels: PageLabels) -> None:
    from lmv3det.visualization.regions import draw_regions

    picture = draw_regions(
        image,
        np.array([region.box for region in labels.regions]).reshape(-1, 4),
        [region.kind for region in labels.regions],
        [FINE.index(region.kind) for region in labels.regions],
        np.array([box for _, box in labels.lines]).reshape(-1, 4),
    )
    with replacing(drawing_path(folder, stem, not labels.reasons)) as temporary:
        picture.save(temporary, "JPEG", quality=90)
