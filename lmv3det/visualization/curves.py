"""Curves: precision over recall, losses and average precision over the steps of a run.

They do without pyplot, whose global state belongs to the program that calls us.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lmv3det.errors import printable
from lmv3det.files import replacing
from lmv3det.visualization.fonts import properties
from lmv3det.visualization.regions import color

_LEGEND_ROWS = 25


def draw_precision_recall(
    path: Path, precision: np.ndarray, names: Sequence[str], title: str
) -> None:
    """Draw precision over recall.

    Args:
        path: picture to write.
        precision: 101 recalls (0, 0.01 … 1) × classes, 0..1; -1 where a class has no truth.
        names: of the classes.
        title: of the picture.
    """
    columns = 1 + (len(names) - 1) // _LEGEND_ROWS
    figure = Figure(figsize=(6.5 + 2 * columns, 5), layout="constrained")
    axes = figure.subplots()
    recalls = np.linspace(0, 1, len(precision))
    for k, (name, curve) in enumerate(zip(names, precision.T, strict=True)):
        if (curve > -1).any():
            rgb = np.array(color(k)) / 255
            label = f"{printable(name)} {100 * curve.mean():.1f}"
            axes.plot(recalls, curve, color=rgb, label=label)
    axes.set(xlabel="recall", ylabel="precision", title=title, xlim=(0, 1.01), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    if axes.lines:
        fonts = properties([str(line.get_label()) for line in axes.lines])
        fonts.set_size("small")
        legend = figure.legend(loc="outside right upper", prop=fonts, ncols=columns)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a $ in a class name is a $
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def draw_training(entries: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw losses and average precision over the steps.

    Args:
        entries: lines of a run's metrics.jsonl.
        path: picture to write.
    """
    steps = [e for e in entries if "evaluation" not in e]
    scores = [e for e in entries if "evaluation" in e]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in ("total", *(n for n in (steps[0] if steps else {}) if n.startswith("loss"))):
        width = 2.0 if name == "total" else 0.8
        values = [e.get(name, float("nan")) for e in steps]
        left.plot([e["step"] for e in steps], values, label=name, linewidth=width)
    if steps:
        left.set_yscale("log")
        left.legend(fontsize="x-small", ncols=2)
    left.set(xlabel="step", ylabel="loss", title="losses")
    for kind in ("bbox", "segm"):
        for key in ("AP", "AP50"):
            points = [(e["step"], e["evaluation"].get(kind, {}).get(key)) for e in scores]
            points = [(step, value) for step, value in points if value is not None]
            if points:
                right.plot(*zip(*points, strict=True), marker="o", label=f"{kind} {key}")
    if right.lines:
        right.legend(fontsize="x-small")
    right.set(xlabel="step", ylabel="per cent", ylim=(0, 100), title="average precision")
    with replacing(path) as temporary:
        figure.savefig(temporary)
