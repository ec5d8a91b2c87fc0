"""`lmv3det check`: everything that is wrong with a data set, before it is trained on."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lmv3det.errors import InputError, printable

if TYPE_CHECKING:
    from lmv3det.data.coco import CocoDataset
    from lmv3det.data.issues import DataReport
    from lmv3det.structures import Sample


_LONGEST = 200
"""Bytes of a file's name that a drawing's name takes over."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lmv3det check`."""
    parser.add_argument(
        "--annotations",
        type=Path,
        required=True,
        metavar="FILE",
        help="COCO instances JSON; or a folder of LabelMe files, a JSON export of Label Studio, an "
        "XML export of CVAT; or a ZIP with one of these",
    )
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder of the page images"
    )
    parser.add_argument(
        "--ocr", type=Path, metavar="DIR", help="folder of the OCR files; checked only when given"
    )
    parser.add_argument(
        "--draw", type=Path, metavar="DIR", help="write a drawing of every page into this folder"
    )
    parser.add_argument(
        "--against",
        type=Path,
        nargs=2,
        metavar=("FILE", "DIR"),
        help="annotations and images of another split, which must not share pages with this one",
    )
    parser.add_argument(
        "--issues",
        type=int,
        default=100,
        metavar="N",
        help="issues of each kind to list, the rest is counted; 0 lists all (default: 100)",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes that read pages (default: 1)"
    )


def run(args: argparse.Namespace) -> int:
    """Run `lmv3det check`: 0 when the data set is clean, 1 when it has issues."""
    from lmv3det.data.check import check_dataset, open_for_check
    from lmv3det.data.issues import NothingUsable

    if args.jobs < 1:
        raise InputError(f"--jobs is {args.jobs}; it must be 1 or more")
    if args.ocr is not None and not args.ocr.is_dir():
        raise InputError(f"{args.ocr}: no such OCR folder")
    if args.issues < 0:
        raise InputError(f"--issues is {args.issues}; it must be 0 or more")
    try:
        dataset = open_for_check(args.annotations, args.images, args.ocr)
        against = open_for_check(args.against[0], args.against[1], None) if args.against else None
    except NothingUsable as error:
        _print_issues(error.report, args.issues)
        raise
    draw = None if args.draw is None else DrawInto(args.draw, drawing_names(dataset))
    report = check_dataset(dataset, against, jobs=args.jobs, draw=draw)
    for line in describe(dataset):
        print(line)
    _print_issues(report, args.issues)
    if args.draw is not None:
        print(f"drawings: {args.draw}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    count = f"{len(report)} issue" + ("s" if len(report) > 1 else "")
    print(f"{args.annotations}: {f'{count} ({kinds})' if report else 'clean, no issues'}")
    return 1 if report else 0


def _print_issues(report: DataReport, of_a_kind: int) -> None:
    for line in report.lines(of_a_kind):
        print(f"ISSUE {line}")


def describe(dataset: CocoDataset) -> list[str]:
    """What a data set holds, for printing: pages, and regions of each class."""
    from lmv3det.data.check import class_counts

    regions, pages, empty, crowds = class_counts(dataset)
    names = [printable(category.name) for category in dataset.categories]
    width = max(5, *map(len, names))
    lines = [
        f"{dataset.annotations}: {len(dataset)} pages ({empty} without regions), "
        f"{sum(regions)} regions, {crowds} crowds",
        f"{'id':>6}  {'class':<{width}}  {'regions':>8}  {'pages':>8}",
    ]
    for row in zip(dataset.categories, names, regions, pages, strict=True):
        category, name, of_class, with_class = row
        lines.append(f"{category.id:>6}  {name:<{width}}  {of_class:>8}  {with_class:>8}")
    return lines


def drawing_names(dataset: CocoDataset) -> dict[int, str]:
    """The name of each page's drawing by image id: `<file_name>.jpg`, folders in the name joined by
    `__`. Pages that would have the same name (`a.png` and `a.jpg`, `b/c.png` and `b__c.png`, a file
    that is listed twice) keep their suffix and have a part of the hash of their name and id."""
    pages = [(record.image_id, record.file_name) for record in dataset.records]
    stems = {key: Path(name.replace("/", "__")).stem for key, name in pages}
    # Some file systems do not tell cases apart.
    counts = Counter(stem.casefold() for stem in stems.values())
    names: dict[int, str] = {}
    for key, file_name in pages:
        name, mark = os.fsencode(stems[key]), ""
        if counts[stems[key].casefold()] > 1:
            name = os.fsencode(Path(file_name.replace("/", "__")).name)
            mark = "." + hashlib.sha256(os.fsencode(f"{key} {file_name}")).hexdigest()[:12]
        if len(name) > _LONGEST:  # file names have at most 255 bytes
            name = name[:_LONGEST] + hashlib.sha256(name).hexdigest()[:12].encode()
        names[key] = f"{os.fsdecode(name)}{mark}.jpg"
    return names


@dataclass(frozen=True)
class DrawInto:
    """Draws pages with their regions and text lines into a folder.

    Args:
        folder: to write to.
        names: image id → name of the drawing (`drawing_names`).
    """

    folder: Path
    names: dict[int, str]

    def __call__(self, sample: Sample, names: Sequence[str]) -> None:
        """Write the drawing of a page."""
        from lmv3det.files import replacing
        from lmv3det.visualization.regions import draw_regions

        picture = draw_regions(
            sample.image,
            sample.boxes,
            names,
            sample.classes.tolist(),
            sample.line_boxes,
            sample.polygons,
        )
        with replacing(self.folder / self.names[sample.page.image_id]) as temporary:
            picture.save(temporary, "JPEG", quality=90)
