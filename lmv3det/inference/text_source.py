"""Where the text lines of a page come from: its PDF, an engine, a folder, or the caller."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.data.pdf import is_pdf
from lmv3det.errors import InputError, explain
from lmv3det.inference.options import PredictOptions
from lmv3det.ocr import ENGINES, Engine, get_engine, ocr_name
from lmv3det.ocr.names import full_ocr_name
from lmv3det.ocr.pdf_text import PdfText
from lmv3det.text.ocr_json import OcrPage, ocr_folders, other_image, read_ocr

if TYPE_CHECKING:
    from lmv3det.config import Config
    from lmv3det.structures import Page

log = logging.getLogger(__name__)

PageText = Callable[[np.ndarray, "Page", int], OcrPage]
"""(H×W×3 uint8 RGB, the page's origin, pages of its file) → its text lines."""

LAYER, NONE = "layer", "none"
CHOICES = (LAYER, NONE, *ENGINES)
"""What names a source of text, beside a folder of OCR files."""


def choose_text(ocr: Any, config: Config, options: Mapping[str, Any] | None = None) -> Any:
    """The source that `ocr` names.

    Args:
        ocr: as in `PredictOptions`. None is `layer` for a model that was trained on pages
            without text too (`text.page_dropout` above 0), else `auto`, because without text such
            a model finds little.
        config: of the model.
        options: of the engine.

    Returns:
        An `Engine`, `layer`, `none`, a folder, or `OcrPage`s, for `page_text`.

    Raises:
        InputError: an engine that cannot be used; options without an engine.
    """
    if ocr is None:
        ocr = LAYER if getattr(config.text, "page_dropout", 0) > 0 else "auto"
    if isinstance(ocr, str) and ocr in ENGINES:
        return get_engine(ocr, **(options or {}))
    if options:
        raise InputError(
            f"--option is for an engine, but --ocr {ocr} is none of {', '.join(ENGINES)}"
        )
    return ocr


def page_text(
    ocr: Any,
    config: Config,
    options: PredictOptions | None = None,
    names: Mapping[tuple[str, int], str] | None = None,
) -> PageText:
    """A function that gives the text lines of pages.

    Args:
        ocr: as `choose_text` gives it.
        config: of the model: `data.missing_ocr` and `data.malformed_ocr` are read.
        options: its `dpi` and `password` are those of the PDF pages; None: the defaults.
        names: (path, page from 0) → the page's file in a folder; pages that are not among them
            have `ocr_name`. A file of the page's `full_ocr_name` comes first, and one in a folder
            that is called like the page's own. A file that says it is of another image is refused.

    Raises:
        InputError: a folder that does not exist or has no OCR files, or no source of text.
    """
    chosen = options or PredictOptions()
    if isinstance(ocr, OcrPage):
        ocr = [ocr]
    if isinstance(ocr, (list, tuple)):
        pages = iter(ocr)
        return lambda *_: _next(pages, len(ocr))
    if isinstance(ocr, Engine):
        return lambda image, page, _: _recognize(ocr, image, page, chosen)
    if not isinstance(ocr, (str, os.PathLike)):
        raise InputError(
            f"ocr is a {type(ocr).__name__}; give a folder of OCR files, an engine or its name, or "
            "a list of OcrPage"
        )
    if ocr == NONE:
        return lambda image, page, _: _no_text(page)
    if ocr == LAYER:
        layer = PdfText()
        return lambda image, page, _: (
            _recognize(layer, image, page, chosen) if is_pdf(page.file) else _no_text(page)
        )
    return _from_folder(Path(ocr), config, names or {})


def _no_text(page: Page) -> OcrPage:
    return OcrPage(np.zeros((0, 4)), [], page.width, page.height)


def _next(pages: Iterator[Any], count: int) -> OcrPage:
    for page in pages:
        if not isinstance(page, OcrPage):
            raise InputError(f"ocr: a page's text is {type(page).__name__}; give an OcrPage")
        return page
    raise InputError(f"ocr has {count} entries, fewer than there are pages")


def _recognize(engine: Engine, image: np.ndarray, page: Page, options: PredictOptions) -> OcrPage:
    try:
        if engine.from_pdf and is_pdf(page.file):
            return engine.read_pdf(page.file, page.number, options.dpi, options.password)
        return engine.recognize(image)
    except Exception as error:  # engines are others' code and raise anything
        raise InputError(
            f"its text cannot be read ({explain(error)})", subject=page.file or "page"
        ) from error


def _from_folder(folder: Path, config: Config, names: Mapping[tuple[str, int], str]) -> PageText:
    if not folder.is_dir():
        raise InputError(f"{folder}: neither a folder of OCR files nor one of {', '.join(CHOICES)}")
    if not any(folder.rglob("*.json")):
        raise InputError(f"{folder}: holds no OCR files (*.json); make them with `lmv3det ocr`")
    owners: dict[Path, tuple[str, int]] = {}

    def find(page: Page, pages: int) -> Path:
        given = names.get((page.file, page.number))
        wanted = [full_ocr_name(page.file, page.number, pages)]
        wanted += [os.path.basename(given)] if given else []
        wanted += [ocr_name(page.file, page.number, pages)]
        folders = ocr_folders(folder, "", os.path.dirname(page.file)) if page.file else [folder]
        for within in folders:
            for name in wanted:
                if os.path.isfile(within / name):
                    return within / name
        return folder / wanted[1]

    def read(image: np.ndarray, page: Page, pages: int) -> OcrPage:
        path = find(page, pages)
        if config.data.missing_ocr == "empty" and not path.exists():
            log.warning("%s: no such OCR file; the page is taken without text", path)
            return _no_text(page)
        text = read_ocr(path, malformed=config.data.malformed_ocr)
        problem = other_image(text, page.file, page.number) if page.file else ""
        owner = owners.setdefault(path, (page.file, page.number))
        if text.source is None and owner != (page.file, page.number):
            problem = f"is the text of {owner[0]} already"
        if problem:
            raise InputError(
                f"its text is not there: {path} {problem}",
                subject=page.file,
                fix="read it with `lmv3det ocr`",
            )
        return text

    return read
