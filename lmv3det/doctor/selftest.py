"""A second's work whose result is known: the original's arrays, and a page with known regions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmv3det.doctor.findings import Finding

if TYPE_CHECKING:
    import numpy as np
    import torch

    from lmv3det.structures import Detections

FOLDER = Path(__file__).parents[1] / "assets" / "doctor"
"""`arrays.npz`: a page and what the original detected on it; `page.png` and `page.json`: a
generated page and its regions. Made by `python -m tools.doctor_files`."""

TINY = {
    "backbone": {
        "hidden_size": 96,
        "heads": 4,
        "intermediate_size": 192,
        "coordinate_size": 16,
        "shape_size": 16,
        "vocab_size": 500,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    },
    "neck": {"out_channels": 32},
    "roi": {"fc_dim": 64},
    "model": {"num_classes": 5, "mask_on": False},
}
"""The config that the arrays were computed with."""

TOLERANCE = {"float64": 1e-6, "float32": 0.05}
"""Largest difference allowed, in pixels and in scores. Different kernels add in another order,
which float64 shows at 1e-9 and float32 at 1e-2 pixels."""

FOUND = 0.75
"""Least share of the example page's regions that the bundled model must find."""


def check_parity(device: str) -> Iterator[Finding]:
    """Detections of the original on a page, computed anew on the device.

    The weights follow from their names; the page and the detections are in `arrays.npz`.
    """
    import numpy as np
    import torch

    from lmv3det.device import choose_device

    chosen = choose_device(device)
    dtype = torch.float32 if chosen.type == "mps" else torch.float64  # which mps does not have
    started = time.perf_counter()
    with np.load(FOLDER / "arrays.npz", allow_pickle=False) as stored:
        page, boxes, scores, classes = (stored[k] for k in ("page", "boxes", "scores", "classes"))
    found = _detect(page, chosen, dtype)
    seconds = time.perf_counter() - started
    kind = str(dtype).removeprefix("torch.")
    if len(found) != len(boxes) or not np.array_equal(found.classes.cpu().numpy(), classes):
        text = (
            f"{len(found)} detections on {chosen} in {kind}; the original's {len(boxes)} are others"
        )
        yield Finding("exactness", text, "broken", _other_device(chosen.type))
        return
    difference = max(
        np.abs(found.boxes.cpu().double().numpy() - boxes).max(),
        np.abs(found.scores.cpu().double().numpy() - scores).max(),
    )
    text = (
        f"{len(boxes)} detections as the original's, to {difference:.0e} pixels "
        f"({chosen}, {kind}, {seconds:.1f} s)"
    )
    if difference <= TOLERANCE[kind]:
        yield Finding("exactness", text)
    else:
        text = f"{difference:.1e} pixels from the original on {chosen} in {kind}"
        yield Finding("exactness", text, "broken", _other_device(chosen.type))


def _detect(page: np.ndarray, device: torch.device, dtype: torch.dtype) -> Detections:
    """Detections on a page H×W×3 uint8, by the detector whose weights follow from their names."""
    import torch

    from lmv3det.config import from_dict
    from lmv3det.convert.parameter_names import detectron2_name, from_detectron2
    from lmv3det.doctor.rule import weights_by_name
    from lmv3det.model.detector import build_detector
    from lmv3det.structures import Batch

    with torch.device("meta"):
        shapes = {
            str(detectron2_name(name)): tensor.shape
            for name, tensor in build_detector(from_dict(TINY)).state_dict().items()
            if tensor.is_floating_point()
        }
    model = build_detector(from_dict(TINY)).to(dtype)
    model.load_state_dict(from_detectron2(weights_by_name(shapes)), strict=False)
    model = model.eval().to(device)
    height, width = page.shape[:2]
    images = torch.zeros(1, 3, *(-(-side // 32) * 32 for side in (height, width)), dtype=dtype)
    pixels = torch.from_numpy(page).permute(2, 0, 1).to(dtype)
    images[0, :, :height, :width] = (pixels - 127.5) / 127.5
    with torch.no_grad():
        return model.predict(Batch(images.to(device), [(height, width)]))[0]


def check_bundled_model(device: str, precision: str) -> Iterator[Finding]:
    """The bundled model on a generated page: does it find the regions that are there?"""
    from lmv3det.inference.detector import Detector

    truth = json.loads((FOLDER / "page.json").read_text(encoding="utf-8"))
    detector = Detector.load(device=device, overrides=[f"precision={precision}"])
    detector.predict(FOLDER / "page.png")  # the first one is slower
    started = time.perf_counter()
    (page,) = detector.predict(FOLDER / "page.png", score_threshold=0.3)
    seconds = time.perf_counter() - started
    found = count_found(truth, page.to_dict()["detections"])
    text = f"finds {found} of the {len(truth)} regions of a generated page in {seconds:.2f} s"
    if found < FOUND * len(truth):
        yield Finding("bundled model", text, "broken", f"{_other_device(device)}, or {REINSTALL}")
    else:
        yield Finding("bundled model", text)


REINSTALL = "`pip install --force-reinstall --no-deps .` in the folder of lmv3det"


def count_found(truth: list[dict], detections: Sequence[Mapping[str, Any]]) -> int:
    """Regions that a detection of the same class covers with an IoU of 0.5 or more.

    Both hold `bbox`, x y width height in pixels, and `category`.
    """
    return sum(
        any(
            one["category"] == region["category"] and _iou(one["bbox"], region["bbox"]) >= 0.5
            for one in detections
        )
        for region in truth
    )


def _iou(a: list[float], b: list[float]) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def _other_device(kind: str) -> str:
    if kind == "cpu":
        return "install another release of torch and torchvision, and report this one"
    return "compute with device=cpu, and report this GPU and torch"
