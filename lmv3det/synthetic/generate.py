"""The whole job: pages, annotations and OCR files in a folder; resumable, seeded, in parallel."""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import math
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lmv3det.errors import InputError
from lmv3det.synthetic.marks import CATEGORIES

if TYPE_CHECKING:
    import numpy as np

    from lmv3det.synthetic.text import Corpus

VERSION = 1
"""Grows whenever the same seed gives other pages."""
TALL = 1000
"""Height in pixels of a page when no dpi is asked for."""
MEND = "install them with: pip install 'lmv3det[synthetic]'"

Box = tuple[int, int, int, int]


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
    version: int = VERSION


@dataclass(frozen=True)
class Job:
    """What a worker needs: where, which settings, which corpus file."""

    out: Path
    settings: Settings
    corpus: Path | None


def generate(
    out: str | Path,
    pages: int,
    *,
    seed: int = 0,
    setting: Literal["plain", "text_matters"] = "plain",
    share: float = 0.5,
    language: Literal["en", "zh", "mixed"] = "mixed",
    corpus: str | Path | None = None,
    degrade: bool = False,
    dpi: int | None = None,
    ocr_noise: float = 0.0,
    workers: int = 1,
) -> Path:
    """Make a data set of typeset pages with exact regions and words.

    Page ``i`` depends on the settings and ``i`` alone, so that a larger ``pages`` adds pages to
    those that are there, and finished pages are not made again. With fewer ``pages`` than the
    folder has, ``annotations.json`` lists the first ``pages`` and the rest stay as they are.

    Args:
        out: folder for ``images/``, ``OCR/`` and ``annotations.json`` (COCO instances, the ten
            CDLA classes); ``settings.json`` and ``.pages/`` beside them are for resuming.
        pages: how many pages, at least 1.
        seed: another seed gives other pages.
        setting: ``plain``, or ``text_matters``, where some regions look alike and only their
            words tell them apart.
        share: with ``text_matters``, how many of the regions that could be look-alikes are,
            0 to 1.
        language: of the pages; ``mixed`` tosses for every page.
        corpus: UTF-8 text file, a paragraph a line, for the running text; else it is made up.
        degrade: pages as printed and scanned; JPEG files. Boxes move with the paper.
        dpi: resolution, 30 to 600; ``None`` makes every page 1000 pixels high.
        ocr_noise: about how many letters in the OCR files are misread, 0 to 0.5; boxes then
            also stray by a pixel or so, and some short lines are lost.
        workers: processes.

    Returns:
        The path of ``annotations.json``.

    Raises:
        InputError: a setting outside its range, another data set in the folder, a corpus that
            cannot be used, or a missing package or font.
    """
    _check(pages, seed, setting, share, language, dpi, ocr_noise, workers)
    out = Path(out)
    digest = None
    if corpus is not None:
        from lmv3det.synthetic.text import Corpus

        digest = Corpus.read(Path(corpus), language).digest
    settings = Settings(
        seed=seed,
        setting=setting,
        share=float(share) if setting == "text_matters" else 0.0,
        language=language,
        corpus=digest,
        degrade=bool(degrade),
        dpi=dpi,
        ocr_noise=float(ocr_noise),
    )
    font_files(language)
    _claim(out, settings)
    job = Job(out, settings, None if corpus is None else Path(corpus))
    missing = [i for i in range(pages) if not _finished(out, i)]
    _run(job, missing, pages, workers)
    return _write_annotations(out, pages)


def _check(
    pages: int,
    seed: int,
    setting: str,
    share: float,
    language: str,
    dpi: int | None,
    ocr_noise: float,
    workers: int,
) -> None:
    faults = [
        (pages < 1, f"pages is {pages}: give at least 1"),
        (seed < 0, f"seed is {seed}: give 0 or more"),
        (setting not in ("plain", "text_matters"), f"setting {setting!r}: plain or text_matters"),
        (not 0 <= share <= 1, f"share is {share}: give a number from 0 to 1"),
        (language not in ("en", "zh", "mixed"), f"language {language!r}: en, zh or mixed"),
        (dpi is not None and not 30 <= dpi <= 600, f"dpi is {dpi}: give 30 to 600"),
        (not 0 <= ocr_noise <= 0.5, f"ocr_noise is {ocr_noise}: give a number from 0 to 0.5"),
        (workers < 1, f"workers is {workers}: give at least 1"),
    ]
    for wrong, message in faults:
        if wrong:
            raise InputError(f"synthetic: {message}")


def _claim(out: Path, settings: Settings) -> None:
    """Make the folder ours, or see that it is ours with the same settings."""
    file = out / "settings.json"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder for the pages")
    if not file.exists():
        if out.is_dir() and any(out.iterdir()):
            raise InputError(
                f"{out}: holds other files and no settings.json of synthetic pages; "
                f"name an empty or a new folder"
            )
        for name in ("images", "OCR", ".pages"):
            (out / name).mkdir(parents=True, exist_ok=True)
        _write(file, json.dumps(asdict(settings), indent=1).encode())
        return
    try:
        old = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise InputError(
            f"{file}: not JSON ({error}); remove the folder or name another"
        ) from error
    for key, value in asdict(settings).items():
        if not isinstance(old, dict) or old.get(key) != value:
            was = old.get(key) if isinstance(old, dict) else None
            raise InputError(
                f"{file}: the pages there were made with {key} {was!r}, not {value!r}; "
                f"name another folder, or ask for the same settings"
            )


def stem(index: int) -> str:
    """File name of page ``index`` (from 0), without its ending."""
    return f"page_{index + 1:06d}"


def _finished(out: Path, index: int) -> bool:
    return (out / ".pages" / f"{stem(index)}.json").exists()


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _run(job: Job, missing: list[int], pages: int, workers: int) -> None:
    from tqdm import tqdm

    bar = tqdm(total=pages, initial=pages - len(missing), unit="page", desc="synthetic")
    with bar:
        if workers == 1 or len(missing) < 2:
            with Maker(job) as maker:
                for index in missing:
                    maker.make(index)
                    bar.update()
            return
        for _ in _parallel(job, missing, min(workers, len(missing))):
            bar.update()


_worker: Maker | None = None


def _start(job: Job) -> None:
    import signal

    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = Maker(job)


def _work(index: int) -> int:
    assert _worker is not None
    _worker.make(index)
    return index


def _parallel(job: Job, missing: list[int], workers: int) -> Iterator[int]:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, partial(_start, job)) as pool:
        yield from pool.imap_unordered(_work, missing, chunksize=2)


def font_files(language: str) -> list[Path]:
    """The font files that pages in ``language`` are set in, besides typst's own.

    Raises:
        InputError: a package that brings typst or a font is not installed.
    """
    wanted = [
        ("matplotlib", "mpl-data/fonts/ttf", ["STIXGeneral*.ttf"]),
        ("font_source_sans_pro", "files", [f"SourceSansPro-{w}.ttf" for w in _WEIGHTS]),
        ("font_source_serif_pro", "files", [f"SourceSerifPro-{w}.ttf" for w in _WEIGHTS]),
    ]
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
        raise InputError(f"synthetic: not installed: {', '.join(absent)}{hint}; {MEND}")
    return files


_WEIGHTS = ("Regular", "Bold", "It", "BoldIt")


class Maker:
    """Makes pages one after another: a typesetter with its fonts, and a scratch folder."""

    def __init__(self, job: Job) -> None:
        import typst

        self.job = job
        self.corpus: Corpus | None = None
        if job.corpus is not None:
            from lmv3det.synthetic.text import Corpus

            self.corpus = Corpus.read(job.corpus, job.settings.language)
        self.scratch = Path(tempfile.mkdtemp(prefix="lmv3det-synthetic-"))
        self.root = self.scratch / "root"
        self.root.mkdir()
        # Only the files named: what else lies in those packages must not change a page.
        font_folder = self.scratch / "fonts"
        font_folder.mkdir()
        for file in font_files(job.settings.language):
            shutil.copyfile(file, font_folder / file.name)
        fonts = typst.Fonts(
            include_system_fonts=False, include_embedded_fonts=True, font_paths=[str(font_folder)]
        )
        self.compiler = typst.Compiler(
            root=str(self.root), font_paths=fonts, ignore_system_fonts=True
        )

    def __enter__(self) -> Maker:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def __del__(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def make(self, index: int) -> None:
        """Make page ``index``: image, OCR file, and last the record that says it is done."""
        from lmv3det.synthetic.degrade import move_boxes, scan
        from lmv3det.synthetic.truth import read_page
        from lmv3det.synthetic.typeset import write_page

        s = self.job.settings
        rng = random.Random(f"{s.version}/{s.seed}/{index}")
        page = write_page(
            rng,
            language=s.language,
            setting=s.setting,
            share=s.share,
            corpus=self.corpus,
            folder=self.root,
            name=stem(index),
        )
        pdf = self.compiler.compile(page.source.encode(), format="pdf", pdf_tags=False)
        assert isinstance(pdf, bytes)
        for file in self.root.iterdir():
            file.unlink()
        scale = s.dpi / 72 if s.dpi is not None else TALL / page.style.height
        truth = read_page(pdf, page.marks, scale)
        image = truth.image
        if s.degrade:
            image, matrix = scan(image, rng)
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
        lines = _as_engines_do(lines)
        if s.ocr_noise:
            lines = misread(lines, s.ocr_noise, rng, width, height)
        ending = "jpg" if s.degrade else "png"
        buffer = io.BytesIO()
        if s.degrade:
            image.save(buffer, "JPEG", quality=88)
        else:
            image.save(buffer, "PNG", compress_level=3)
        out, name = self.job.out, stem(index)
        _write(out / "images" / f"{name}.{ending}", buffer.getvalue())
        _write(out / "OCR" / f"{name}.json", ocr_json(lines, width, height).encode("utf-8"))
        record = {
            "file_name": f"{name}.{ending}",
            "width": width,
            "height": height,
            "language": page.style.language,
            "columns": page.style.columns,
            "regions": records,
        }
        _write(out / ".pages" / f"{name}.json", json.dumps(record).encode())


def whole_pixels(boxes: np.ndarray, width: int, height: int) -> Box | None:
    """The smallest box of whole pixels around boxes N×4, cut at the page; None if off it."""
    x0, y0 = boxes[:, :2].min(axis=0)
    x1, y1 = boxes[:, 2:].max(axis=0)
    left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
    right, bottom = min(width, math.ceil(x1)), min(height, math.ceil(y1))
    return (left, top, right, bottom) if right > left and bottom > top else None


def _as_engines_do(lines: list[tuple[Box, str]]) -> list[tuple[Box, str]]:
    """Lines from top to bottom; those on a level from left to right, as OCR engines list them."""
    lines = sorted(lines, key=lambda x: (x[0][1], x[0][0]))
    rows: list[list[tuple[Box, str]]] = []
    for line in lines:
        top, bottom = line[0][1], line[0][3]
        if rows and top - rows[-1][0][0][1] < 0.5 * (bottom - top):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda x: x[0][0])]


_MISREADINGS = dict(
    zip(
        "OoIl1S5B8ZzcegqrnmuvwyhbtfaisMNDECG0-.,:;未己人日大土王木",
        "0ollI5S882sceqgmhnnvuvvyhhttaeisNMOFGC6_,.;:末已入曰太士玉本",
        strict=False,
    )
)


def misread(
    lines: list[tuple[Box, str]], noise: float, rng: random.Random, width: int, height: int
) -> list[tuple[Box, str]]:
    """Lines as a poor OCR engine reads them: wrong or lost letters, stray boxes, lost lines."""
    read: list[tuple[Box, str]] = []
    for (x0, y0, x1, y1), text in lines:
        if len(text) <= 2 and rng.random() < 2 * noise:
            continue
        letters = []
        for letter in text:
            toss = rng.random()
            if toss < noise * 0.7:
                letter = _MISREADINGS.get(letter, rng.choice("acenorst") if letter != " " else "")
            elif toss < noise:
                letter = ""
            letters.append(letter)
        words = "".join(letters).strip()
        if not words:
            continue
        reach = max(1, round((y1 - y0) * 0.12))
        x0, y0 = x0 + rng.randint(-reach, 1), y0 + rng.randint(-reach, 1)
        x1, y1 = x1 + rng.randint(-1, reach), y1 + rng.randint(-1, reach)
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
        if x1 > x0 and y1 > y0:
            read.append(((x0, y0, x1, y1), words))
    return read


def ocr_json(lines: list[tuple[Box, str]], width: int, height: int) -> str:
    """An OCR file's text, an entry a line."""
    boxes = ",\n".join(json.dumps([x0, y0, x1 - x0, y1 - y0]) for (x0, y0, x1, y1), _ in lines)
    words = ",\n".join(json.dumps(text, ensure_ascii=False) for _, text in lines)
    return f'{{"bbox": [\n{boxes}\n],\n"words": [\n{words}\n],\n"W": {width}, "H": {height}}}\n'


def _write_annotations(out: Path, pages: int) -> Path:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    ids = {name: i + 1 for i, name in enumerate(CATEGORIES)}
    for index in range(pages):
        record = json.loads((out / ".pages" / f"{stem(index)}.json").read_text("utf-8"))
        regions = record.pop("regions")
        images.append({"id": index + 1, **record})
        for region in regions:
            x0, y0, x1, y1 = region["box"]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": ids[region["category"]],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                }
            )
    data = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for name, i in ids.items()],
    }
    path = out / "annotations.json"
    _write(path, json.dumps(data).encode())
    return path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("out", type=Path, help="folder for images/, OCR/ and annotations.json")
    parser.add_argument("--pages", type=int, required=True, help="how many pages")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other pages")
    parser.add_argument("--setting", choices=("plain", "text_matters"), default="plain",
                        help="text_matters: some regions differ by their words alone")  # fmt: skip
    parser.add_argument("--share", type=float, default=0.5,
                        help="text_matters: share of such regions, 0 to 1 (default 0.5)")  # fmt: skip
    parser.add_argument("--language", choices=("en", "zh", "mixed"), default="mixed")
    parser.add_argument("--corpus", type=Path, help="text file, a paragraph a line, for the text")
    parser.add_argument("--degrade", action="store_true", help="as printed and scanned")
    parser.add_argument("--dpi", type=int, help="resolution (default: pages 1000 pixels high)")
    parser.add_argument("--ocr-noise", type=float, default=0.0,
                        help="share of letters misread in the OCR files, 0 to 0.5")  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, help="processes")


def run(args: argparse.Namespace) -> int:
    """Do the command; returns the exit code."""
    path = generate(
        args.out,
        args.pages,
        seed=args.seed,
        setting=args.setting,
        share=args.share,
        language=args.language,
        corpus=args.corpus,
        degrade=args.degrade,
        dpi=args.dpi,
        ocr_noise=args.ocr_noise,
        workers=args.workers,
    )
    print(path)
    return 0
