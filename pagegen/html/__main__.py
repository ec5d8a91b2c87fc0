"""`python -m pagegen.html OUT --pages N`: pages of every kind."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lmv3det.errors import InputError


def main() -> int:
    """Make the pages and print the annotation file's path."""
    parser = argparse.ArgumentParser(prog="pagegen.html", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for images/, OCR/ and annotations.json")
    parser.add_argument("--pages", type=int, required=True, help="how many pages")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other pages")
    parser.add_argument("--kinds", nargs="*", default=[], help="kinds of pages (default: all)")
    parser.add_argument("--height", type=int, default=1000, help="pages' height in pixels")
    parser.add_argument("--jpeg", type=int, default=90, help="quality of the JPEG files")
    parser.add_argument("--png", action="store_true", help="PNG files instead")
    parser.add_argument("--clean", action="store_true", help="no wear and no scans")
    parser.add_argument("--classes", default="fine", help="fine, cdla, doclaynet or publaynet")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    args = parser.parse_args()
    from pagegen.html.job import generate

    try:
        path = generate(
            args.out,
            args.pages,
            seed=args.seed,
            kinds=args.kinds,
            height=args.height,
            jpeg=None if args.png else args.jpeg,
            wear=not args.clean,
            classes=args.classes,
            workers=args.workers,
        )
        print(path)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
