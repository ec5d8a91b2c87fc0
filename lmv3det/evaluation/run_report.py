"""The report of a training: settings, curves, evaluations, speed and memory, pictures."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from PIL import Image

from lmv3det.errors import printable
from lmv3det.evaluation.report import curve_path, environment
from lmv3det.files import replacing
from lmv3det.visualization.regions import color

MAX_POINTS = 500
"""Points of a curve; of more steps, means."""
PICTURE_SIDE = 2400
"""Pixels of an embedded picture's longer side."""


@dataclass
class Plot:
    """Curves over the steps, in a square of 100×100.

    `series` are (name, colour, SVG path, last value); ticks are (place 0..100, label).
    """

    title: str
    series: list[tuple[str, str, str, float]]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def write_run_report(
    path: Path,
    entries: Sequence[Mapping[str, Any]],
    settings: str,
    pictures: Sequence[Path],
    issues: Mapping[str, Mapping[str, int]],
    title: str,
) -> None:
    """Write the report of a run as one HTML file.

    Args:
        path: the file.
        entries: lines of the run's metrics.jsonl.
        settings: its config as YAML.
        pictures: files to embed; those that cannot be read are left out.
        issues: data set → kind of issue → how many.
        title: of the page.
    """
    steps = [entry for entry in entries if "evaluation" not in entry]
    scores = [entry for entry in entries if "evaluation" in entry]
    losses = ["total", *(key for key in (steps[0] if steps else {}) if key.startswith("loss_"))]
    plots = [
        _plot("losses (logarithmic)", _series(steps, losses), log=True),
        _plot(
            "average precision of boxes",
            {
                key: [
                    (e["step"], e["evaluation"]["bbox"][key])
                    for e in scores
                    if e["evaluation"].get("bbox", {}).get(key) is not None
                ]
                for key in ("AP", "AP50", "AP75")
            },
        ),
        _plot("pages a second", _series(steps, ["pages_per_second"])),
        _plot("memory, GiB", _series(steps, ["memory_gib"])),
        _plot("learning rate", _series(steps, ["lr"])),
    ]
    page = (
        environment()
        .get_template("run.html")
        .render(
            title=title,
            plots=[plot for plot in plots if plot is not None],
            evaluations=[
                {
                    "step": e["step"],
                    **{k: e["evaluation"]["bbox"][k] for k in ("AP", "AP50", "AP75")},
                }
                for e in scores
                if "bbox" in e["evaluation"]
            ],
            classes={
                printable(name): values["AP"]
                for name, values in (
                    scores[-1]["evaluation"].get("bbox", {}).get("per_class", {}) if scores else {}
                ).items()
            },
            last=steps[-1]["step"] if steps else 0,
            settings=settings,
            pictures=[shown for shown in map(_picture, pictures) if shown],
            issues=issues,
        )
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def _series(
    entries: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> dict[str, list[tuple[int, float]]]:
    return {key: [(e["step"], e[key]) for e in entries if e.get(key) is not None] for key in keys}


def _plot(
    title: str, series: Mapping[str, list[tuple[int, float]]], log: bool = False
) -> Plot | None:
    """None where there is nothing to draw."""
    filled = {
        name: _thinned(np.array(points, dtype=np.float64))
        for name, points in series.items()
        if points
    }
    if log:
        filled = {
            name: np.stack([points[:, 0], np.log10(points[:, 1].clip(1e-6))], axis=1)
            for name, points in filled.items()
        }
    if not filled:
        return None
    every = np.concatenate(list(filled.values()))
    (left, low), (right, high) = every.min(axis=0), every.max(axis=0)
    right, high = max(right, left + 1), max(high, low + 1e-9)
    if log:
        y_ticks = [(v, f"{10**v:g}") for v in _log_ticks(low, high)]
    else:
        locator = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10])
        values = [float(v) for v in locator.tick_values(min(low, 0.0), high)]
        low, high = values[0], values[-1]
        y_ticks = [(v, f"{v:.6g}") for v in values]
    x_ticks = [float(v) for v in MaxNLocator(4, integer=True).tick_values(left, right)]
    drawn = []
    for k, (name, points) in enumerate(filled.items()):
        x, y = (points[:, 0] - left) / (right - left), (points[:, 1] - low) / (high - low)
        last = 10 ** points[-1, 1] if log else points[-1, 1]
        drawn.append((name, "#{:02x}{:02x}{:02x}".format(*color(k)), curve_path(x, y), float(last)))
    return Plot(
        title,
        drawn,
        [(100 * (v - left) / (right - left), f"{v:g}") for v in x_ticks if left <= v <= right],
        [(100 * (v - low) / (high - low), label) for v, label in y_ticks],
    )


def _log_ticks(low: float, high: float) -> list[float]:
    """log10 of the numbers 1, 2, 5, 10, 20, … between two powers of ten; without 2 and 5 where
    they would be many."""
    for factors in ((1, 2, 5), (1,)):
        powers = range(math.floor(low), math.ceil(high) + 1)
        ticks = [power + math.log10(factor) for power in powers for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 8:
            break
    return ticks


def _thinned(points: np.ndarray) -> np.ndarray:
    """At most `MAX_POINTS` of N×2 points, each the mean of its neighbours."""
    if len(points) <= MAX_POINTS:
        return points
    parts = np.array_split(points, math.ceil(len(points) / math.ceil(len(points) / MAX_POINTS)))
    return np.array([part.mean(axis=0) for part in parts])


def _picture(path: Path) -> dict[str, str] | None:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            picture = image.convert("RGB")
    except OSError:
        return None
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=60)
    name = "first batch" if path.name == "train_batch.png" else path.stem
    return {"name": printable(name), "data": base64.b64encode(stream.getvalue()).decode()}
