"""One page made and written: typeset, read back, scanned, with its OCR file and its record."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lmv3det.errors import InputError, install_extra
from lmv3det.files import atomic_write
from pagegen.ocr import Box, as_engines_do, misread, ocr_json, whole_pixels

if TYPE_CHECKING:
    from pagegen.text import Corpus
    from pagegen.truth import Truth
    from pagegen.typst.typeset import Page

VERSION = 2
"""Grows whenever the same seed gives other pages."""
TALL = 1000
"""Height in pixels of a page when no dpi is asked for."""


@dataclass(frozen=True)
class Settings:
    """What decides a page beside its number; kept in the folder's ``settings.json``."""

    seed: int
    setting: str
    share: float
    language: str
    corpus: str | None
    degrade: bool
    dpi: int | None
    ocr_noise: float
    height: int = TALL
    jpeg: int | None = None
    version: int = VERSION


@dataclass(frozen=True)
class Job:
    """What a worker needs.

    Attributes:
        out: the data set's folder.
        settings: what decides the pages.
        corpus: the corpus file, or None.
        scratch: a folder for what the typesetter reads; its ``fonts`` holds the fonts.
    """

    out: Path
    settings: Settings
    corpus: Path | None
    scratch: Path


def stem(index: int) -> str:
    """File name of page ``index`` (from 0), without its ending."""
    return f"page_{index + 1:06d}"


def font_files(language: str, setting: str = "plain") -> list[Path]:
    """The font files that pages in ``language`` are set in, besides typst's own.

    Raises:
        InputError: a package that brings typst or a font is not installed.
    """
    wanted = [
        ("matplotlib", "mpl-data/fonts/ttf", ["STIXGeneral*.ttf"]),
        ("font_source_sans_pro", "files", [f"SourceSansPro-{w}.ttf" for w in _WEIGHTS]),
        ("font_source_serif_pro", "files", [f"SourceSerifPro-{w}.ttf" for w in _WEIGHTS]),
    ]
    if setting == "papers":
        faces = [f"DejaVu{face}.ttf" for face in _DEJAVU]
        wanted.append(("matplotlib", "mpl-data/fonts/ttf", faces))
    if language in ("zh", "mixed"):
        wanted.append(("pylopdf_fonts_zh_cn", ".", ["Noto*SC-Regular.otf"]))
    files: list[Path] = []
    absent = [p for p in ("typst", "pypdfium2") if importlib.util.find_spec(p) is None]
    for package, folder, patterns in wanted:
        spec = importlib.util.find_spec(package)
        places = list(spec.submodule_search_locations or ()) if spec else []
        found = [
            file
            for place in places
            for pattern in patterns
            for file in sorted((Path(place) / folder).glob(pattern))
        ]
        if len(found) < len(patterns):
            absent.append(package.replace("_", "-"))
        files.extend(found)
    if absent:
        hint = ""
        if absent == ["pylopdf-fonts-zh-cn"]:
            hint = " (the Chinese font; --language en does without)"
        mend = install_extra("synthetic")
        raise InputError(f"synthetic: not installed: {', '.join(absent)}{hint}; {mend}")
    return files


_WEIGHTS = ("Regular", "Bold", "It", "BoldIt")
_DEJAVU = ("Sans", "Sans-Bold", "Sans-Oblique", "Serif", "Serif-Bold", "Serif-Italic")


def gather_fonts(language: str, scratch: Path, setting: str = "plain") -> None:
    """Copy the fonts to ``scratch/fonts``: what else their packages hold must not change a page."""
    folder = scratch / "fonts"
    folder.mkdir()
    for file in font_files(language, setting):
        shutil.copyfile(file, folder / file.name)


class Maker:
    """Makes pages one after another, with a typesetter that keeps its fonts."""

    def __init__(self, job: Job) -> None:
        import typst

        self.job = job
        self.corpus: Corpus | None = None
        if job.corpus is not None:
            from pagegen.text import Corpus

            self.corpus = Corpus.read(job.corpus, job.settings.language)
        self.root = job.scratch / f"root-{os.getpid()}"
        self.root.mkdir(exist_ok=True)
        fonts = typst.Fonts(
            include_system_fonts=False,
            include_embedded_fonts=True,
            font_paths=[str(job.scratch / "fonts")],
        )
        self.compiler = typst.Compiler(
            root=str(self.root), font_paths=fonts, ignore_system_fonts=True
        )

    def _typeset(self, rng: random.Random, index: int) -> tuple[Page, Truth]:
        """A page's source and what is on it when it is set."""
        import typst

        from pagegen.truth import read_page
        from pagegen.typst.page import write_page

        s = self.job.settings
        page = write_page(
            rng,
            language=s.language,
            setting=s.setting,
            share=s.share,
            corpus=self.corpus,
            folder=self.root,
            name=stem(index),
        )
        try:
            pdf = self.compiler.compile(page.source.encode(), format="pdf", pdf_tags=False)
        except typst.TypstError as error:
            raise RuntimeError(f"{stem(index)} with {s}: not typeset: {error}") from error
        assert isinstance(pdf, bytes)
        for file in self.root.iterdir():
            file.unlink()
        scale = s.dpi / 72 if s.dpi is not None else s.height / page.style.height
        return page, read_page(pdf, page.marks, scale)

    def make(self, index: int) -> None:
        """Make page ``index``: image, OCR file, and last the record that says it is done."""
        from pagegen.degrade import move_boxes, scan, wear

        s = self.job.settings
        rng = random.Random(f"{s.version}/{s.seed}/{index}")
        page, truth = self._typeset(rng, index)
        for attempt in range(1, 5 if s.setting == "papers" else 1):
            if not crowded(truth):
                break
            # A float had too little room and ran into its neighbours.
            rng = random.Random(f"{s.version}/{s.seed}/{index}/{attempt}")
            page, truth = self._typeset(rng, index)
        image = truth.image
        matrix: np.ndarray | None = None
        if s.degrade:
            image, matrix = scan(image, rng)
        elif s.setting == "papers":
            image, matrix = wear(image, rng)
        if matrix is not None:
            for region in truth.regions:
                region.boxes = move_boxes(region.boxes, matrix)
                for line in region.lines:
                    line.boxes = move_boxes(line.boxes, matrix)
        width, height = image.size
        lines: list[tuple[Box, str]] = []
        records = []
        for region in truth.regions:
            box = whole_pixels(region.boxes, width, height)
            if box is None:
                continue
            records.append({"category": region.category, "box": box})
            for line in region.lines:
                line_box = whole_pixels(line.boxes, width, height)
                if line_box is not None:
                    lines.append((line_box, line.text))
        lines = as_engines_do(lines)
        if s.ocr_noise:
            lines = misread(lines, s.ocr_noise, rng, width, height)
        quality = s.jpeg if s.jpeg is not None else 88 if s.degrade else None
        ending = "png" if quality is None else "jpg"
        buffer = io.BytesIO()
        if quality is not None:
            image.save(buffer, "JPEG", quality=quality)
        else:
            image.save(buffer, "PNG", compress_level=3)
        out, name = self.job.out, stem(index)
        atomic_write(out / "images" / f"{name}.{ending}", buffer.getvalue())
        source = (f"images/{name}.{ending}", buffer.getvalue())
        written = ocr_json(lines, width, height, source)
        atomic_write(out / "OCR" / f"{name}.json", written.encode("utf-8"))
        record = {
            "file_name": f"{name}.{ending}",
            "width": width,
            "height": height,
            "language": page.style.language,
            "columns": page.style.columns,
            "regions": records,
        }
        atomic_write(out / ".pages" / f"{name}.json", json.dumps(record).encode())


def crowded(truth: Truth) -> bool:
    """Whether two regions of a page overlap by more than a small part of a line."""
    import numpy as np

    from pagegen.truth import hull

    boxes = np.array([hull(region.boxes) for region in truth.regions]).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    overlap = (high - low).min(axis=2)  # N×N, pixels
    np.fill_diagonal(overlap, 0)
    return bool((overlap > 0.005 * truth.image.height).any())
