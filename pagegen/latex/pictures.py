"""Made-up figures as PDF and JPEG files: plots, diagrams, images."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np

POOL = 400
"""How many figures a data set's documents share."""
GRIDS = [(1, 1)] * 6 + [(1, 2), (1, 2), (2, 2), (1, 3), (2, 1)]
"""Rows and columns of a picture's panels."""
FONTS = ["DejaVu Sans", "DejaVu Sans", "STIXGeneral", "DejaVu Serif", "cmr10"]


def picture(folder: Path, seed: int, index: int) -> tuple[str, float]:
    """File name in ``folder`` of picture ``index`` of a seed, and its height over its width.

    The file is made if it is missing.
    """
    rng = random.Random(f"picture/{seed}/{index}")
    aspect = rng.choice([0.5, 0.62, 0.62, 0.7, 0.75, 0.75, 0.85, 1.0])
    image = rng.random() < 0.25
    grid = rng.choice(GRIDS)
    if not image:
        aspect *= (grid[0] / grid[1]) ** 0.7
    path = folder / f"p{index:04d}.{'jpg' if image else 'pdf'}"
    if not path.exists():
        part = folder / f".{os.getpid()}-{path.name}"
        if image:
            _image(part, rng, aspect)
        else:
            _plot(part, rng, aspect, grid)
        part.replace(path)
    return path.name, aspect


def _words(rng: random.Random) -> str:
    from pagegen.english import EnglishProse

    return EnglishProse(rng).figure_word_label()


def _plot(path: Path, rng: random.Random, aspect: float, grid: tuple[int, int]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    width = rng.choice([3.2, 4.0, 5.0, 6.4])
    settings: dict[str, Any] = {
        "font.size": rng.choice([7, 8, 9, 10]),
        "font.family": (font := rng.choice(FONTS)),
        "axes.formatter.use_mathtext": font == "cmr10",
        "axes.grid": rng.random() < 0.25,
        "axes.spines.top": (boxed := rng.random() < 0.75),
        "axes.spines.right": boxed,
        "axes.linewidth": rng.choice([0.5, 0.8, 1.0]),
        "axes.unicode_minus": False,
        "xtick.direction": (way := rng.choice(["in", "out"])),
        "ytick.direction": way,
        "lines.linewidth": rng.choice([0.7, 1.0, 1.5]),
    }
    cycles = ["tab10", "Set1", "Dark2", "gray", "viridis"]
    colours = plt.get_cmap(rng.choice(cycles))(np.linspace(0, 0.85, 5))
    noise = np.random.default_rng(rng.getrandbits(64))
    with plt.rc_context(settings):  # type: ignore[arg-type]
        rows, columns = grid
        wide = width * (1 if columns == 1 else 1.4)
        figure, panels = plt.subplots(rows, columns, figsize=(wide, wide * aspect), squeeze=False)
        same = rng.choice(DRAWERS)
        for i, axes in enumerate(panels.flat):
            draw = same if rng.random() < 0.7 else rng.choice(DRAWERS)
            draw(axes, rng, noise, colours)
            if rows * columns > 1 and rng.random() < 0.6:
                axes.set_title(f"({'abcdef'[i]})")
        figure.tight_layout(pad=0.3)
        figure.savefig(path, format="pdf", metadata={"CreationDate": None})
        plt.close(figure)


def _labels(axes: Any, rng: random.Random) -> None:
    axes.set_xlabel(rng.choice([_words(rng), "x", "t (s)", r"$\lambda$", "T (K)", "epoch"]))
    axes.set_ylabel(rng.choice([_words(rng), "f(x)", r"$\sigma$", "accuracy", "E", "loss"]))


def _curves(axes: Any, rng: random.Random, noise: Any, colours: Any) -> None:
    x = np.linspace(0, rng.choice([1, 5, 10, 100]), 80)
    u = x / x[-1]
    form = rng.choice(["rise", "fall", "peak", "wave", "walk"])
    for i in range(rng.randint(1, 5)):
        a, b = rng.uniform(0.3, 1), rng.uniform(1, 6)
        y = {
            "rise": a * (1 - np.exp(-b * u)),
            "fall": a * np.exp(-b * u),
            "peak": a * np.exp(-((u - 0.3 - 0.1 * i) ** 2) * 12 * b),
            "wave": a * np.sin(b * 5 * u + i),
            "walk": np.cumsum(noise.normal(0, 0.1, 80)),
        }[form] + noise.normal(0, rng.choice([0, 0, 0.02]), 80)
        mark = rng.choice(["", "", "o", "s", "^", "x"])
        style = rng.choice(["-", "-", "--", ":", "-."])
        axes.plot(x, y, style, color=colours[i], marker=mark, markevery=8, ms=3, label=_words(rng))
        if rng.random() < 0.15:
            axes.fill_between(x, y - 0.1, y + 0.1, color=colours[i], alpha=0.25, lw=0)
    if rng.random() < 0.6:
        axes.legend(frameon=rng.random() < 0.5, fontsize="small")
    if form == "fall" and rng.random() < 0.5:
        axes.set_yscale("log")
    _labels(axes, rng)


def _points(axes: Any, rng: random.Random, noise: Any, colours: Any) -> None:
    for i in range(rng.randint(1, 4)):
        n = rng.randint(15, 150)
        x = noise.normal(rng.uniform(0, 4), 1, n)
        y = noise.normal(0, 1, n) + rng.choice([0, 0.8]) * x
        axes.scatter(x, y, s=rng.choice([3, 8, 15]), color=colours[i], marker=rng.choice("os^x+."))
    _labels(axes, rng)


def _bars(axes: Any, rng: random.Random, noise: Any, colours: Any) -> None:
    groups, each = rng.randint(3, 8), rng.randint(1, 4)
    for i in range(each):
        heights = noise.uniform(0.2, 1, groups)
        error = noise.uniform(0.02, 0.1, groups) if rng.random() < 0.4 else None
        place = np.arange(groups) + i * 0.8 / each
        axes.bar(place, heights, 0.8 / each, color=colours[i], yerr=error, label=_words(rng))
    if each > 1 and rng.random() < 0.7:
        axes.legend(fontsize="small")
    _labels(axes, rng)


def _histogram(axes: Any, rng: random.Random, noise: Any, colours: Any) -> None:
    kind = rng.choice(["bar", "step", "stepfilled"])
    for i in range(rng.randint(1, 3)):
        values = noise.normal(i, rng.uniform(0.5, 1.5), 500)
        axes.hist(values, bins=rng.choice([15, 30, 50]), histtype=kind, color=colours[i], alpha=0.7)
    _labels(axes, rng)


def _map(axes: Any, rng: random.Random, noise: Any, colours: Any) -> None:
    x, y = np.meshgrid(np.linspace(-2, 2, 40), np.linspace(-2, 2, 40))
    z = np.zeros_like(x)
    for _ in range(4):
        a, b = rng.uniform(-2, 2), rng.uniform(-2, 2)
        z += rng.uniform(-1, 1) * np.exp(-((x - a) ** 2) - (y - b) ** 2)
    kind = rng.random()
    colour = rng.choice(["viridis", "jet", "hot", "gray", "coolwarm"])
    if kind < 0.4:
        drawn = axes.imshow(z, cmap=colour, aspect="auto", extent=(-2, 2, -2, 2))
    elif kind < 0.7:
        drawn = axes.contourf(x, y, z, 10, cmap=colour)
    else:
        drawn = axes.contour(
            x, y, z, 12, colors="k" if rng.random() < 0.5 else None, linewidths=0.6
        )
    if kind < 0.7 and rng.random() < 0.6:
        axes.figure.colorbar(drawn, ax=axes)
    _labels(axes, rng)


def _diagram(axes: Any, rng: random.Random, noise: Any, colours: Any) -> None:
    """Boxes or circles with words, joined by arrows."""
    axes.axis("off")
    columns, rows = rng.randint(2, 5), rng.randint(1, 4)
    shape = rng.choice(["round,pad=0.4", "square,pad=0.4", "square,pad=0.7", "circle,pad=0.2"])
    faces = rng.choice([["white"], ["lightgray"], ["lightblue"], ["mistyrose"], PASTELS])
    size = rng.choice([5, 6, 7])
    arrow = {"arrowstyle": "-|>", "lw": 0.7}
    for i in range(columns):
        for j in range(rows):
            x, y = (i + 0.5) / columns, (j + 0.5) / rows
            if i:
                axes.annotate("", (x, y), ((i - 0.5) / columns, y), arrowprops=arrow)
            if j and rng.random() < 0.5:
                axes.annotate("", (x, y), (x, (j - 0.5) / rows), arrowprops=arrow)
    for i in range(columns):
        for j in range(rows):
            x, y = (i + 0.5) / columns, (j + 0.5) / rows
            if rng.random() < 0.08:  # A thumbnail.
                reach = (x - 0.3 / columns, x + 0.3 / columns, y - 0.3 / rows, y + 0.3 / rows)
                axes.imshow(noise.random((8, 8)), extent=reach, aspect="auto", cmap="viridis")
                continue
            words = _words(rng).split(" (")[0].replace(" ", "\n")
            words = rng.choice([words, words, f"$x_{i + j}$"])
            box = {"boxstyle": shape, "fc": rng.choice(faces), "lw": 0.7}
            axes.text(x, y, words, ha="center", va="center", fontsize=size, bbox=box)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


PASTELS = ["lightblue", "mistyrose", "palegreen", "lemonchiffon", "lavender", "peachpuff"]
DRAWERS = [_curves, _curves, _curves, _points, _bars, _histogram, _map, _diagram, _diagram]


def _image(path: Path, rng: random.Random, aspect: float) -> None:
    """Something like a photograph or a micrograph."""
    from PIL import Image

    noise = np.random.default_rng(rng.getrandbits(64))
    w = rng.choice([240, 360, 480])
    h = int(w * aspect)
    channels = 3 if rng.random() < 0.5 else 1
    value = np.zeros((h, w, channels), np.float32)
    for cells, share in ((3, 0.5), (9, 0.3), (31, 0.2)):
        for c in range(channels):
            small = Image.fromarray(noise.random((cells, cells), dtype=np.float32))
            value[..., c] += share * np.asarray(small.resize((w, h), Image.Resampling.BICUBIC))
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    for _ in range(rng.choice([0, 3, 20, 60])):
        cx, cy, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(4, 60)
        inside = (xx - cx) ** 2 + (yy - cy) ** 2 < r * r
        if rng.random() < 0.4:
            inside = (abs(xx - cx) < r) & (abs(yy - cy) < r * 0.6)
        value[inside] += rng.uniform(-0.5, 0.5)
    value += noise.normal(0, rng.choice([0.0, 0.02, 0.06]), value.shape)
    low, high = rng.choice([(0, 1), (0, 0.8), (0.2, 0.9), (-0.6, 1.2)])
    pixels = (np.clip(low + (high - low) * value, 0, 0.96) * 255).astype(np.uint8)
    Image.fromarray(np.repeat(pixels, 3 // channels, axis=2)).save(path, "JPEG", quality=85)
