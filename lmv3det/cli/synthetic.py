"""`lmv3det synthetic`: pages with exact regions and words."""

from __future__ import annotations

import argparse
from pathlib import Path

from lmv3det.classes import FOLDINGS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lmv3det synthetic`."""
    parser.add_argument("out", type=Path, help="folder for images/, OCR/ and annotations.json")
    parser.add_argument("--pages", type=int, required=True, help="how many pages")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other pages")
    parser.add_argument(
        "--setting",
        choices=("plain", "papers", "text_matters"),
        default="plain",
        help="papers: the looks of many kinds of papers and journals, with all kinds of figures "
        "and tables (to train on for real pages); "
        "text_matters: some regions look alike and differ by their words alone",
    )
    parser.add_argument(
        "--share",
        type=float,
        default=0.5,
        help="text_matters: fraction of look-alikes among the regions that can be, 0 to 1",
    )
    parser.add_argument("--language", choices=("en", "zh", "mixed"), default="mixed")
    parser.add_argument("--corpus", type=Path, help="text file, a paragraph a line, for the text")
    parser.add_argument("--degrade", action="store_true", help="as printed and scanned")
    parser.add_argument("--dpi", type=int, help="resolution (default: pages 1000 pixels high)")
    parser.add_argument("--height", type=int, default=1000, help="pages' height in pixels")
    parser.add_argument(
        "--classes",
        choices=sorted(FOLDINGS),
        default="cdla",
        help="what regions are told apart (default: cdla)",
    )
    parser.add_argument("--jpeg", type=int, help="JPEG files of this quality (default: PNG)")
    parser.add_argument(
        "--ocr-noise", type=float, default=0.0, help="fraction of letters misread, 0 to 0.5"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes")


def run(args: argparse.Namespace) -> int:
    """`lmv3det synthetic`: make the pages and print the annotation file's path."""
    from pagegen.typst import generate

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
        height=args.height,
        jpeg=args.jpeg,
        classes=args.classes,
        workers=args.workers,
    )
    print(path)
    return 0
