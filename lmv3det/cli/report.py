"""`lmv3det report`: COCO results of any tool, or a training, as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

from lmv3det.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results",
        nargs="+",
        type=Path,
        metavar="RESULTS.json",
        help="COCO results; a second file is compared with the first, page by page; or the folder "
        "of a training, alone",
    )
    parser.add_argument("--annotations", metavar="FILE", help="COCO instances JSON")
    parser.add_argument("--images", metavar="DIR", help="folder of the page images")
    parser.add_argument("--ocr", metavar="DIR", help="OCR files, to show the text lines too")
    parser.add_argument(
        "--out", type=Path, default=Path("report"), metavar="DIR",
        help="folder that report.html is written to (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--title", default="Layout detection", help="of the page (%(default)s)")
    parser.add_argument(
        "--pages", type=int, default=60, help="pages shown with their image (%(default)s)"
    )
    parser.add_argument(
        "--names", nargs="+", metavar="NAME", help="of the runs (default: those of the files)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    if len(args.results) == 1 and args.results[0].is_dir():
        return _report_training(args.results[0], args.out / "report.html")
    if args.annotations is None or args.images is None:
        raise InputError("give --annotations FILE and --images DIR of the results")
    return _report_results(args)


def _report_training(folder: Path, path: Path) -> int:
    from lmv3det.config import load_config
    from lmv3det.data.coco import CocoDataset
    from lmv3det.engine.log import METRICS, read_entries
    from lmv3det.evaluation.run_report import write_run_report

    if not (folder / METRICS).is_file():
        raise InputError(f"{folder}: no folder of a training, which has a {METRICS}")
    settings, issues = "", {}
    if (folder / "config.yaml").is_file():
        settings = (folder / "config.yaml").read_text(encoding="utf-8", errors="replace")
        data = load_config(folder / "config.yaml").data
        trained = [("training", split) for split in data.train_sets]
        for name, split in (*trained, ("validation", data.val)):
            annotations, images = split.annotations or "", split.images or ""
            if Path(annotations).is_file() and Path(images).is_dir():
                found = CocoDataset(annotations, images, quiet=True)
                issues[f"{name}: {annotations}"] = found.report.counts
    pictures = folder / "pictures"
    shown = [pictures / "train_batch.png", *sorted((pictures / "over_time").glob("*.png"))]
    write_run_report(path, read_entries(folder), settings, shown, issues, f"Training {folder}")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _report_results(args: argparse.Namespace) -> int:
    from lmv3det.data.coco import CocoDataset
    from lmv3det.evaluation.analysis import analyse
    from lmv3det.evaluation.coco import score
    from lmv3det.evaluation.report import write_report
    from lmv3det.evaluation.results import read_results

    if len(args.results) > 2:
        raise InputError(f"{len(args.results)} results are given; it takes one, or two to compare")
    if args.pages < 0:
        raise InputError(f"--pages is {args.pages}; it must be 0 or more")
    names = args.names or _names(args.results)
    if len(names) != len(args.results):
        raise InputError(f"--names gives {len(names)} names for {len(args.results)} results")
    if args.ocr is not None and not Path(args.ocr).is_dir():
        raise InputError(f"{args.ocr}: no such OCR folder")
    dataset = CocoDataset(
        args.annotations, args.images, args.ocr, with_text=args.ocr is not None,
        missing_ocr="empty", malformed_ocr="skip",
    )  # fmt: skip
    runs = []
    for path, name in zip(args.results, names, strict=True):
        results = read_results(path, dataset)
        evaluation = score(dataset, results, ["bbox"])
        runs.append(analyse(dataset, results, evaluation, None, name))
    path = args.out / "report.html"
    shown = write_report(path, dataset, runs, title=args.title, pages=args.pages)
    print(f"{path}: {len(dataset)} pages, {shown} shown, {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _names(paths: list[Path]) -> list[str]:
    """The files' names, with their folders where these alone differ."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [f"{p.parent.name}/{p.stem}" for p in paths]
