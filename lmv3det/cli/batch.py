"""`lmv3det batch`: a corpus to Parquet files, in one process or on a Ray cluster."""

from __future__ import annotations

import argparse
import json
import sys

from lmv3det.cli.predict_options import (
    SETTINGS_HELP,
    add_predict_options,
    check_counts,
    check_fractions,
    check_predict_options,
    detector_options,
    predict_options,
    split_settings,
)
from lmv3det.errors import InputError, count_of, printable

LISTED = 20
"""More lost documents than these are counted, not named."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det batch`."""
    add = parser.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="images, PDF files, folders with those within "
        "them, tar files, globs, .txt files with a source a line; paths or addresses "
        f"(file://, s3://, gs://, …); {SETTINGS_HELP}")  # fmt: skip
    add("--out", required=True, metavar="DIR", help="folder for pages-*.parquet")
    add("--engine", default="local", choices=("local", "ray"),
        help="local: this process; ray: the workers of a Ray cluster (%(default)s)")  # fmt: skip
    add("--resume", action="store_true", help="go on with a job that was stopped; begin one where "
        "there is none")  # fmt: skip
    add("--overwrite", action="store_true", help="drop the job that DIR has")
    add("--shard-size", type=int, metavar="N", help="documents a Parquet file (256)")

    add("--json", action="store_true", help="say what was done as JSON on standard output")

    ray = parser.add_argument_group("the workers of --engine ray")
    ray.add_argument(
        "--address",
        help="of a cluster that runs (default: RAY_ADDRESS, else one on this machine)",
    )
    ray.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: as many as there is room for)"
    )
    ray.add_argument(
        "--gpus",
        type=float,
        default=0.0,
        metavar="N",
        help="GPUs of each worker; 0.25: four workers share a GPU (%(default)g)",
    )
    add("--threads", type=int, metavar="N", help="of torch, in each process: cores of a worker "
        "(1 with ray; as torch chooses with local)")  # fmt: skip

    add("--document-score", type=float, default=0.3, metavar="N",
        help="least score of regions with order and text (%(default)s)")  # fmt: skip
    add_predict_options(parser)


def run(args: argparse.Namespace) -> int:
    """`lmv3det batch`: 0 when every page has its row. A page that failed has one too, with its
    error. 1 when a document, folder or tar file could not be reached whole."""
    args.sources, args.overrides = split_settings(args.sources)
    if not args.sources:
        raise InputError("no SOURCE is given, only settings")
    check_predict_options(args)
    check_counts(args, "shard_size", "workers", "threads")
    check_fractions(args, "document_score")
    if args.gpus < 0:
        raise InputError(f"--gpus is {args.gpus}; it must be 0 or more")
    if args.resume and args.overwrite:
        raise InputError("--resume and --overwrite: give one of them")

    from lmv3det.batch.job import run_batch
    from lmv3det.batch.ray_engine import Cluster
    from lmv3det.batch.shard import BatchOptions

    options = BatchOptions(
        detector_options(args), predict_options(args), args.document_score, args.threads
    )
    report = run_batch(
        args.sources,
        args.out,
        options,
        engine=args.engine,
        cluster=Cluster(args.address, args.workers, args.threads or 1, args.gpus),
        shard_size=args.shard_size,
        resume=args.resume,
        overwrite=args.overwrite,
    )
    if args.json:
        facts = {key: value for key, value in vars(report).items() if key != "lost"}
        print(json.dumps({"out": args.out, **facts, "lost": report.lost}, ensure_ascii=True))
    rate = f", {report.pages / report.seconds:.2f} pages/s" if report.pages else ""
    if not (args.json or args.quiet):
        print(
            f"{printable(args.out)}: {count_of(report.pages, 'page')} in "
            f"{report.seconds:.0f} s{rate}; {report.failed} failed, {report.skipped} skipped "
            "(done before)"
        )
    for line in report.lost[:LISTED]:
        print(printable(f"lost: {line}"), file=sys.stderr)
    if report.lost:
        more = f" (the first {LISTED} are named above)" if len(report.lost) > LISTED else ""
        raise InputError(
            f"{len(report.lost)} sources could not be read whole{more}; they are rows with an error"
        )
    return 0
