"""``python -m pagegen.latex OUT --pages N --seed S``."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lmv3det.classes import FOLDINGS
from lmv3det.errors import InputError
from lmv3det.files import atomic_write
from pagegen.annotations import write_annotations
from pagegen.latex.journals import CLASSES
from pagegen.latex.macros import DEBIAN, FILES
from pagegen.latex.pages import VERSION, Job, make_document

STEP = 300
"""Pages after which those that are there are listed, so that they can be used."""


def generate(
    out: Path,
    pages: int,
    *,
    seed: int = 0,
    degrade: float = 0.3,
    classes: str = "cdla",
    workers: int = 1,
) -> Path:
    """Make at least ``pages`` pages and list so many, of a folding's classes
    (`lmv3det.classes`); what is there is not made again.

    Document ``i`` depends on ``seed``, ``degrade`` and ``i`` alone. A document's pages lie
    together; the last pages of the last may be left out of the list.

    Raises:
        InputError: a setting out of range, another data set in the folder, or no LaTeX.
    """
    for wrong, message in (
        (pages < 1, f"pages is {pages}: give at least 1"),
        (not 0 <= degrade <= 1, f"degrade is {degrade}: give a number from 0 to 1"),
        (workers < 1, f"workers is {workers}: give at least 1"),
    ):
        if wrong:
            raise InputError(f"latex: {message}")
    check_latex()
    path = out / "annotations.json"
    job = Job(out, seed, float(degrade), tuple(CLASSES))
    _claim(job)
    found: list[dict[str, Any]] = []
    faults: list[str] = []
    barren = listed = 0
    with tqdm(total=pages, unit="page", desc="latex pages") as bar:
        for number in _documents(job, workers):
            record = json.loads(job.record(number).read_text("utf-8"))
            found += record["pages"]
            faults += [f"{record['class']} {number}: {fault}" for fault in record["faults"]]
            bar.update(min(len(record["pages"]), pages - bar.n))
            barren = 0 if record["pages"] else barren + 1
            if barren == 20:
                raise InputError(f"latex: 20 documents without a page; {faults[-1]}")
            if len(found) >= pages:
                break
            if len(found) >= listed + STEP:
                listed = len(found)
                write_annotations(path, found, classes)
    atomic_write(out / "faults.txt", "".join(f"{fault}\n" for fault in faults).encode())
    write_annotations(path, found[:pages], classes)
    return path


def check_latex() -> None:
    """See that pdflatex and the classes are there.

    Raises:
        InputError: what is missing, and which Debian packages bring it.
    """
    if shutil.which("pdflatex") is None:
        raise InputError(f"latex: no pdflatex; on Debian: apt-get install {DEBIAN}")
    done = subprocess.run(["kpsewhich", *FILES], capture_output=True, text=True)
    have = {Path(line).name for line in done.stdout.splitlines()}
    if absent := [name for name in FILES if name not in have]:
        raise InputError(
            f"latex: LaTeX has no {', '.join(absent)}; on Debian: apt-get install {DEBIAN}"
        )


def _claim(job: Job) -> None:
    """Make the folder ours, or see that it is ours with the same settings."""
    settings = {"seed": job.seed, "degrade": job.degrade, "version": VERSION}
    file = job.out / "settings.json"
    if not file.exists():
        if job.out.exists() and (not job.out.is_dir() or any(job.out.iterdir())):
            raise InputError(f"{job.out}: holds other files; name an empty or a new folder")
        for name in ("images", "OCR", ".documents", ".pictures"):
            (job.out / name).mkdir(parents=True, exist_ok=True)
        atomic_write(file, json.dumps(settings).encode())
        return
    try:
        same = json.loads(file.read_text("utf-8")) == settings
    except ValueError:
        same = False
    if not same:
        raise InputError(f"{file}: made with other settings than {settings}; name another folder")


def _make(arguments: tuple[Job, int]) -> int:
    job, number = arguments
    if not job.record(number).exists():
        make_document(job, number)
    return number


def _documents(job: Job, workers: int) -> Iterator[int]:
    """Numbers of finished documents in their order, without end."""
    if workers == 1:
        for number in count():
            yield _make((job, number))
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        # A batch may go a little beyond what is asked for.
        for start in count(step=2 * workers):
            yield from pool.imap(_make, [(job, start + i) for i in range(2 * workers)])


def main() -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pagegen.latex", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for images/, OCR/ and annotations.json")
    parser.add_argument("--pages", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other pages")
    parser.add_argument("--degrade", type=float, default=0.3, help="share of scanned documents")
    parser.add_argument(
        "--classes", choices=FOLDINGS, default="cdla", help="what regions are told apart"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes")
    args = parser.parse_args()
    try:
        path = generate(
            args.out,
            args.pages,
            seed=args.seed,
            degrade=args.degrade,
            classes=args.classes,
            workers=args.workers,
        )
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
