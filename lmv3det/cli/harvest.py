"""`lmv3det harvest`: training data from tagged PDF."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lmv3det.classes import FOLDINGS
from lmv3det.errors import InputError, printable

if TYPE_CHECKING:
    from lmv3det.harvest import HarvestReport

_SHOWN = 10
"""Pages left out that are printed; the file names all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det harvest`."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="DIR", help="folders, searched with all that is in them, and "
        "files: tagged PDF; with LibreOffice .docx, .odt, .pptx, .html and their kin")  # fmt: skip
    add("--out", type=Path, required=True, metavar="DATA",
        help="folder for annotations.json, images/ and OCR/")  # fmt: skip
    add("--classes", choices=tuple(FOLDINGS), default="fine",
        help="which classes (default: fine, all sixteen)")  # fmt: skip
    add("--val", type=float, default=0.0, metavar="SHARE", help="of the pages, by whole documents, "
        "to be held back: writes train.json and val.json too (default: 0)")  # fmt: skip
    add("--dpi", type=int, default=144, metavar="N",
        help="resolution at which pages are drawn (%(default)s)")  # fmt: skip
    add("--jpeg", type=int, metavar="N", help="JPEG files of this quality (default: PNG)")
    add("--pages", type=int, metavar="N",
        help="of a document at most, spread over it (default: all)")  # fmt: skip
    add("--untagged", type=float, default=0.02, metavar="SHARE", help="of a page's letters without "
        "a tag up to which the page is trusted (default: 0.02)")  # fmt: skip
    add("--draw", type=Path, metavar="DIR", help="draw the regions of every page into this folder, "
        "of pages left out into left_out/ in it")  # fmt: skip
    add("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    add("--page-seconds", type=float, default=120.0, metavar="S",
        help="a page that takes longer is given up (default: 120)")  # fmt: skip
    add("--password", help="of encrypted PDF files")


def run(args: argparse.Namespace) -> int:
    """`lmv3det harvest`: 0 when all was read, whether trusted or not; 1 when some failed."""
    from lmv3det.harvest import harvest

    report = harvest(
        args.inputs,
        args.out,
        classes=args.classes,
        dpi=args.dpi,
        jpeg=args.jpeg,
        untagged=args.untagged,
        pages=args.pages,
        validation=args.val,
        draw=args.draw,
        workers=args.workers,
        page_seconds=args.page_seconds,
        password=args.password,
    )
    for line in describe(report, args.out):
        print(printable(line))
    for name, why in report.failed:
        print(printable(f"failed: {name}: {why}"), file=sys.stderr)
    if not report.pages:
        raise InputError(
            f"{args.out}: no page that can be trusted; {args.out / 'left_out.txt'} says why. PDF "
            "is tagged where its program was told so, such as by “Tagged PDF” in LibreOffice's "
            "export"
        )
    if report.failed:
        raise InputError(
            f"{len(report.failed)} documents or pages failed, named above; the same command tries "
            "only them again"
        )
    return 0


def describe(report: HarvestReport, out: Path) -> list[str]:
    """What came of a job, for printing."""
    lines = [f"left out: {name}: {why}" for name, why in report.left_out[:_SHOWN]]
    more = len(report.left_out) - _SHOWN
    if more > 0:
        lines.append(f"left out: {more} more, named in {out / 'left_out.txt'}")
    if report.left_out:
        kinds = ", ".join(f"{count} {kind}" for kind, count in report.reasons().most_common())
        lines.append(f"{len(report.left_out)} left out: {kinds}")
    if report.pages:
        regions = ", ".join(f"{count} {name}" for name, count in report.counts.items() if count)
        lines.append(f"{report.counts.total()} regions: {regions}")
        for split, pages in report.splits.items():
            lines.append(f"{out / f'{split}.json'}: {pages} pages")
        there = f", {report.there} of them read before" if report.there else ""
        lines.append(
            f"{report.annotations}: {report.pages} pages of {report.documents} documents{there}"
        )
    return lines
