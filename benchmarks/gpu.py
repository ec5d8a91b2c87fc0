"""`python -m benchmarks --device DEVICE`: is it right there, and how fast; ten minutes at most."""

from __future__ import annotations

import contextlib
import json
import platform
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_checks import all_checks
from benchmarks.gpu_rows import measure_cases, product_rate
from lmv3det.device import choose_device
from lmv3det.files import write_json

LIMIT = 510.0
"""Seconds after which nothing more is begun."""


def run_gpu(name: str, quick: bool, json_file: Path | None) -> int:
    """Check, measure, print, and write what there is after each step.

    Returns:
        0; 1 where a check does not hold or fails.

    Raises:
        InputError: no such device.
    """
    began = time.monotonic()
    device = choose_device(name)
    content: dict[str, Any] = {
        "device": _describe(device),
        "quick": quick,
        "checks": [],
        "rows": [],
    }
    print(content["device"], flush=True)
    bad = 0
    for title, check in all_checks().items():
        at = time.monotonic()
        try:
            for finding in check(device):
                bad += not finding.holds
                mark = "" if finding.holds else "  BEYOND THE BOUND"
                print(
                    f"  {finding.value:9.3g} (≤ {finding.bound:.3g})  {finding.name}{mark}",
                    flush=True,
                )
                content["checks"].append(
                    {
                        "check": title,
                        **vars(finding),
                        "value": float(finding.value),
                        "holds": finding.holds,
                    }
                )
        except Exception as error:  # the other checks are worth running
            bad += 1
            traceback.print_exc()
            content["checks"].append({"check": title, "failed": f"{type(error).__name__}: {error}"})
        print(f"{title}: {time.monotonic() - at:.1f} s", flush=True)
        _write(json_file, content)
    content["product_tflops"] = product_rate(device, quick)
    print(f"a product in bfloat16: {content['product_tflops']:.3g} TFLOP/s", flush=True)
    for row in measure_cases(device, quick, began + LIMIT):
        content["rows"].append(row)
        print(line(row), flush=True)
        _write(json_file, content)
    content["seconds"] = time.monotonic() - began
    _write(json_file, content)
    verdict = f"{bad} checks do not hold" if bad else "all checks hold"
    print(f"{verdict}; {content['seconds']:.0f} s")
    return 1 if bad else 0


def line(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"{row['name']}: {row['failed']}"
    share = row["share_of_sheet"]
    return (
        f"{row['name']}: {row['pages_per_second']:.3g} pages/s, "
        f"{row['peak_memory'] / 2**30:.2f} GiB, {row['tflops']:.3g} TFLOP/s"
        + ("" if share is None else f", {share:.0%} of the sheet")
        + ("" if row["target"] is None else f" (aim on an H100: {row['target']:.0f} pages/s)")
    )


def _describe(device: torch.device) -> str:
    words = [f"torch {torch.__version__}", f"Python {platform.python_version()}", str(device)]
    if device.type == "cuda":
        words.append(torch.cuda.get_device_name(device))
        with contextlib.suppress(RuntimeError):
            free, total = torch.cuda.mem_get_info(device)
            words.append(f"{free / 2**30:.0f} of {total / 2**30:.0f} GiB free")
    else:
        words.append(f"{torch.get_num_threads()} threads")
    return ", ".join(words)


def _write(path: Path | None, content: dict[str, Any]) -> None:
    """NaN as a word: JSON has none."""
    if path is not None:
        text = json.dumps(content)
        write_json(path, json.loads(text, parse_constant=str))
