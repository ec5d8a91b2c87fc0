"""`lmv3det convert`: weights of any known format to any other."""

from __future__ import annotations

import argparse
from pathlib import Path

from lmv3det.errors import InputError

FORMATS = {
    "lmv3det": "a checkpoint of ours, FILE.pth",
    "pretrained": "a folder of ours: safetensors, config, categories, tokenizer",
    "detectron2": "FILE.pth with detectron2's names, or a folder with its yaml beside",
    "huggingface": "a folder with the encoder alone, for transformers",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `lmv3det convert`."""
    parser.add_argument(
        "source",
        metavar="FROM",
        help="our checkpoint or folder, a detectron2 .pth or folder, a Hugging Face LayoutLMv3 "
        "folder, or hub:OWNER/NAME",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of the result")
    formats = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    parser.add_argument("--to", required=True, choices=FORMATS, metavar="FORMAT", help=formats)
    parser.add_argument("--out", required=True, type=Path, metavar="PATH", help="what to write")
    parser.add_argument("--yaml", type=Path, metavar="FILE", help="the detectron2 yaml of FROM")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a config of ours for FROM")
    parser.add_argument("--classes", metavar="A,B,C", help="class names in order")
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="COCO JSON that has the classes",
    )
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="names in FROM that begin with OLD begin with NEW; may be repeated",
    )
    parser.add_argument("--half", action="store_true", help="--to pretrained in float16")
    parser.add_argument("--allow-missing", action="store_true", help="start missing tensors anew")
    parser.add_argument("--allow-unexpected", action="store_true", help="leave out unknown tensors")
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="let the config of FROM name classes of your own (module:Class)",
    )
    parser.add_argument("--seed", type=int, default=42, help="of tensors that start anew")


def run(args: argparse.Namespace) -> int:
    """`lmv3det convert`: read, translate, check, write; the report goes to standard output."""
    from lmv3det.config import lay_over, merge, read_yaml
    from lmv3det.config.parts import code_in
    from lmv3det.convert.conversion import read_classes, save_as, to_checkpoint
    from lmv3det.convert.sources import read_source

    out: Path = args.out
    if out.is_file() or (out.is_dir() and (out.suffix == ".pth" or any(out.iterdir()))):
        raise InputError(f"--out {out}: is there already; remove it or write elsewhere")
    if args.half and args.to != "pretrained":
        raise InputError(f"--half goes with --to pretrained, not with --to {args.to}")
    rename = [_pair(text) for text in args.rename]
    given = merge(read_yaml(args.config) if args.config else {}, lay_over({}, args.overrides))
    trusted = args.trust_code or code_in(given).values()
    source = read_source(args.source, rename, trust_code=trusted)
    checkpoint, report = to_checkpoint(
        source,
        yaml_file=args.yaml,
        config_file=args.config,
        overrides=args.overrides,
        categories=read_classes(args.classes, args.annotations),
        allow_missing=args.allow_missing,
        allow_unexpected=args.allow_unexpected,
        seed=args.seed,
    )
    save_as(checkpoint, args.to, out, report, half=args.half)
    print(report)
    print(f"wrote {out} ({args.to})")
    return 0


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise InputError(f"--rename {text!r} is not OLD=NEW")
    return old, new
