"""The report of an evaluation: one HTML page with figures, curves and the worst pages.

The plots are small SVG drawn by the templates: they take the page's colours, light or dark, keep
their text as text for screen readers, and are a few kilobytes each.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lmv3det.errors import InputError, printable
from lmv3det.evaluation.coco import IOU_50
from lmv3det.evaluation.mistakes import CODES, KINDS
from lmv3det.files import replacing
from lmv3det.visualization.regions import color

if TYPE_CHECKING:
    from lmv3det.data.coco import CocoDataset
    from lmv3det.evaluation.analysis import Analysis

MAX_PAGES = 60
"""Pages that are shown with their image."""
IMAGE_BYTES = 9_000_000
"""Bytes of all images together; in the page they are a third larger."""
IMAGE_SIDE = 1000
"""Pixels of an image's longer side."""
MAX_BOXES = 300
"""Predictions, regions and text lines shown on a page, each."""
MIN_SCORE = 0.05
"""Predictions below are not shown."""
FEW = 10
"""Classes with fewer regions are marked."""


def write_report(
    path: Path,
    dataset: CocoDataset,
    runs: Sequence[Analysis],
    *,
    title: str = "Layout detection",
    pages: int = MAX_PAGES,
    progress: bool = True,
) -> int:
    """Write a report as one HTML file that needs no network.

    Args:
        path: the file.
        dataset: the annotated pages.
        runs: one run, or two that are compared.
        title: of the page.
        pages: how many are shown with their image: the worst, and with two runs those that
            changed most. Fewer where their images would be more than `IMAGE_BYTES`.
        progress: show a bar.

    Returns:
        How many pages are shown.
    """
    shown = _shown_pages(dataset, runs, pages, progress)
    names = [printable(name) for name in runs[0].evaluation.names]
    page = (
        environment()
        .get_template("report.html")
        .render(
            title=title,
            data=str(dataset.annotations),
            pages=len(dataset),
            runs=[_run(run, names) for run in runs],
            classes=[
                {"name": name, "color": "#{:02x}{:02x}{:02x}".format(*color(k))}
                for k, name in enumerate(names)
            ],
            kinds=KINDS,
            few=FEW,
            left_out=runs[0].evaluation.left_out,
            shown=shown,
            changes=_changes(dataset, runs) if len(runs) == 2 else None,
            table=_table(dataset, runs, {entry["index"] for entry in shown}),
            threshold=round(float(np.median(runs[0].thresholds)), 2) if names else 0.5,
        )
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    return len(shown)


def environment() -> Any:
    """Jinja's environment: every value is escaped, an unknown name is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader("lmv3det.evaluation", "templates"),
                jinja2.PackageLoader("lmv3det.visualization", "templates"),
            ]
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["figure"] = lambda value: "–" if value is None else f"{value:.1f}"
    return environment


def _run(run: Analysis, names: Sequence[str]) -> dict[str, Any]:
    """What the template shows of a run."""
    scores = run.evaluation.metrics["bbox"]
    per_class = list(scores["per_class"].values())
    curves = run.evaluation.precision["bbox"][IOU_50]  # recalls × classes
    codes = np.bincount(run.mistakes.kind[run.kept()], minlength=len(CODES))
    counts = {kind: int(codes[CODES.index(kind)]) for kind in KINDS}
    counts["missed"] = int(run.of_page["missed"].sum())
    confusion = run.confusion
    rows = confusion.sum(axis=1, keepdims=True)
    return {
        "name": printable(run.name),
        "scores": {key: scores[key] for key in ("AP", "AP50", "AP75", "AR100")},
        "masks": run.evaluation.metrics.get("segm"),
        "mistakes": int(run.total.sum()),
        # Rounded as the scores of the boxes are, one of which each threshold is.
        "limits": [round(float(value), 3) for value in run.thresholds],
        "classes": [
            {**values, "name": name, "threshold": run.evaluation.thresholds.get(original)}
            for name, original, values in zip(names, scores["per_class"], per_class, strict=True)
        ],
        "curves": [
            curve_path(np.linspace(0, 1, len(curve)), curve) if (curve > -1).any() else None
            for curve in curves.T
        ],
        "confusion": confusion.tolist(),
        "fractions": (confusion / np.maximum(rows, 1)).round(3).tolist(),
        "kinds": [
            {"name": kind, "count": counts[kind], "cost": run.mistakes.cost[kind]} for kind in KINDS
        ],
        "by_size": run.by_size,
        "by_count": run.by_count,
        "calibration": run.calibration,
        "calibration_error": run.calibration_error,
    }


def curve_path(x: np.ndarray, y: np.ndarray) -> str:
    """The SVG path of a curve (x and y 0..1) in a plot of 100×100 with the origin below."""
    points = " ".join(f"{100 * a:.1f},{100 - 100 * b:.1f}" for a, b in zip(x, y, strict=True))
    return f"M{points}"


def _changes(dataset: CocoDataset, runs: Sequence[Analysis]) -> dict[str, Any]:
    """Pages that became better or worse from the first run to the second."""
    change = runs[1].total - runs[0].total
    order = np.argsort(change, kind="stable")
    return {
        "better": int((change < 0).sum()),
        "worse": int((change > 0).sum()),
        "same": int((change == 0).sum()),
        "most_better": [_change(dataset, runs, k) for k in order[:10].tolist() if change[k] < 0],
        "most_worse": [
            _change(dataset, runs, k) for k in order[::-1][:10].tolist() if change[k] > 0
        ],
    }


def _change(dataset: CocoDataset, runs: Sequence[Analysis], index: int) -> dict[str, Any]:
    file = printable(dataset.records[index].file_name)
    return {"index": index, "file": file, "mistakes": [int(run.total[index]) for run in runs]}


def _table(
    dataset: CocoDataset, runs: Sequence[Analysis], shown: set[int]
) -> list[list[str | int | bool]]:
    """A row a page, the worst first: place, file, regions, mistakes of each run, whether shown."""
    matches = runs[0].matches
    regions = np.bincount(
        matches.region_page[~matches.region_ignored], minlength=len(dataset)
    ).tolist()
    totals = [run.total for run in runs]
    order = np.argsort(-totals[0], kind="stable").tolist()
    return [
        [
            index,
            printable(dataset.records[index].file_name),
            regions[index],
            *(int(total[index]) for total in totals),
            index in shown,
        ]
        for index in order
    ]


def _shown_pages(
    dataset: CocoDataset, runs: Sequence[Analysis], count: int, progress: bool
) -> list[dict[str, Any]]:
    from tqdm import tqdm

    worst = np.argsort(-runs[0].total, kind="stable").tolist()
    if len(runs) == 2:  # by turns the worst, and those that changed most
        change = np.abs(runs[1].total - runs[0].total)
        changed = np.argsort(-change, kind="stable").tolist()
        both = [index for pair in zip(worst, changed, strict=True) for index in pair]
        worst = list(dict.fromkeys(both))
    chosen = sorted(worst[:count], key=lambda index: -runs[0].total[index])
    shown: list[dict[str, Any]] = []
    used = 0
    for index in tqdm(chosen, desc="report", unit="page", disable=not progress):
        entry = _page(dataset, runs, index)
        used += entry.pop("bytes")
        if used > IMAGE_BYTES and shown:
            break
        shown.append(entry)
    return shown


def _page(dataset: CocoDataset, runs: Sequence[Analysis], index: int) -> dict[str, Any]:
    """A page with its image, regions, predictions and text lines, in annotated pixels."""
    record = dataset.records[index]
    entry: dict[str, Any] = {
        "index": index,
        "file": printable(record.file_name),
        "width": record.width,
        "height": record.height,
        "mistakes": [
            {kind: int(run.of_page[kind][index]) for kind in KINDS if run.of_page[kind][index]}
            for run in runs
        ],
        "truth": _regions(runs, index),
        "predictions": [_predictions(run, index) for run in runs],
        "lines": [],
        "image": None,
        "problem": "",
        "bytes": 0,
    }
    try:
        sample = dataset[index]
    except InputError as error:
        entry["problem"] = printable(str(error))
        return entry
    height, width = sample.image.shape[:2]
    scale = np.tile([record.width / width, record.height / height], 2)
    entry["lines"] = [_rectangle(box) for box in (sample.line_boxes * scale)[:MAX_BOXES]]
    picture = Image.fromarray(sample.image)
    picture.thumbnail((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=55, method=4)
    entry["image"] = base64.b64encode(stream.getvalue()).decode()
    entry["bytes"] = len(stream.getvalue())
    return entry


def _regions(runs: Sequence[Analysis], index: int) -> list[dict[str, Any]]:
    matches = runs[0].matches  # the regions of all runs are the same
    own = np.flatnonzero((matches.region_page == index) & ~matches.region_ignored)
    return [
        {
            **_rectangle(matches.region_box[k]),
            "label": int(matches.region_label[k]),
            "missed": [r for r, run in enumerate(runs) if run.mistakes.missed[k]],
        }
        for k in own[:MAX_BOXES].tolist()
    ]


def _predictions(run: Analysis, index: int) -> list[dict[str, Any]]:
    matches = run.matches
    own = np.flatnonzero((matches.page == index) & (matches.score >= MIN_SCORE))
    own = own[np.argsort(-matches.score[own], kind="stable")][:MAX_BOXES]
    return [
        {
            **_rectangle(matches.box[k]),
            "label": int(matches.label[k]),
            "score": round(float(matches.score[k]), 3),
            "kind": CODES[run.mistakes.kind[k]],
        }
        for k in own.tolist()
    ]


def _rectangle(box: np.ndarray) -> dict[str, float]:
    x0, y0, x1, y1 = np.round(box, 1).tolist()
    return {"x": x0, "y": y0, "w": round(max(x1 - x0, 0), 1), "h": round(max(y1 - y0, 0), 1)}
