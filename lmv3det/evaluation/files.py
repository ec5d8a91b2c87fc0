"""The files of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lmv3det.evaluation.coco import IOU_50, Evaluation
from lmv3det.evaluation.tables import metrics_tables
from lmv3det.files import JsonList, replacing, write_json
from lmv3det.visualization.curves import draw_precision_recall
from lmv3det.visualization.detections import draw_worst

if TYPE_CHECKING:
    from lmv3det.data.coco import CocoDataset


def write_evaluation(
    evaluation: Evaluation, dataset: CocoDataset, folder: Path, worst: int = 0
) -> None:
    """Write metrics.json, detections.json, table.md, pr_curves.png (boxes), pr_curves_segm.png
    (masks), and drawings of the `worst` pages with the most mistakes into pages/.

    metrics.json holds the scores by kind (`bbox`, `segm`), `thresholds` (class name → the score
    threshold of the best F1) and, where classes were not scored, `left_out`.
    """
    content = {**evaluation.metrics, "thresholds": evaluation.thresholds}
    if any(evaluation.left_out.values()):
        content["left_out"] = evaluation.left_out
    write_json(folder / "metrics.json", content)
    with JsonList(folder / "detections.json") as entries:
        for result in evaluation.detections:
            entries.append(result)
    with replacing(folder / "table.md") as path:
        text = metrics_tables(evaluation.metrics) + "\n"
        path.write_text(text, encoding="utf-8")
    for kind, precision in evaluation.precision.items():
        name = "pr_curves.png" if kind == "bbox" else f"pr_curves_{kind}.png"
        draw_precision_recall(
            folder / name, precision[IOU_50], evaluation.names, f"{kind}, IoU 0.5"
        )
    if worst > 0:
        results, mistakes = evaluation.detections, evaluation.mistakes
        draw_worst(folder / "pages", dataset, results, mistakes, worst)
