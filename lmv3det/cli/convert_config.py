"""`lmv3det convert-config`: a detectron2 yaml becomes a config of ours."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `lmv3det convert-config`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="detectron2 yaml")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="end with an error, and write nothing, where something cannot be had here",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write (default: print)")


def run(args: argparse.Namespace) -> int:
    """Write the config to --out or standard output, and say what was left out."""
    from lmv3det.config.detectron2_yaml import convert_config, to_short_yaml
    from lmv3det.errors import InputError
    from lmv3det.files import replacing

    converted = convert_config(args.file)
    impossible = converted.cannot_be_had()
    if args.strict and impossible:
        print(converted.summary(), file=sys.stderr)
        raise InputError(
            f"{args.file}: {len(impossible)} settings cannot be had, such as {impossible[0]}; "
            "leave --strict out to convert the others"
        )
    text = to_short_yaml(converted.values, args.file.name)
    if args.out is None:
        print(text, end="")
        print(converted.summary(), file=sys.stderr)
        return 0
    if args.out.resolve() == args.file.resolve():
        raise InputError(f"--out {args.out}: is the file that is read; name another")
    with replacing(args.out) as draft:
        draft.write_text(text, encoding="utf-8")
    print(f"wrote {args.out}")
    print(converted.summary())
    return 0
