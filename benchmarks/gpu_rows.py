"""Pages a second and memory of a device: the second half of `python -m benchmarks --device`."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_checks import make_batch
from benchmarks.sheets import Cost, page_cost, sheet
from lmv3det.config import Config, load_config
from lmv3det.device import autocast, choose_precision
from lmv3det.model.detector import LayoutDetector, build_detector
from lmv3det.structures import Batch

CONFIGS = Path(__file__).parent.parent / "configs"


@dataclass(frozen=True)
class Case:
    """What is run: a config at a batch size.

    Attributes:
        config: name of a file in `configs/`.
        pages: of a batch.
        training: a step (losses, gradients, AdamW), else detections.
        precision: the setting of this name.
        recompute: activations in the backward pass (`backbone.gradient_checkpointing`).
        tokens: of text.
        target: pages a second wanted on one H100, where one is set.
    """

    config: str
    pages: int
    training: bool = False
    precision: str = "bf16"
    recompute: bool = False
    tokens: int = 0
    target: float | None = None

    @property
    def name(self) -> str:
        what = "training" if self.training else "inference"
        extra = ", recomputed" if self.recompute else ""
        return f"{self.config}, {what}, {self.precision}, batch {self.pages}{extra}"


def cases(quick: bool) -> list[Case]:
    """In the order of use to a reader: where time runs out, the last ones are left out."""
    sizes = (1, 2) if quick else (1, 8, 32)
    most = sizes[-1]
    base = [Case("image_only", n, target=100.0 if n == most else None) for n in sizes]
    bundled = [Case("bundled", n, tokens=100) for n in sizes]
    few = sizes[1]
    return [
        *base,
        Case("image_only", few, training=True, target=40.0),
        Case("image_only", 1, training=True),
        Case("image_only", few, training=True, recompute=True),
        *bundled,
        Case("bundled", few, training=True, tokens=100),
        *(Case("large", n) for n in sizes),
        Case("large", few, training=True, recompute=True),
        Case("image_only", few, precision="fp32"),
        Case("af2", few, tokens=300),
        Case("af2", few, training=True, tokens=300),
        Case("image_only", few, precision="fp16"),
    ]


def case_config(case: Case, quick: bool) -> tuple[Config, tuple[int, int]]:
    """The settings, and the (height, width) of a page: 800 pixels wide, or as the bundled model
    reads it; `quick` shrinks both."""
    overrides = [f"backbone.gradient_checkpointing={str(case.recompute).lower()}"]
    if case.config == "bundled":
        size = (597, 448)
    else:
        size = (1066, 800)
        overrides.append("model.num_classes=5")
    if quick:
        size = (170, 128)
        if case.config != "bundled":
            overrides += ["backbone.hidden_size=96", "backbone.heads=4"]
            overrides += ["backbone.intermediate_size=192", "backbone.layers=4"]
            overrides += ["backbone.coordinate_size=16", "backbone.shape_size=16"]
            overrides += ["backbone.out_indices=[0,1,2,3]", "backbone.vocab_size=500"]
    return load_config(CONFIGS / f"{case.config}.yaml", overrides), size


def measure_cases(device: torch.device, quick: bool, until: float) -> Iterator[dict[str, Any]]:
    """Each case's result; those for which no time is left say so.

    Args:
        device: where to run.
        quick: small models and pages, to try the way.
        until: `time.monotonic()` from which no case is begun.
    """
    for case in cases(quick):
        if time.monotonic() > until:
            yield {"name": case.name, "failed": "not run: no time left"}
            continue
        try:
            yield measure_case(case, device, quick)
        except torch.OutOfMemoryError:
            yield {"name": case.name, "failed": "out of memory"}
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def measure_case(case: Case, device: torch.device, quick: bool) -> dict[str, Any]:
    """Pages a second of a case, its peak memory, and its share of the GPU's rate."""
    config, size = case_config(case, quick)
    padded = [-(-side // 32) * 32 for side in size]
    cost = page_cost(config, *padded, tokens=case.tokens)
    torch.manual_seed(0)
    detector = build_detector(config).to(device)
    batch = make_batch(case.pages, *size, tokens=case.tokens).to(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    run = _training(detector, batch, case) if case.training else _prediction(detector, batch, case)
    seconds = _time(run, device, quick)
    rate = case.pages / seconds
    result = {
        "name": case.name,
        "pages_per_second": rate,
        "seconds": seconds,
        "peak_memory": _peak(device),
        "target": case.target,
        **_shares(case, cost, rate, device),
    }
    return result


def _shares(case: Case, cost: Cost, rate: float, device: torch.device) -> dict[str, Any]:
    """TFLOP/s attained, and their share of the sheet's rate."""
    attained = rate * (cost.training_flops if case.training else cost.flops) / 1e12
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    numbers = sheet(name)
    share = None
    if numbers is not None:
        share = attained / (numbers[1] if case.precision == "fp32" else numbers[0])
    return {"tflops": attained, "share_of_sheet": share}


def _prediction(detector: LayoutDetector, batch: Batch, case: Case) -> Callable[[], Any]:
    detector.eval()

    def run() -> None:
        with autocast(batch.images.device, case.precision):
            detector.predict(batch)

    return run


def _training(detector: LayoutDetector, batch: Batch, case: Case) -> Callable[[], Any]:
    detector.train()
    device = batch.images.device
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-5, fused=True)
    half = choose_precision(case.precision, device) == torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=half)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, case.precision):
            losses = detector.losses(batch)
        scaler.scale(torch.stack(list(losses.values())).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    return run


def _time(run: Callable[[], Any], device: torch.device, quick: bool) -> float:
    """Mean seconds of a run, over two seconds of them at least."""
    least, warm_up = (0.0, 1) if quick else (2.0, 3)
    for _ in range(warm_up):
        run()
    _wait(device)
    start, number = time.perf_counter(), 0
    while True:
        run()
        number += 1
        _wait(device)
        passed = time.perf_counter() - start
        if passed >= least and number >= (1 if quick else 3):
            return passed / number


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak(device: torch.device) -> int:
    """Bytes: of the GPU's allocations; on a CPU, of the process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def product_rate(device: torch.device, quick: bool) -> float:
    """TFLOP/s of one large bfloat16 product: what can be attained at all."""
    side = 512 if quick else 8192
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / _time(lambda: a @ b, device, quick) / 1e12
