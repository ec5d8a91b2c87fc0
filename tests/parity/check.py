#!/usr/bin/env python
"""Compare this implementation with arrays computed by the original.

    python tests/parity/check.py FILE.npz [--size tiny|base] [--offset N] [--num-classes N]

Builds the model that README.md describes, its weights made from their names, runs it in float64,
prints the largest difference of every array in the file and, last, a verdict; exit code 1 where
an array is beyond its tolerance or the file cannot be used.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from component_cases import check_components
from detector_cases import check_evaluation, check_training
from encoder_cases import check_bias, check_multimodal
from fixture import Fixture, Options
from fusion_cases import check_fusion

# An array that only files of the kind have, and how such a file is checked.
KINDS: list[tuple[str, Callable[[Fixture, Options], None]]] = [
    ("proposals0.boxes", check_evaluation),
    ("gt0.boxes", check_training),
    ("text_embeddings", check_multimodal),
    ("official.rel_pos", check_bias),
    ("scale.cell", check_fusion),
    ("b2b.src", check_components),
]


def check_file(path: Path, options: Options) -> Fixture:
    """Compare every array of a file; the results are in the fixture that comes back.

    Raises:
        ValueError: a file of no known kind.
    """
    fixture = Fixture(path)
    for key, check in KINDS:
        if key in fixture:
            check(fixture, options)
            return fixture
    raise ValueError(f"{path}: none of the arrays that tell the kind of file: {dict(KINDS)}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--size", choices=("tiny", "base"), default="tiny")
    parser.add_argument("--offset", type=int, default=0, help="of the seed of every weight")
    parser.add_argument("--num-classes", type=int, default=5)
    args = parser.parse_args(argv)
    try:
        fixture = check_file(args.file, Options(args.size, args.offset, args.num_classes))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"check.py: {args.file}: cannot be checked: {error}", file=sys.stderr)
        return 1
    for result in fixture.results:
        mark = "" if result.holds else "  BEYOND TOLERANCE"
        print(f"{result.difference:9.2e} (≤ {result.tolerance:.0e})  {result.name}{mark}")
    failed = [result for result in fixture.results if not result.holds]
    print(
        f"FAIL: {len(failed)} of {len(fixture.results)} comparisons beyond tolerance"
        if failed
        else f"PASS: {len(fixture.results)} comparisons within tolerance"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
