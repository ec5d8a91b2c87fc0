"""The OCR file of a page: its lines in the order of an engine, with an engine's mistakes.

An entry a line: ``{"bbox": [[x, y, w, h], …], "words": ["…", …], "W": int, "H": int}``, in pixels.
"""

from __future__ import annotations

import hashlib
import json
import math
import random

import numpy as np

Box = tuple[int, int, int, int]
"""x0 y0 x1 y1 in whole pixels."""


def whole_pixels(boxes: np.ndarray, width: int, height: int) -> Box | None:
    """The smallest box of whole pixels around boxes N×4, cut at the page; None if off it."""
    x0, y0 = boxes[:, :2].min(axis=0)
    x1, y1 = boxes[:, 2:].max(axis=0)
    left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
    right, bottom = min(width, math.ceil(x1)), min(height, math.ceil(y1))
    return (left, top, right, bottom) if right > left and bottom > top else None


def as_engines_do(lines: list[tuple[Box, str]]) -> list[tuple[Box, str]]:
    """Lines from top to bottom; those on a level from left to right, as OCR engines list them."""
    lines = sorted(lines, key=lambda x: (x[0][1], x[0][0]))
    rows: list[list[tuple[Box, str]]] = []
    for line in lines:
        top, bottom = line[0][1], line[0][3]
        if rows and top - rows[-1][0][0][1] < 0.5 * (bottom - top):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda x: x[0][0])]


_MISREADINGS = dict(
    zip(
        "OoIl1S5B8ZzcegqrnmuvwyhbtfaisMNDECG0-.,:;未己人日大土王木",
        "0ollI5S882sceqgmhnnvuvvyhhttaeisNMOFGC6_,.;:末已入曰太士玉本",
        strict=False,
    )
)


def misread(
    lines: list[tuple[Box, str]], noise: float, rng: random.Random, width: int, height: int
) -> list[tuple[Box, str]]:
    """Lines as a poor OCR engine reads them: wrong or lost letters, stray boxes, lost lines."""
    read: list[tuple[Box, str]] = []
    for (x0, y0, x1, y1), text in lines:
        if len(text) <= 2 and rng.random() < 2 * noise:
            continue
        letters = []
        for letter in text:
            toss = rng.random()
            if toss < noise * 0.7:
                letter = _MISREADINGS.get(letter, rng.choice("acenorst") if letter != " " else "")
            elif toss < noise:
                letter = ""
            letters.append(letter)
        words = "".join(letters).strip()
        if not words:
            continue
        reach = max(1, round((y1 - y0) * 0.12))
        x0, y0 = x0 + rng.randint(-reach, 1), y0 + rng.randint(-reach, 1)
        x1, y1 = x1 + rng.randint(-1, reach), y1 + rng.randint(-1, reach)
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
        if x1 > x0 and y1 > y0:
            read.append(((x0, y0, x1, y1), words))
    return read


def ocr_json(
    lines: list[tuple[Box, str]], width: int, height: int, image: tuple[str, bytes] | None = None
) -> str:
    """An OCR file's text, an entry a line.

    Args:
        lines: boxes in pixels, and words.
        width: of the page, pixels.
        height: of the page, pixels.
        image: name and content of the image file that the text is of, which the file then names.
    """
    entries = [[x0, y0, x1 - x0, y1 - y0] for (x0, y0, x1, y1), _ in lines]
    bbox = ",\n".join(json.dumps(entry) for entry in entries)
    words = ",\n".join(json.dumps(text, ensure_ascii=False) for _, text in lines)
    own = ""
    if image is not None:
        name, content = image
        source = {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "page": 1}
        own = f',\n"image": {json.dumps(source, ensure_ascii=False)}'
    size = f'"W": {width}, "H": {height}'
    return f'{{"bbox": [\n{bbox}\n],\n"words": [\n{words}\n],\n{size}{own}}}\n'
