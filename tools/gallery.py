"""Makes the pictures of docs/gallery.md: `python -m tools.gallery WORK docs/pictures/gallery`.

WORK keeps the generated pages; no page of anybody's is in them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from lmv3det import Detector
from lmv3det.files import replacing
from pagegen.typst import generate

SEED = 5
PAGES = {"plain": (6, 11, 12), "papers": (3, 9, 10, 13, 16, 20)}
"""Setting of `lmv3det synthetic` → numbers of the pages that are shown."""
HEIGHT = 900
"""Of a picture, in pixels."""


def make(work: Path, out: Path) -> None:
    """Generate the pages, predict with the bundled model, and write a small drawing of each."""
    detector = Detector.load(device="cpu")
    out.mkdir(parents=True, exist_ok=True)
    for setting, numbers in PAGES.items():
        folder = generate(work / setting, max(numbers), seed=SEED, setting=setting).parent
        for number in numbers:
            path = folder / "images" / f"page_{number:06d}.png"
            (page,) = detector.predict(path, ocr=folder / "OCR")
            drawing = work / f"{setting}_{number}.png"
            page.plot(drawing)
            with replacing(out / f"{setting}_{number}.webp") as target:
                picture = Image.open(drawing).convert("RGB")
                picture.thumbnail((HEIGHT, HEIGHT), Image.Resampling.LANCZOS)
                picture.save(target, "WEBP", quality=60, method=6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path, help="folder of the generated pages")
    parser.add_argument("out", type=Path, help="folder of the pictures")
    args = parser.parse_args()
    make(args.work, args.out)
