"""`python -m tools.side_by_side IMAGE … OUT.png`: images of one height in a row."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

HEIGHT = 800
"""Pixels of the row."""
GAP = 24
"""Pixels between images."""


def side_by_side(paths: list[Path], out: Path) -> None:
    """Write images in a row, in 256 colours, which keeps pages small and sharp."""
    images = []
    for path in paths:
        with Image.open(path) as image:
            width = round(image.width * HEIGHT / image.height)
            images.append(image.convert("RGB").resize((width, HEIGHT), Image.Resampling.LANCZOS))
    total = sum(image.width for image in images) + GAP * (len(images) - 1)
    row = Image.new("RGB", (total, HEIGHT), "white")
    x = 0
    for image in images:
        row.paste(image, (x, 0))
        x += image.width + GAP
    out.parent.mkdir(parents=True, exist_ok=True)
    row.quantize(256).save(out, optimize=True)


if __name__ == "__main__":
    *given, last = map(Path, sys.argv[1:])
    side_by_side(given, last)
