"""`lmv3det train-tokenizer`: a tokenizer from one's own OCR files."""

from __future__ import annotations

import argparse
from pathlib import Path

from lmv3det.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lmv3det train-tokenizer`."""
    parser.add_argument("ocr", nargs="+", metavar="OCR_DIR", help="folders of OCR JSON files")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--vocab-size", type=int, default=8000, metavar="N", help="max entries (default: 8000)"
    )
    parser.add_argument(
        "--kind",
        choices=("bpe", "char_bpe", "unigram"),
        default="bpe",
        help="bpe: bytes, like LayoutLMv3 English (default); char_bpe, unigram: characters, with "
        "unknown ones; unigram is the kind of LayoutLMv3 Chinese, and slower to train",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a tokenizer in DIR")


def run(args: argparse.Namespace) -> int:
    """Run `lmv3det train-tokenizer`."""
    from lmv3det.text.train_tokenizer import read_texts, train_tokenizer

    out = Path(args.out)
    if (out / "tokenizer.json").exists() and not args.overwrite:
        raise InputError(f"{out}: holds a tokenizer already; give another --out, or --overwrite")
    size = train_tokenizer(
        read_texts(args.ocr), out, args.vocab_size, args.kind, show_progress=True
    )
    print(
        f"{out}: {size} entries. Train with text.tokenizer={out} backbone.vocab_size={size} "
        "backbone.pad_token_id=1"
    )
    return 0
