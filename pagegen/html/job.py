"""The whole job: documents by Chromium, pages, annotations and OCR files; resumable, seeded."""

from __future__ import annotations

import io
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lmv3det.classes import FOLDINGS
from lmv3det.errors import InputError
from lmv3det.files import LOCK, atomic_write, lock_folder, read_json, remove_temporary
from pagegen.annotations import read_record, write_annotations
from pagegen.html.browser import Browser, require
from pagegen.html.content.cache import cache_folder
from pagegen.html.content.pictures import Pictures
from pagegen.html.labels import Region, blank, cut_at_ink, regions_of
from pagegen.html.page import CSS, write_page

VERSION = 2
"""Grows whenever the same seed gives other pages."""
BATCH = 8
"""Pages a document of the browser's."""
FOLDERS = ("images", "OCR", ".pages")


@dataclass(frozen=True)
class Settings:
    """What decides a page beside its number; kept in the folder's ``settings.json``."""

    seed: int
    kinds: tuple[str, ...] = ()
    height: int = 1000
    jpeg: int | None = 90
    wear: bool = True
    version: int = VERSION


@dataclass(frozen=True)
class Job:
    """What a worker needs."""

    out: Path
    settings: Settings
    scratch: Path


def stem(index: int) -> str:
    """File name of page ``index`` (from 0), without its ending."""
    return f"page_{index + 1:06d}"


def generate(
    out: str | Path,
    pages: int,
    *,
    seed: int = 0,
    kinds: Sequence[str] = (),
    height: int = 1000,
    jpeg: int | None = 90,
    wear: bool = True,
    classes: str = "fine",
    workers: int = 1,
) -> Path:
    """Make a data set of pages of every kind with exact regions and words.

    Page ``i`` depends on the settings, on ``i`` and on the machine's fonts, dictionaries,
    documents and pictures. Finished pages are not made again.

    Args:
        out: folder for ``images/``, ``OCR/`` and ``annotations.json``; ``settings.json`` and
            ``.pages/`` beside them are for resuming.
        pages: how many pages, at least 1.
        seed: another seed gives other pages.
        kinds: names of kinds of pages (`pagegen.html.kinds.KINDS`); all where empty.
        height: of every page in pixels, 200 to 4000.
        jpeg: quality of JPEG files, 1 to 95; ``None`` makes PNG files.
        wear: most pages as from files, some made smaller, blurred, printed and scanned, or
            photographed; boxes move with the paper.
        classes: a key of `lmv3det.classes.FOLDINGS`.
        workers: processes, each with a Chromium of its own.

    Returns:
        The path of ``annotations.json``.

    Raises:
        InputError: a setting outside its range, another data set in the folder, or Chromium or
            a package is missing.
    """
    from pagegen.html.kinds import KINDS

    unknown = [name for name in kinds if name not in KINDS]
    for wrong, message in (
        (pages < 1, f"pages is {pages}: give at least 1"),
        (seed < 0, f"seed is {seed}: give 0 or more"),
        (bool(unknown), f"kind {unknown[:1]}: one of {', '.join(KINDS)}"),
        (not 200 <= height <= 4000, f"height is {height}: give 200 to 4000"),
        (jpeg is not None and not 1 <= jpeg <= 95, f"jpeg is {jpeg}: give 1 to 95"),
        (classes not in FOLDINGS, f"classes {classes!r}: one of {', '.join(FOLDINGS)}"),
        (workers < 1, f"workers is {workers}: give at least 1"),
    ):
        if wrong:
            raise InputError(f"pages by HTML: {message}")
    require()
    settings = Settings(seed, tuple(kinds), height, jpeg, wear)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder for the pages")
    with lock_folder(out, "another job"):
        _claim(out, settings)
        missing = [i for i in range(pages) if not _record(out, i).exists()]
        if missing:
            with tempfile.TemporaryDirectory(prefix="pagegen-html-") as scratch:
                _run(Job(out, settings, Path(scratch)), missing, pages, workers)
        path = out / "annotations.json"
        write_annotations(path, (read_record(_record(out, i)) for i in range(pages)), classes)
    return path


def _record(out: Path, index: int) -> Path:
    """The file that says that a page is done."""
    return out / ".pages" / f"{stem(index)}.json"


def _claim(out: Path, settings: Settings) -> None:
    file = out / "settings.json"
    for name in FOLDERS:
        if (out / name).is_dir():
            remove_temporary(out / name)
    wanted = json.loads(json.dumps(asdict(settings)))
    if not file.exists():
        if any(path.name != LOCK for path in out.iterdir()):
            raise InputError(f"{out}: holds other files; name an empty or a new folder")
        for name in FOLDERS:
            (out / name).mkdir(exist_ok=True)
        atomic_write(file, json.dumps(wanted, indent=1).encode())
        return
    old = read_json(file)
    for key, value in wanted.items():
        if not isinstance(old, dict) or old.get(key) != value:
            raise InputError(
                f"{file}: the pages there were made with another {key}, not {value!r}; "
                f"name another folder, or ask for the same settings"
            )


class Maker:
    """Makes pages, a batch of them a document."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.pictures = Pictures(cache_folder() / "pictures")
        self.browser = Browser()

    def make(self, indices: Sequence[int]) -> None:
        """Make these pages; those whose regions run into each other are drawn anew."""
        left = list(indices)
        for attempt in range(4):
            left = self._make(left, attempt)
            if not left:
                return

    def _make(self, indices: Sequence[int], attempt: int) -> list[int]:
        import pypdfium2 as pdfium

        s = self.job.settings
        rngs, parts, kinds, looks = [], [], [], []
        sizes: dict[tuple[float, float], str] = {}
        for index in indices:
            rng = random.Random(f"{s.version}/{s.seed}/{index}/{attempt}")
            wanted = rng.choice(s.kinds) if s.kinds else ""
            html, look, kind = write_page(rng, self.pictures, wanted)
            name = sizes.setdefault((look.width, look.height), f"size{len(sizes)}")
            rngs.append(rng)
            parts.append(html.replace("@PAGE@", name))
            kinds.append(kind)
            looks.append(look)
        rules = "".join(
            f"@page {name}{{size:{w}px {h}px;margin:0}}" for (w, h), name in sizes.items()
        )
        file = self.job.scratch / f"document-{indices[0]}-{id(self)}.html"
        file.write_text(
            f'<!doctype html><meta charset="utf-8"><style>{CSS}{rules}</style>{"".join(parts)}',
            encoding="utf-8",
        )
        labels, pdf = self.browser.set(file)
        file.unlink()
        document = pdfium.PdfDocument(pdf)
        again = []
        try:
            if len(document) != len(indices) or len(labels) != len(indices):
                raise RuntimeError(f"{len(document)} pages were printed of {len(indices)}")
            for n, index in enumerate(indices):
                scale = s.height / looks[n].height
                image = document[n].render(scale=scale * 96 / 72).to_pil().convert("RGB")
                regions = regions_of(labels[n], image.width / looks[n].width)
                pixels = np.asarray(image)
                for region in regions:
                    if region.ink:
                        cut_at_ink(region, pixels)
                wrong = not regions or crowded(regions, image.height) or blank(regions, pixels)
                if attempt < 3 and wrong:
                    again.append(index)
                    continue
                self._write(index, image, regions, rngs[n], kinds[n], looks[n].language)
        finally:
            document.close()
        return again

    def _write(self, index: int, image: Any, regions: list[Region], rng: random.Random,
               kind: str, language: str) -> None:  # fmt: skip
        from pagegen import degrade, warp
        from pagegen.ocr import as_engines_do, ocr_json, whole_pixels

        s = self.job.settings

        moved: Callable[[np.ndarray], np.ndarray] = np.asarray
        if s.wear and rng.random() < 0.05:
            image, motion = warp.bend(image, rng)
            moved = partial(warp.move_boxes, move=motion)
        elif s.wear:
            image, matrix = degrade.wear(image, rng)
            if matrix is not None:
                moved = partial(degrade.move_boxes, matrix=matrix)
        width, height = image.size
        lines, records = [], []
        for region in regions:
            box = whole_pixels(moved(region.boxes), width, height)
            if box is None or min(box[2] - box[0], box[3] - box[1]) < 3:
                continue
            records.append({"category": region.category, "box": box})
            for line in region.lines:
                line_box = whole_pixels(moved(np.array([line.box])), width, height)
                if line_box is not None:
                    lines.append((line_box, line.text))
        lines = as_engines_do(lines)
        buffer = io.BytesIO()
        if s.jpeg is None:
            image.save(buffer, "PNG", compress_level=3)
        else:
            image.save(buffer, "JPEG", quality=s.jpeg)
        name = f"{stem(index)}.{'png' if s.jpeg is None else 'jpg'}"
        out = self.job.out
        atomic_write(out / "images" / name, buffer.getvalue())
        written = ocr_json(lines, width, height, (f"images/{name}", buffer.getvalue()))
        atomic_write(out / "OCR" / f"{stem(index)}.json", written.encode())
        record = {"file_name": name, "width": width, "height": height, "language": language,
                  "kind": kind, "regions": records}  # fmt: skip
        atomic_write(out / ".pages" / f"{stem(index)}.json", json.dumps(record).encode())


def crowded(regions: list[Region], height: int) -> bool:
    """Whether two regions of a page overlap by more than a small part of a line."""
    boxes = np.array([region.box for region in regions]).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    overlap = (high - low).min(axis=2)
    np.fill_diagonal(overlap, 0)
    return bool((overlap > 0.006 * height).any())


_worker: Maker | None = None


def _start(job: Job) -> None:
    import signal

    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = Maker(job)


def _work(indices: Sequence[int]) -> int:
    assert _worker is not None
    _worker.make(indices)
    return len(indices)


def _run(job: Job, missing: list[int], pages: int, workers: int) -> None:
    import multiprocessing

    from tqdm import tqdm

    groups: list[list[int]] = []
    for index in missing:
        if not groups or groups[-1][0] // BATCH != index // BATCH:
            groups.append([])
        groups[-1].append(index)
    bar = tqdm(total=pages, initial=pages - len(missing), unit="page", desc="pages")
    with bar:
        if workers == 1 or len(groups) < 2:
            maker = Maker(job)
            try:
                for group in groups:
                    maker.make(group)
                    bar.update(len(group))
            finally:
                maker.browser.close()
            return
        context = multiprocessing.get_context("spawn")
        with context.Pool(min(workers, len(groups)), partial(_start, job)) as pool:
            for done in pool.imap_unordered(_work, groups):
                bar.update(done)
