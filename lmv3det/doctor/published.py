"""The published PubLayNet detector, measured here and compared with its published figures."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmv3det.errors import InputError

if TYPE_CHECKING:
    from lmv3det.evaluation.coco import Evaluation

log = logging.getLogger(__name__)

PUBLISHED = {"Text": 94.5, "Title": 90.6, "List": 95.5, "Table": 97.9, "Figure": 97.0}
"""Box AP by class, per cent, of LayoutLMv3-base on PubLayNet's validation pages (Huang et al.,
2022, table 3), in the order of the class indices."""
OVERALL = 95.1
"""Their mean, as published."""
PAGES = 11_245
"""Validation pages of PubLayNet."""
TOLERANCE = 0.3
"""Points by which a figure may differ. Published figures are rounded to 0.1, other releases of the
libraries decode and resize a little differently, and the original computed in float16."""

LAYOUTS = (("val.json", "val"), ("publaynet/val.json", "publaynet/val"),
           ("annotations.json", "images"))  # fmt: skip
"""Annotations and images in the folder: as PubLayNet unpacks, or as other commands name them."""


@dataclass(frozen=True)
class Row:
    """A figure of the comparison, per cent; `measured` is None where no page has the class."""

    name: str
    published: float
    measured: float | None
    tolerance: float

    @property
    def agrees(self) -> bool:
        # Two decimals: 94.8 − 94.5 must not exceed 0.3 by rounding.
        difference = self.difference
        return difference is not None and abs(round(difference, 2)) <= self.tolerance

    @property
    def difference(self) -> float | None:
        return None if self.measured is None else self.measured - self.published


def compare(metrics: Mapping[str, Any], tolerance: float) -> list[Row]:
    """Each class and the mean beside the published figures.

    Args:
        metrics: those of boxes: `{"AP", "per_class": {name: {"AP"}}}`, per cent or None.
        tolerance: points.
    """
    measured = {name.casefold(): one["AP"] for name, one in metrics["per_class"].items()}
    rows = [Row(n, p, measured.get(n.casefold()), tolerance) for n, p in PUBLISHED.items()]
    return [*rows, Row("all", OVERALL, metrics["AP"], tolerance)]


def find_pages(folder: Path) -> tuple[Path, Path]:
    """The annotation file and the folder of images.

    Raises:
        InputError: the folder has neither layout.
    """
    for file, images in LAYOUTS:
        if (folder / file).is_file() and (folder / images).is_dir():
            return folder / file, folder / images
    known = ", or ".join(f"{file} with {images}/" for file, images in LAYOUTS)
    raise InputError(f"--publaynet {folder}: no PubLayNet there; it must have {known}")


def measure(
    checkpoint: str,
    folder: Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    yaml: Path | None = None,
    overrides: Sequence[str] = (),
) -> tuple[Evaluation, int]:
    """Convert a detector of the published layout in memory, and evaluate it.

    Args:
        checkpoint: what `lmv3det convert` reads: detectron2's `.pth`, a folder, or ours.
        folder: of PubLayNet (`find_pages`).
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, fp32, bf16 or fp16.
        yaml: detectron2's yaml of the checkpoint; None: sizes are read from the weights, and the
            rest are the defaults, which are those of the published recipe.
        overrides: `key=value` settings.

    Returns:
        The scores, and the number of pages.

    Raises:
        InputError: a checkpoint or pages that cannot be used.
    """
    from lmv3det.checkpoint.loading import build_with_weights
    from lmv3det.convert.conversion import to_checkpoint
    from lmv3det.convert.sources import read_source
    from lmv3det.data.categories import Category
    from lmv3det.data.coco import CocoDataset
    from lmv3det.data.loader import build_test_loader
    from lmv3det.device import choose_device, choose_precision, describe
    from lmv3det.evaluation.detector import evaluate_detector

    annotations, images = find_pages(folder)
    chosen = choose_device(device)
    log.info("on %s", describe(chosen, choose_precision(precision, chosen)))
    source = read_source(checkpoint)
    classes = [Category(number, name) for number, name in enumerate(PUBLISHED, start=1)]
    converted, report = to_checkpoint(
        source,
        yaml_file=yaml,
        overrides=[f"device={device}", f"precision={precision}", *overrides],
        categories=None if source.checkpoint else classes,
    )
    config = converted.config
    if config.text.selection != "none":
        raise InputError(f"{checkpoint}: reads text; the published PubLayNet detector does not")
    for line in str(report).splitlines():
        log.info("%s", line)
    dataset = CocoDataset(annotations, images, with_text=False)
    model = build_with_weights(
        config, converted.weights, checkpoint, "the file is damaged", chosen
    ).eval()
    evaluation = evaluate_detector(
        model,
        dataset,
        build_test_loader(config, dataset, None),
        converted.categories,
        chosen,
        mask_threshold=config.test.mask_threshold,
        precision=config.precision,
    )
    assert evaluation is not None, "one process"
    return evaluation, len(dataset)


def comparison_table(rows: Sequence[Row]) -> str:
    """The comparison as Markdown."""
    from lmv3det.evaluation.tables import markdown_table, number

    cells = [
        [
            row.name,
            number(row.published),
            number(row.measured),
            "–" if row.difference is None else f"{row.difference:+.1f}",
            "yes" if row.agrees else "no",
        ]
        for row in rows
    ]
    return markdown_table(["class", "published AP", "here", "difference", "agrees"], cells)
