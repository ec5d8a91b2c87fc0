"""`python -m benchmarks.reading_order`: is running text read in its order?

Pages that `lmv3det synthetic` makes list their regions as they were written. Compared are the
regions of running text (`FLOW`): where a figure or a caption stands among them says nothing of the
order in which they are read. Once with the true regions, which measures the ordering alone, and
once with those that a detector found (IoU 0.5 or more with a true one of its class).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from lmv3det.classes import plain_name
from lmv3det.data.coco import CocoDataset
from lmv3det.documents.reading import region_order
from lmv3det.inference.detector import Detector
from lmv3det.structures import as_array

FLOW = ("text", "title", "reference", "equation")
MATCH = 0.5


@dataclass
class Orders:
    """How well orders agree, page by page.

    Attributes:
        tau: Kendall's tau of each page: 1 the same, -1 reversed.
        right: neighbours in the true order that come one after the other.
        pairs: neighbours in the true order.
    """

    tau: list[float] = field(default_factory=list)
    right: int = 0
    pairs: int = 0

    def add(self, order: Sequence[int]) -> None:
        """Add a page: the true numbers of its regions, in the order to be judged."""
        count = len(order)
        if count < 2:
            return
        place = np.argsort(order)  # by true rank
        later = np.sign(place[None, :] - place[:, None])
        self.tau.append(float(later[np.triu_indices(count, 1)].mean()))
        self.right += int((np.diff(place) == 1).sum())
        self.pairs += count - 1


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU N×M of boxes N×4 and M×4."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others)]
    return shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9)


def of_found(boxes: np.ndarray, true: np.ndarray, same: np.ndarray) -> list[int]:
    """The true numbers of found regions, in their reading order.

    Args:
        boxes: N×4, what was found.
        true: M×4, in reading order.
        same: N×M bool, of the same class.
    """
    match = np.where(same, overlaps(boxes, true), 0)
    order = []
    for region in region_order(boxes).tolist():
        best = int(match[region].argmax()) if match.shape[1] else 0
        if match.shape[1] and match[region, best] >= MATCH and best not in order:
            order.append(best)
    # Ranks among those that were found.
    return np.argsort(np.argsort(order)).tolist()


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 when done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading_order", description=__doc__)
    parser.add_argument("--model", help="checkpoint or folder (default: the bundled model)")
    parser.add_argument(
        "--pages", nargs="+", required=True, type=Path, metavar="DIR",
        help="folders of annotations.json, images/ and OCR/, made by lmv3det synthetic",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (%(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    detector = Detector.load(options.model, device="cpu")
    print("| pages | regions | Kendall's tau | neighbours right |\n|---|---|---|---|")
    for folder in options.pages:
        dataset = CocoDataset(folder / "annotations.json", folder / "images", quiet=True)
        flow = [c.id for c in dataset.file_categories if plain_name(c.name) in FLOW]
        names = {c.id: plain_name(c.name) for c in dataset.file_categories}
        rows = {"true": Orders(), "found": Orders()}
        for record in tqdm(dataset.records, desc=folder.name, unit="page"):
            listed = sorted(record.annotations, key=lambda one: one["id"])
            boxes = np.array([a["bbox"] for a in listed], dtype=float).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            running = np.array([a["category_id"] in flow for a in listed], dtype=bool)
            place = np.cumsum(running) - 1
            order = [int(place[k]) for k in region_order(boxes).tolist() if running[k]]
            rows["true"].add(order)
            (page,) = detector.predict(record.path, folder / "OCR")
            found, _ = page.document()
            of_class = np.array([plain_name(found.names[k]) for k in found.classes.tolist()])
            true_class = np.array([names[a["category_id"]] for a in listed])[running]
            same = of_class[:, None] == true_class[None]
            rows["found"].add(of_found(as_array(found.boxes), boxes[running], same))
        for name, row in rows.items():
            print(
                f"| {folder.name} ({len(dataset)}) | {name} | {np.mean(row.tau):.3f} | "
                f"{row.right / max(row.pairs, 1):.3f} of {row.pairs} |"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
