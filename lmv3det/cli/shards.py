"""`lmv3det shards`: a data set as tar files, for training without a shared disk."""

from __future__ import annotations

import argparse
from pathlib import Path

from lmv3det.errors import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det shards`."""
    add = parser.add_argument
    add("--annotations", required=True, type=Path, help="COCO instances JSON")
    add("--images", required=True, type=Path, help="folder of the page images")
    add("--ocr", type=Path, help="folder of the OCR files (default: without text)")
    add("--out", required=True, type=Path, metavar="DIR", help="folder for *.tar and index.json")
    add("--shards", required=True, type=int, metavar="N",
        help="tar files: as many as there will be training processes, or a multiple")  # fmt: skip
    add("--overwrite", action="store_true", help="replace the shards that DIR has")


def run(args: argparse.Namespace) -> int:
    """`lmv3det shards`: 0 when all are written."""
    from lmv3det.data.coco import CocoDataset
    from lmv3det.data.write_shards import write_shards

    dataset = CocoDataset(
        args.annotations,
        args.images,
        args.ocr,
        with_text=args.ocr is not None,
        missing_ocr="empty",
    )
    paths = write_shards(dataset, args.out, args.shards, overwrite=args.overwrite)
    first, last = (path.stem.rpartition("-")[2] for path in (paths[0], paths[-1]))
    pattern = args.out / f"pages-{{{first}..{last}}}.tar"
    print(f"{len(dataset)} pages; data.train.shards: {printable(str(pattern))}")
    return 0
