"""What is measured: each case builds its inputs and returns a function for either side."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.coco_file import coco_file
from benchmarks.twin import make_twin, scatter_by_loop
from lmv3det.config import from_dict
from lmv3det.data.coco import CocoDataset
from lmv3det.model.box_grid import scatter
from lmv3det.model.detector import LayoutDetector, build_detector
from lmv3det.structures import Batch, Target

Run = Callable[[], None]
SIDES = ("ours", "baseline")
PAGE = (1066, 800)
"""(height, width) of a page with a shortest side of 800 pixels; padded to 1088×800."""


def base_page_forward(side: str) -> Run:
    """Detect on one page with the base model."""
    detector = _base_detector(side).eval()
    detector.predict(_page((64, 64)))  # the libraries' first call
    page = _page(PAGE)
    return lambda: _consume(detector.predict(page))


def base_page_train_step(side: str) -> Run:
    """Losses, gradients and one AdamW step on one page with the base model."""
    detector = _base_detector(side).train()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-4, fused=True)

    def step(page: Batch) -> None:
        optimizer.zero_grad()
        torch.stack(list(detector.losses(page).values())).sum().backward()
        optimizer.step()

    step(_page((64, 64)))
    page = _page(PAGE)
    return lambda: step(page)


def map_train(side: str, height: int, width: int, kind: str, device: str = "cpu") -> Run:
    """The box-to-grid map of two pages of 300 boxes and 768 channels, forward and backward."""
    text, boxes, valid = _text(kind, device)
    text.requires_grad_()
    gradient = torch.randn(2, 768, height, width, device=device)
    paint = scatter if side == "ours" else scatter_by_loop

    def run() -> None:
        text.grad = None
        paint(text, boxes, valid, height, width).backward(gradient)
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def map_forward(side: str, height: int, width: int, kind: str) -> Run:
    """The map alone; the baseline copies a map of the same shape."""
    text, boxes, valid = _text(kind)
    if side == "ours":
        return lambda: _consume(scatter(text, boxes, valid, height, width))
    made = torch.randn(2, 768, height, width)
    return lambda: _consume(made.clone())


def coco_index_open(side: str, pages: int) -> Run:
    """Open a large annotation file again; the baseline is the first time, which makes its index."""
    annotations, images = coco_file(pages)
    cache = annotations.parent / side
    os.environ["LMV3DET_CACHE"] = str(cache)
    if side == "baseline":
        shutil.rmtree(cache, ignore_errors=True)
    else:  # made in another process, whose memory does not count
        process = multiprocessing.get_context("spawn").Process(
            target=CocoDataset, args=(annotations, images)
        )
        process.start()
        process.join()
    return lambda: _consume(CocoDataset(annotations, images).records[pages // 2].annotations)


def _consume(result: object) -> None:
    """Drop a result."""


def _base_detector(side: str) -> LayoutDetector:
    torch.manual_seed(0)
    detector = build_detector(from_dict({"model": {"num_classes": 5}}))
    return detector if side == "ours" else make_twin(detector)


def _page(size: tuple[int, int]) -> Batch:
    """A random page with twelve regions in two columns."""
    height, width = size
    padded = (-(-height // 32) * 32, -(-width // 32) * 32)
    images = torch.zeros(1, 3, *padded)
    generator = torch.Generator().manual_seed(0)
    images[..., :height, :width] = torch.randn(1, 3, height, width, generator=generator)
    left, top = np.meshgrid([0.08, 0.54], np.linspace(0.05, 0.8, 6))
    fractions = np.stack([left, top, left + 0.38, top + 0.12], axis=-1).reshape(-1, 4)
    boxes = fractions * [width, height, width, height]
    outlines = [[box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)] for box in boxes]
    target = Target(torch.from_numpy(boxes).float(), torch.arange(12) % 5, outlines)
    return Batch(images, [size], targets=[target])


def _text(kind: str, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(2, 300, 768, generator=generator)
    boxes = {"lines": line_boxes, "large": large_boxes}[kind](2, 300, generator)
    valid = torch.ones(2, 300, dtype=torch.bool)
    return text.to(device), boxes.to(device), valid.to(device)


def line_boxes(pages: int, number: int, generator: torch.Generator) -> Tensor:
    """Boxes of text lines: a tenth to a half of the page wide, a hundredth high."""

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (pages, number), generator=generator)

    x0, y0 = draw(50, 500), draw(20, 970)
    return torch.stack([x0, y0, x0 + draw(100, 450), y0 + draw(8, 15)], dim=-1)


def large_boxes(pages: int, number: int, generator: torch.Generator) -> Tensor:
    """Boxes between two uniformly drawn corners: a third of the page each way, on average."""
    corners = torch.randint(0, 1001, (pages, number, 2, 2), generator=generator)
    return corners.sort(dim=2).values.flatten(2)
