"""Whether a device computes what the CPU does: the first half of `python -m benchmarks --device`.

A check gives findings; each has a number and a bound, and holds where the number is within it.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.readings import count_readings
from lmv3det.config import from_dict, merge
from lmv3det.device import autocast
from lmv3det.engine.optim import reach_all
from lmv3det.model import boxes as box_ops
from lmv3det.model.box_grid import scatter
from lmv3det.model.detector import LayoutDetector, build_detector
from lmv3det.structures import Batch, Detections, Target

PARITY = Path(__file__).parent.parent / "tests" / "parity"
PRECISIONS = {"bf16": 0.05, "fp16": 0.01}
"""Relative error of maps and losses allowed against float32: a bfloat16 number has 8 bits, a
float16 number 11, and twelve layers add up their rounding."""
PREDICTION_WAITS, TRAINING_WAITS = 10, 12
"""How often a GPU may be waited for, whatever the number of pages (tests/model/test_readings.py
names the places)."""


@dataclass
class Finding:
    name: str
    value: float
    bound: float

    @property
    def holds(self) -> bool:
        return bool(self.value <= self.bound)  # false for NaN


def all_checks() -> dict[str, Callable[[torch.device], Iterator[Finding]]]:
    return {
        "parity": parity,
        "training parity": training_parity,
        "map": box_to_grid_map,
        "suppression": suppression,
        "half precision": half_precision,
        "one process of several": distributed_step,
        "waits": waits,
    }


def _fixtures() -> Any:
    """The modules that read the original's arrays."""
    if str(PARITY) not in sys.path:
        sys.path.insert(0, str(PARITY))
    import detector_cases
    import fixture

    return fixture, detector_cases


def _worst(results: list[Any], name: str, bound: float) -> Finding:
    return Finding(name, max(result.difference for result in results), bound)


def _order_of(found: Detections, boxes: Any, classes: Any) -> Tensor:
    """Which of the detections found is each of the original's: the nearest of its class. float32
    cannot order scores that differ by less than its rounding."""
    wanted, own = torch.as_tensor(boxes).double(), found.boxes.double().cpu()
    other = found.classes.cpu()[None] != torch.as_tensor(classes)[:, None]
    order = (torch.cdist(wanted, own) + 1e6 * other).argmin(dim=1)
    if len(order.unique()) != len(own):  # not one for one: as they are, which the bound tells
        order = torch.arange(len(own))
    return order.to(found.boxes.device)


def parity(device: torch.device) -> Iterator[Finding]:
    """Maps, scores, proposals and results of the original, in float64 and float32."""
    files, _ = _fixtures()
    for dtype, bound in ((torch.float64, 1e-8), (torch.float32, 1e-3)):
        for file in ("tiny_image_only_eval", "tiny_image_only_eval_batch2"):
            stored = files.Fixture(PARITY / f"{file}.npz")
            model = files.deterministic_model(files.build_config(files.Options())).eval()
            model = model.to(device, dtype)
            pages = stored.numbers("image")
            batch = files.make_batch([stored[f"image{n}"] for n in pages]).to(device, dtype)
            with torch.no_grad(), _exact():
                pyramid, _ = model.features(batch)
                logits, deltas = model.rpn.head(pyramid)
                found = model.predict(batch)
            for number, level in enumerate(range(2, 7)):
                stored.compare(f"fpn.p{level}", pyramid[number])
                stored.compare(f"rpn_logits.p{level}", logits[number])
                stored.compare(f"rpn_deltas.p{level}", deltas[number])
            yield _worst(stored.results, f"{file}, maps in {dtype}", bound)
            stored.results.clear()
            for page, detections in enumerate(found):
                theirs = [stored[f"default{page}.{field}"] for field in ("boxes", "classes")]
                order = _order_of(detections, *theirs)
                for field in ("boxes", "scores", "classes"):
                    stored.compare(f"default{page}.{field}", getattr(detections, field)[order])
            yield _worst(stored.results, f"{file}, results in {dtype}", bound)


def training_parity(device: torch.device) -> Iterator[Finding]:
    """Losses and gradients of the original, in float64."""
    files, cases = _fixtures()
    stored = files.Fixture(PARITY / "tiny_image_only_train.npz")
    kind = next(k for k in stored.arrays if k.endswith(".losses")).removesuffix(".losses")
    everything = {"batch_size_per_image": 65536, "box_loss": kind}
    config = files.build_config(
        files.Options(), rpn=everything, roi={"batch_size_per_image": 8192, "box_loss": kind}
    )
    pages = stored.numbers("image")
    batch = files.make_batch(
        [stored[f"image{n}"] for n in pages], cases.read_targets(stored, pages)
    )
    gradients = []
    for where in (torch.device("cpu"), device):
        model = files.deterministic_model(config).train().to(where)
        with _exact():
            losses = model.losses(batch.to(where))
            torch.stack(list(losses.values())).sum().backward()
        gradients.append(
            {n: p.grad.cpu() for n, p in model.named_parameters() if p.grad is not None}
        )
    wanted = dict(zip(stored[f"{kind}.loss_names"], stored[f"{kind}.losses"], strict=True))
    worst = max(abs(losses[str(n)].item() - float(value)) for n, value in wanted.items())
    yield Finding(f"{kind} losses in torch.float64", worst, 3e-7)
    yield Finding(
        "gradients against the CPU's in torch.float64",
        max(_relative(gradients[1][name], value) for name, value in gradients[0].items()),
        1e-6,
    )


def box_to_grid_map(device: torch.device) -> Iterator[Finding]:
    """The map on the device, where a page is one band, against the CPU's bands."""
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(2, 60, 32, generator=generator, dtype=torch.float64)
    corners = torch.randint(0, 1001, (2, 60, 2, 2), generator=generator)
    boxes, valid = corners.sort(dim=2).values.flatten(2), torch.ones(2, 60, dtype=torch.bool)
    wanted = scatter(text, boxes, valid, 40, 32)
    found = scatter(text.to(device), boxes.to(device), valid.to(device), 40, 32)
    yield Finding("map in torch.float64", float((found.cpu() - wanted).abs().max()), 1e-10)
    yield Finding(
        "cells that differ in being 0", float(((found.cpu() == 0) != (wanted == 0)).sum()), 0
    )


def suppression(device: torch.device) -> Iterator[Finding]:
    """Kept boxes on the device and on the CPU, for few boxes and for more than fit at once."""
    for pages, number in ((2, 500), (8, 5000)):
        generator = torch.Generator().manual_seed(pages)
        corner = torch.rand(pages * number, 2, generator=generator) * 1000
        side = torch.rand(pages * number, 2, generator=generator) * 200 + 4
        boxes, scores = torch.cat([corner, corner + side], dim=1), torch.rand(len(corner))
        page, level = torch.arange(len(boxes)) // number, torch.arange(len(boxes)) % 5
        results = []
        for where in (torch.device("cpu"), device):
            given = [t.to(where) for t in (boxes.double(), scores.double(), page, level)]
            kept = box_ops.nms_by_page(*given, pages, 0.7, 1000)
            results.append([k.cpu() for k in kept])
        differ = sum(not torch.equal(a, b) for a, b in zip(*results, strict=True))
        yield Finding(f"pages of {pages} with other boxes kept", differ, 0)


def half_precision(device: torch.device) -> Iterator[Finding]:
    """Maps and losses under autocast against float32, and that nothing is NaN or infinite."""
    torch.manual_seed(0)
    detector = build_detector(from_dict(SMALL)).to(device)
    batch = make_batch(2).to(device)
    exact = _outputs(detector, batch, None)
    for name, bound in PRECISIONS.items():
        outputs = _outputs(detector, batch, name)
        worst = max(_relative(outputs[key], value) for key, value in exact.items())
        yield Finding(f"{name} against float32, relative", worst, bound)


def _outputs(detector: LayoutDetector, batch: Batch, precision: str | None) -> dict[str, Tensor]:
    chosen = "fp32" if precision is None else precision
    with torch.no_grad(), autocast(batch.images.device, chosen):
        pyramid, _ = detector.eval().features(batch)
        detector.train()
        torch.manual_seed(1)  # draws the same anchors
        losses = detector.losses(batch)
    outputs = {f"p{n}": level for n, level in enumerate(pyramid, 2)}
    names = ("loss_rpn_cls", "loss_rpn_loc", "loss_cls_stage0")
    return {**outputs, **{name: losses[name] for name in names}}


def distributed_step(device: torch.device) -> Iterator[Finding]:
    """Gradients of a group of one process are those without a group, BatchNorm synchronised."""
    torch.manual_seed(0)
    alone = build_detector(from_dict(SMALL)).to(device).train()
    model: nn.Module = copy.deepcopy(alone)
    if device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    batch = make_batch(2).to(device)
    with tempfile.TemporaryDirectory() as folder, _group(device, Path(folder)), _exact():
        wrapped = nn.parallel.DistributedDataParallel(
            model,
            device_ids=[device.index or 0] if device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )
        gradients = []
        for one, parameters in (
            (alone, list(alone.parameters())),
            (wrapped, list(model.parameters())),
        ):
            torch.manual_seed(1)
            losses = one(batch)
            reach_all(torch.stack(list(losses.values())).sum(), parameters).backward()
            gradients.append([p.grad for p in parameters if p.grad is not None])
        pairs = zip(*gradients, strict=False)
        yield Finding("gradients within a group", max(_relative(a, b) for a, b in pairs), 1e-3)


@contextlib.contextmanager
def _group(device: torch.device, folder: Path) -> Iterator[None]:
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(
        backend, init_method=f"file://{folder / 'meeting'}", rank=0, world_size=1
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def waits(device: torch.device) -> Iterator[Finding]:
    """How often prediction and losses wait for the GPU: torch's own count there; on a CPU, the
    operations that would wait."""
    torch.manual_seed(0)
    # So few boxes that a CPU suppresses them at once, as a GPU does.
    few = {"rpn": {"pre_nms_train": 40, "pre_nms_test": 40, "post_nms_test": 40}}
    detector = build_detector(from_dict(merge(SMALL, few))).to(device)
    for pages in (1, 4):
        batch = make_batch(pages).to(device)
        for name, run, bound in (
            ("prediction", lambda b=batch: detector.eval().predict(b, 0.0), PREDICTION_WAITS),
            ("training", lambda b=batch: _train(detector, b), TRAINING_WAITS),
        ):
            run()
            found = _waits_on_card(run) if device.type == "cuda" else _waits_on_cpu(run)
            for place, times in sorted(found.items()):
                print(f"    {name}, {pages} pages: {place}: {times}")
            yield Finding(f"waits of {name}, {pages} pages", sum(found.values()), bound)


def _train(detector: LayoutDetector, batch: Batch) -> None:
    torch.stack(list(detector.train().losses(batch).values())).sum().backward()


def _waits_on_card(run: Callable[[], Any]) -> dict[str, int]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    places = [
        f"{Path(w.filename).name}:{w.lineno}" for w in caught if "synchroniz" in str(w.message)
    ]
    return dict(collections.Counter(places))


def _waits_on_cpu(run: Callable[[], Any]) -> dict[str, int]:
    with count_readings() as found:
        run()
    # Of what is on the host already, and the map's bands, which are a CPU's alone.
    free = ("numpy", "_mask_loss: nonzero", "_mask_loss: tolist", "_bands: _local_scalar_dense")
    return {place: n for place, n in found.items() if not place.endswith(free)}


@contextlib.contextmanager
def _exact() -> Iterator[None]:
    """Products of float32 in float32, not in TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _relative(found: Tensor, wanted: Tensor) -> float:
    """|found - wanted| over |wanted|, Euclidean; absolute where that is below a millionth."""
    difference = (found.detach().double() - wanted.detach().double()).norm()
    return float(difference / wanted.detach().double().norm().clamp(min=1e-6))


SMALL: dict[str, Any] = {
    "model": {"num_classes": 5},
    "backbone": {
        "hidden_size": 96,
        "layers": 4,
        "heads": 4,
        "intermediate_size": 192,
        "out_indices": [0, 1, 2, 3],
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "coordinate_size": 16,
        "shape_size": 16,
        "vocab_size": 500,
    },
    "neck": {"out_channels": 32},
    "rpn": {"pre_nms_train": 150, "post_nms_train": 100, "pre_nms_test": 150, "post_nms_test": 100},
    "roi": {"fc_dim": 64},
    "mask": {"dim": 32},
    "text": {"selection": "first"},
    "fusion": {"kind": "gated"},
}
"""A detector with text, fusion and masks that a CPU checks in seconds."""


def make_batch(pages: int, height: int = 256, width: int = 192, tokens: int = 20) -> Batch:
    """Random pages with twelve regions each, and text where `tokens` is above 0."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(pages, 3, -(-height // 32) * 32, -(-width // 32) * 32, generator=generator)
    left, top = np.meshgrid([0.08, 0.54], np.linspace(0.05, 0.8, 6))
    fractions = np.stack([left, top, left + 0.38, top + 0.12], axis=-1).reshape(-1, 4)
    boxes = fractions * [width, height, width, height]
    outlines = [[box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)] for box in boxes]
    target = Target(torch.from_numpy(boxes).float(), torch.arange(12) % 5, outlines)
    batch = Batch(images, [(height, width)] * pages, targets=[target] * pages)
    if tokens:
        batch.input_ids = torch.randint(4, 400, (pages, tokens), generator=generator)
        start = torch.randint(0, 500, (pages, tokens, 2), generator=generator)
        batch.text_boxes = torch.cat([start, start + torch.tensor([400, 12])], dim=2)
    return batch
