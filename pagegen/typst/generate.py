"""The whole job: pages, annotations and OCR files in a folder; resumable, seeded, in parallel."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Literal

from lmv3det.classes import FOLDINGS
from lmv3det.errors import InputError
from lmv3det.files import LOCK, atomic_write, lock_folder, read_json, remove_temporary
from pagegen.annotations import read_record, write_annotations
from pagegen.typst.maker import (
    TALL,
    Job,
    Maker,
    Settings,
    font_files,
    gather_fonts,
    stem,
)

_DEFAULTS = {"height": TALL, "jpeg": None}
FOLDERS = ("images", "OCR", ".pages")
SETTINGS = ("plain", "papers", "text_matters")


def generate(
    out: str | Path,
    pages: int,
    *,
    seed: int = 0,
    setting: Literal["plain", "papers", "text_matters"] = "plain",
    share: float = 0.5,
    language: Literal["en", "zh", "mixed"] = "mixed",
    corpus: str | Path | None = None,
    degrade: bool = False,
    dpi: int | None = None,
    ocr_noise: float = 0.0,
    height: int = TALL,
    jpeg: int | None = None,
    classes: str = "cdla",
    workers: int = 1,
) -> Path:
    """Make a data set of typeset pages with exact regions and words.

    Page ``i`` depends on the settings and ``i`` alone, so that a larger ``pages`` adds pages to
    those that are there, and finished pages are not made again. With fewer ``pages`` than the
    folder has, ``annotations.json`` lists the first ``pages`` and the rest stay as they are.

    Args:
        out: folder for ``images/``, ``OCR/`` and ``annotations.json`` (COCO instances);
            ``settings.json`` and ``.pages/`` beside them are for resuming.
        pages: how many pages, at least 1.
        seed: another seed gives other pages.
        setting: ``plain``; ``papers``, with the looks of many kinds of papers and journals and
            all kinds of figures and tables, to train on for real pages; or ``text_matters``,
            where some regions look alike and only their words tell them apart.
        share: with ``text_matters``, how many of the regions that could be look-alikes are,
            0 to 1.
        language: of the pages; ``mixed`` tosses for every page (of ``papers``, every third is
            Chinese).
        corpus: UTF-8 text file, a paragraph a line, for the running text; else it is made up.
        degrade: pages as printed and scanned; JPEG files. Boxes move with the paper.
        dpi: resolution, 30 to 600; ``None`` makes every page ``height`` pixels high.
        ocr_noise: about how many letters in the OCR files are misread, 0 to 0.5; boxes then
            also stray by a pixel or so, and some short lines are lost.
        height: of every page in pixels, 200 to 4000; without ``dpi``.
        jpeg: quality of JPEG files, 1 to 95; ``None`` makes PNG files, or JPEG with ``degrade``.
        classes: of ``annotations.json``: ``cdla``, ``doclaynet``, ``publaynet`` or ``fine``
            (`lmv3det.classes`). A finished folder is asked again for others without new pages.
        workers: processes.

    Returns:
        The path of ``annotations.json``.

    Raises:
        InputError: a setting outside its range, another data set in the folder, a corpus that
            cannot be used, or a missing package or font.
    """
    _check(pages, seed, setting, share, language, dpi, ocr_noise, height, jpeg, workers)
    if classes not in FOLDINGS:
        raise InputError(f"synthetic: classes {classes!r}: one of {', '.join(FOLDINGS)}")
    out = Path(out)
    digest = None
    if corpus is not None:
        from pagegen.text import Corpus

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
        height=height,
        jpeg=jpeg,
    )
    font_files(language, setting)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder for the pages")
    with lock_folder(out, "another job"):
        _claim(out, settings)
        missing = [i for i in range(pages) if not _record(out, i).exists()]
        with tempfile.TemporaryDirectory(prefix="lmv3det-synthetic-") as scratch:
            gather_fonts(language, Path(scratch), setting)
            source = None if corpus is None else Path(corpus)
            _run(Job(out, settings, source, Path(scratch)), missing, pages, workers)
        path = out / "annotations.json"
        records = (read_record(_record(out, i)) for i in range(pages))
        write_annotations(path, records, classes)
    return path


def _check(
    pages: int,
    seed: int,
    setting: str,
    share: float,
    language: str,
    dpi: int | None,
    ocr_noise: float,
    height: int,
    jpeg: int | None,
    workers: int,
) -> None:
    faults = [
        (pages < 1, f"pages is {pages}: give at least 1"),
        (seed < 0, f"seed is {seed}: give 0 or more"),
        (setting not in SETTINGS, f"setting {setting!r}: one of {', '.join(SETTINGS)}"),
        (not 0 <= share <= 1, f"share is {share}: give a number from 0 to 1"),
        (language not in ("en", "zh", "mixed"), f"language {language!r}: en, zh or mixed"),
        (dpi is not None and not 30 <= dpi <= 600, f"dpi is {dpi}: give 30 to 600"),
        (not 0 <= ocr_noise <= 0.5, f"ocr_noise is {ocr_noise}: give a number from 0 to 0.5"),
        (not 200 <= height <= 4000, f"height is {height}: give 200 to 4000"),
        (dpi is not None and height != TALL, "both dpi and height: give one of them"),
        (jpeg is not None and not 1 <= jpeg <= 95, f"jpeg is {jpeg}: give 1 to 95"),
        (workers < 1, f"workers is {workers}: give at least 1"),
    ]
    for wrong, message in faults:
        if wrong:
            raise InputError(f"synthetic: {message}")


def _claim(out: Path, settings: Settings) -> None:
    """Make the folder ours, or see that it is ours with the same settings."""
    file = out / "settings.json"
    for name in FOLDERS:
        if (out / name).is_dir():
            remove_temporary(out / name)
    if not file.exists():
        if any(path.name != LOCK for path in out.iterdir()):
            raise InputError(
                f"{out}: holds other files and no settings.json of synthetic pages; "
                f"name an empty or a new folder"
            )
        for name in FOLDERS:
            (out / name).mkdir(exist_ok=True)
        atomic_write(file, json.dumps(asdict(settings), indent=1).encode())
        return
    try:
        old = read_json(file)
    except InputError as error:
        raise InputError(f"{error}; remove the folder or name another") from None
    for key, value in asdict(settings).items():
        # Folders made before a setting came have pages made with its default.
        was = old.get(key, _DEFAULTS.get(key)) if isinstance(old, dict) else None
        if was != value:
            raise InputError(
                f"{file}: the pages there were made with {key} {was!r}, not {value!r}; "
                f"name another folder, or ask for the same settings"
            )


def _record(out: Path, index: int) -> Path:
    """The file that says that a page is done."""
    return out / ".pages" / f"{stem(index)}.json"


def _run(job: Job, missing: list[int], pages: int, workers: int) -> None:
    from tqdm import tqdm

    bar = tqdm(total=pages, initial=pages - len(missing), unit="page", desc="synthetic")
    with bar:
        if workers == 1 or len(missing) < 2:
            maker = Maker(job)
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
