"""`lmv3det ablation`: train several systems alike, score them alike, print the table."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from lmv3det.errors import InputError

_SETTING = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z0-9_]+)*=")
_TAKEN = re.compile(r"(output_dir|seed|data\.(train|val)(\..*)?)=")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det ablation`."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="data set folder (annotations.json, images/, OCR/); without it nothing is trained "
        "and the table is written from the finished runs",
    )
    parser.add_argument(
        "--configs",
        nargs="+",
        metavar="NAME[:key=value]",
        help="configs by name or path, with settings of their own behind a colon, such as "
        "af2:fusion.only_where_text=true (default: the rows of the table)",
    )
    parser.add_argument(
        "--size",
        default="base",
        help="base: as the configs say; tiny: for a CPU; or a config whose sizes, lr and "
        "budget all systems take (%(default)s)",
    )
    parser.add_argument("--steps", type=int, help="steps of every run (default: the size's)")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each system (%(default)s)")
    held = parser.add_mutually_exclusive_group()
    held.add_argument(
        "--val-fraction",
        "--val-share",
        type=float,
        default=0.2,
        help="fraction of the pages held back (%(default)s)",
    )
    held.add_argument("--val", type=Path, metavar="DIR", help="folder of the held-back pages")
    parser.add_argument(
        "--split-seed", type=int, default=0, help="seed of the draw of these pages (%(default)s)"
    )
    parser.add_argument(
        "--resplit", action="store_true", help="hold back other pages for every seed"
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=results.json",
        help="a row from COCO results of another detector on the same pages",
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="DIR",
        help="start each run from a model in the --out of an earlier ablation that was made with "
        "--keep-checkpoints: of the same system, or of the nearest one it is built on; of the "
        "same seed, or of seed 0",
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (%(default)s)")
    parser.add_argument(
        "--keep-checkpoints", action="store_true", help="keep every trained model as model.pth"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of all systems")


def run(args: argparse.Namespace) -> int:
    """Train and print the table: 0 when all runs are finished, 130 or so after a signal.

    Raises:
        InputError: arguments, data or settings that cannot be used; runs that failed.
    """
    from lmv3det.ablation.experiment import Ablation
    from lmv3det.ablation.systems import SYSTEMS
    from lmv3det.ablation.table import table

    # Settings behind --configs, which takes every word that follows.
    configs = args.configs or []
    settings = [word for word in configs if _SETTING.match(word)]
    overrides = [*settings, *args.overrides]
    _check_arguments(args, overrides)
    ablation = Ablation(
        out=args.out,
        data=args.data,
        configs=[word for word in configs if word not in settings] or SYSTEMS,
        size=args.size,
        steps=args.steps,
        seeds=args.seeds,
        val_fraction=args.val_fraction,
        val=args.val,
        split_seed=args.split_seed,
        resplit=args.resplit,
        peers=dict(map(_peer, args.peer)),
        init=args.init,
        keep_checkpoints=args.keep_checkpoints,
        overrides=overrides,
    )
    rows, code, failed = ablation.run(args.jobs)
    if rows:
        print(table(rows))
    if failed:
        raise InputError(
            f"{len(failed)} runs failed: {'; '.join(failed)}. The others are kept; the same "
            "command tries these again"
        )
    if not rows and not code:
        raise InputError(f"{args.out}: no finished run; give --data DIR to train some")
    return code


def _check_arguments(args: argparse.Namespace, overrides: list[str]) -> None:
    for name, least in (("seeds", 1), ("jobs", 1), ("steps", 1), ("split_seed", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            option = name.replace("_", "-")
            raise InputError(f"--{option} is {value}: give {least} or more")
    if args.data is None and args.peer:
        raise InputError("--peer needs --data DIR, whose held-back pages it is scored on")
    if args.resplit and args.val is not None:
        raise InputError("--resplit draws the held-back pages, which --val gives: leave one out")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "ablation does not run under torchrun: several GPUs are used by --jobs, one run each"
        )
    for word in overrides:
        if _TAKEN.match(word):
            raise InputError(
                f"{word!r}: output_dir, seed and data are set by --out, --seeds, --data and --val"
            )


def _peer(word: str) -> tuple[str, Path]:
    name, equals, path = word.partition("=")
    if not (name and equals and path):
        raise InputError(f"--peer {word}: write NAME=results.json")
    return name, Path(path)
