"""The whole job: documents by Chromium, pages, annotations and OCR files; resumable, seeded."""

from __future__ import annotations

import io
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lmv3det.classes import FINE
from lmv3det.errors import InputError
from lmv3det.files import LOCK, lock_folder, read_json, remove_temporary, write_bytes
from pagegen.html.browser import Browser, require
from pagegen.html.content.cache import cache_folder
from pagegen.html.content.pictures import Pictures
from pagegen.html.labels import Region, blank, cut_at_ink, regions_of
from pagegen.html.page import CSS, write_page

VERSION = 1
BATCH = 8
FOLDERS = ("images", "OCR", ".pages")


@dataclass(frozen=True)
class Settings:
    """What decides a page beside its number."""

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


def generate(out: str | Path, pages: int, *, seed: int = 0, kinds: Sequence[str] = (),
             height: int = 1000, jpeg: int | None = 90, wear: bool = True,
             workers: int = 1) -> Path:  # fmt: skip
    """Make a data set of pages of every kind; returns the path of ``annotations.json``."""
    require()
    settings = Settings(seed, tuple(kinds), height, jpeg, wear)
    out = Path(out)
    with lock_folder(out, "another job"):
        _claim(out, settings)
        missing = [i for i in range(pages) if not (out / ".pages" / f"{stem(i)}.json").exists()]
        with tempfile.TemporaryDirectory(prefix="pagegen-html-") as scratch:
            _run(Job(out, settings, Path(scratch)), missing, pages, workers)
        path = out / "annotations.json"
        write_coco(path, (read_json(out / ".pages" / f"{stem(i)}.json") for i in range(pages)))
    return path


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
        write_bytes(file, json.dumps(wanted, indent=1).encode())
        return
    old = read_json(file)
    for key, value in wanted.items():
        if not isinstance(old, dict) or old.get(key) != value:
            raise InputError(
                f"{file}: the pages there were made with another {key}, not {value!r}; "
                f"name another folder, or ask for the same settings"
            )


def write_coco(path: Path, pages: Iterator[dict[str, Any]]) -> None:
    """Write COCO instances of the fine classes."""
    ids = {name: i for i, name in enumerate(FINE, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, page in enumerate(pages, start=1):
        images.append({"id": number, **page})
        for region in images[-1].pop("regions"):
            x0, y0, x1, y1 = region["box"]
            annotations.append({
                "id": len(annotations) + 1, "image_id": number,
                "category_id": ids[region["category"]], "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
                "area": (x1 - x0) * (y1 - y0), "iscrowd": 0,
            })  # fmt: skip
    categories = [{"id": i, "name": name} for name, i in ids.items()]
    data = {"images": images, "annotations": annotations, "categories": categories}
    write_bytes(path, json.dumps(data).encode())


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
        from pagegen.degrade import move_boxes, wear
        from pagegen.ocr import as_engines_do, ocr_json, whole_pixels

        s = self.job.settings
        matrix = None
        if s.wear:
            image, matrix = wear(image, rng)
        width, height = image.size
        lines, records = [], []
        for region in regions:
            moved = region.boxes if matrix is None else move_boxes(region.boxes, matrix)
            box = whole_pixels(moved, width, height)
            if box is None or min(box[2] - box[0], box[3] - box[1]) < 3:
                continue
            records.append({"category": region.category, "box": box})
            for line in region.lines:
                at = np.array([line.box])
                line_box = whole_pixels(
                    at if matrix is None else move_boxes(at, matrix), width, height
                )
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
        write_bytes(out / "images" / name, buffer.getvalue())
        written = ocr_json(lines, width, height, (f"images/{name}", buffer.getvalue()))
        write_bytes(out / "OCR" / f"{stem(index)}.json", written.encode())
        record = {"file_name": name, "width": width, "height": height, "language": language,
                  "kind": kind, "regions": records}  # fmt: skip
        write_bytes(out / ".pages" / f"{stem(index)}.json", json.dumps(record).encode())


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
