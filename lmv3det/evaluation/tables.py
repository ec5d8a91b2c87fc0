"""Files of results: tables as Markdown that also reads well on a terminal, pictures."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.files import replacing

if TYPE_CHECKING:
    from lmv3det.data.coco import CocoDataset
    from lmv3det.evaluation.coco import Evaluation
    from lmv3det.structures import Detections

COLUMNS = ("AP", "AP50", "AP75", "AR100")


def number(value: float | None) -> str:
    """A figure in per cent with one decimal; a dash where there is none."""
    return "–" if value is None else f"{value:.1f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An aligned Markdown table: the first column to the left, figures to the right.

    Wide (Chinese, Japanese, Korean) characters count as two columns.
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(3, *map(_width, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [
            _pad(cell, width, left=not k)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    lines.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def class_table(metrics: dict[str, Any]) -> str:
    """The table by class of one kind of metrics: a row a class, the mean over classes last.

    Args:
        metrics: `{"AP", "AP50", "AP75", "AR100", "per_class": {name: {…, "count"}}}`, 0..100 or
            None.
    """
    per_class = metrics["per_class"]
    rows = [
        [name, *(number(values[key]) for key in COLUMNS), str(values["count"])]
        for name, values in per_class.items()
    ]
    total = sum(values["count"] for values in per_class.values())
    rows.append(["all", *(number(metrics[key]) for key in COLUMNS), str(total)])
    return markdown_table(["class", *COLUMNS, "count"], rows)


def metrics_tables(metrics: dict[str, dict[str, Any]]) -> str:
    """`class_table` of every kind (bbox, segm), each under its heading."""
    titles = {"bbox": "Boxes", "segm": "Masks"}
    return "\n\n".join(
        f"{titles.get(kind, kind)} (COCO AP, per cent)\n\n{class_table(values)}"
        for kind, values in metrics.items()
    )


def _width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _pad(text: str, width: int, left: bool) -> str:
    space = " " * (width - _width(text))
    return text + space if left else space + text


def draw_curves(path: Path, precision: np.ndarray, names: Sequence[str], title: str) -> None:
    """Draw precision over recall.

    Args:
        path: picture to write.
        precision: 101 recalls (0, 0.01 … 1) × classes, 0..1; -1 where a class has no truth.
        names: of the classes.
        title: of the picture.
    """
    # Not pyplot, whose global state belongs to the program that calls us.
    from matplotlib.figure import Figure

    from lmv3det.visualization.regions import color

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    recalls = np.linspace(0, 1, len(precision))
    for k, (name, curve) in enumerate(zip(names, precision.T, strict=True)):
        if (curve > -1).any():
            rgb = np.array(color(k)) / 255
            axes.plot(recalls, curve, color=rgb, label=f"{name} {100 * curve.mean():.1f}")
    axes.set(xlabel="recall", ylabel="precision", title=title, xlim=(0, 1.01), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(loc="lower left", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def draw_detections(
    image: np.ndarray, detections: Detections, score_threshold: float, path: Path
) -> None:
    """Draw detections with class name and score into a page.

    Args:
        image: H×W×3 uint8 RGB, the page.
        detections: in its pixels, with `names`.
        score_threshold: those below are left out.
        path: picture to write.
    """
    from lmv3det.visualization.regions import draw_regions

    shown = (detections.scores >= score_threshold).cpu().numpy()
    boxes = detections.boxes.cpu().numpy()[shown]
    classes = detections.classes.cpu().numpy()[shown]
    scores = detections.scores.cpu().numpy()[shown]
    labels = [f"{detections.names[k]} {s:.2f}" for k, s in zip(classes, scores, strict=True)]
    picture = draw_regions(image, boxes, labels, classes.tolist())
    with replacing(path) as temporary:
        picture.save(temporary)


def draw_mistakes(
    folder: Path, evaluation: Evaluation, dataset: CocoDataset, count: int, score: float = 0.3
) -> list[Path]:
    """Draw the pages with the most mistakes: the truth at the left, detections at the right.

    Args:
        folder: pictures `<number>_<image stem>.png` are written to it, the worst page first.
        evaluation: of `dataset`.
        dataset: the pages.
        count: pages at most; those without mistakes are left out.
        score: least score of the detections drawn.
    """
    from PIL import Image

    from lmv3det.visualization.regions import draw_regions

    worst = sorted(evaluation.mistakes.items(), key=lambda item: -item[1])[:count]
    place = {record.image_id: number for number, record in enumerate(dataset.records)}
    index = {category.id: k for k, category in enumerate(dataset.file_categories)}
    paths = []
    for number, (image_id, mistakes) in enumerate(worst, start=1):
        if not mistakes:
            break
        sample = dataset[place[image_id]]
        height, width = sample.image.shape[:2]
        scale = np.tile([width / sample.page.width, height / sample.page.height], 2)
        truth = [a for a in dataset.records[place[image_id]].annotations if not a["iscrowd"]]
        found = [
            result
            for result in evaluation.detections
            if result["image_id"] == image_id and result["score"] >= score
        ]
        pictures = []
        for regions in (truth, found):
            boxes = np.array([r["bbox"] for r in regions], dtype=np.float64).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            classes = np.array([index[r["category_id"]] for r in regions], dtype=np.int64)
            labels = [
                evaluation.names[k] + (f" {r['score']:.2f}" if "score" in r else "")
                for k, r in zip(classes, regions, strict=True)
            ]
            pictures.append(draw_regions(sample.image, boxes * scale, labels, classes.tolist()))
        both = Image.new("RGB", (2 * width + 8, height), "black")
        both.paste(pictures[0], (0, 0))
        both.paste(pictures[1], (width + 8, 0))
        paths.append(folder / f"{number}_{Path(sample.page.file).stem}.png")
        with replacing(paths[-1]) as temporary:
            both.save(temporary)
    return paths
