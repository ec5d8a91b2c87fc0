"""Photographs and clip art of the machine's packages; painted ones where there are none."""

from __future__ import annotations

import hashlib
import os
import random
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

PHOTO_FOLDERS = (
    "/usr/share/backgrounds", "/usr/share/wallpapers", "/usr/share/lomiri/wallpapers",
    "/usr/share/plasma/wallpapers",
)  # fmt: skip
CLIP_FOLDERS = ("/usr/share/openclipart/png",)
PIXELS = 900
"""Longest side of a picture as it is put into a document."""


@lru_cache(maxsize=1)
def photographs() -> tuple[Path, ...]:
    """The machine's photographs."""
    found: list[Path] = []
    for folder in PHOTO_FOLDERS:
        for ending in ("jpg", "jpeg", "png"):
            found.extend(Path(folder).rglob(f"*.{ending}"))
    return tuple(sorted(p for p in found if p.is_file() and p.stat().st_size > 60_000))


@lru_cache(maxsize=1)
def clip_art() -> tuple[Path, ...]:
    """The machine's clip art."""
    return tuple(sorted(p for f in CLIP_FOLDERS for p in Path(f).rglob("*.png") if p.is_file()))


class Pictures:
    """Pictures cut and made smaller once, kept as files for the browser."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def photograph(self, rng: random.Random) -> tuple[str, float]:
        """Address of a photograph and its width over height."""
        many = photographs()
        if not many:
            return self._painted(rng)
        source = rng.choice(many)
        part = rng.randrange(4)
        key = hashlib.sha1(f"{source}/{part}".encode()).hexdigest()[:16]
        path = self.folder / f"{key}.jpg"
        if not path.exists():
            from PIL import Image

            try:
                with Image.open(source) as opened:
                    if opened.format == "JPEG":
                        opened.draft("RGB", (PIXELS, PIXELS))
                    image = opened.convert("RGB")
            except (OSError, ValueError):
                return self._painted(rng)
            image.thumbnail((PIXELS * 2, PIXELS * 2))
            cut = random.Random(key)
            if part:
                w, h = image.size
                share = cut.uniform(0.4, 0.9)
                cw, ch = int(w * share), int(h * cut.uniform(0.4, 0.9))
                x, y = cut.randint(0, w - cw), cut.randint(0, h - ch)
                piece = image.crop((x, y, x + cw, y + ch))
                plain = np.asarray(piece.convert("L").resize((32, 32))).std() < 14
                image = image if plain else piece
            if part == 3:
                image = image.convert("L").convert("RGB")
            image.thumbnail((PIXELS, PIXELS))
            _save(image, path)
        return self._answer(path)

    def clip(self, rng: random.Random) -> tuple[str, float]:
        """Address of clip art and its width over height."""
        many = clip_art()
        if not many:
            return self._painted(rng)
        source = rng.choice(many)
        path = self.folder / f"{hashlib.sha1(str(source).encode()).hexdigest()[:16]}.png"
        if not path.exists():
            from PIL import Image

            try:
                with Image.open(source) as opened:
                    image = opened.convert("RGBA")
            except (OSError, ValueError):
                return self._painted(rng)
            box = image.getbbox()
            image = image.crop(box) if box else image
            image.thumbnail((400, 400))
            _save(image, path)
        return self._answer(path)

    def _painted(self, rng: random.Random) -> tuple[str, float]:
        """A picture of soft colours, where the machine has no photographs."""
        from PIL import Image

        number = rng.randrange(40)
        path = self.folder / f"painted-{number}.jpg"
        if not path.exists():
            noise = np.random.default_rng(number)
            small = noise.integers(0, 255, (noise.integers(3, 7), noise.integers(3, 7), 3))
            size = (int(noise.integers(400, 800)), int(noise.integers(300, 700)))
            image = Image.fromarray(small.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
            grain = noise.normal(0, 12, (*image.size[::-1], 1))
            image = Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))
            _save(image, path)
        return self._answer(path)

    def _answer(self, path: Path) -> tuple[str, float]:
        return path.as_uri(), _shape(path)


@lru_cache(maxsize=4096)
def _shape(path: Path) -> float:
    from PIL import Image

    with Image.open(path) as image:
        return image.width / image.height


def _save(image: Image.Image, path: Path) -> None:
    part = path.with_name(f".{os.getpid()}-{path.name}")
    if path.suffix == ".png":
        image.save(part, "PNG")
    else:
        image.save(part, "JPEG", quality=85)
    part.replace(path)
