"""The command for GPUs: what it counts, what it says, and its whole way on the CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import gpu, gpu_checks, gpu_rows, sheets
from lmv3det.config import from_dict, load_config


def test_operations_of_a_page_by_hand() -> None:
    """One layer more adds its products: 2 for each weight and token, and attention's two."""
    hidden, inner, tokens = 64, 96, 1 + (128 // 16) * (64 // 16)
    costs = []
    for layers in (4, 5):
        backbone = {
            "hidden_size": hidden, "heads": 4, "intermediate_size": inner, "layers": layers,
            "out_indices": [0, 1, 2, 3], "coordinate_size": 10, "shape_size": 12,
        }  # fmt: skip
        costs.append(sheets.page_cost(from_dict({"backbone": backbone}), 128, 64))
    assert costs[1].attention_flops - costs[0].attention_flops == 4 * tokens**2 * hidden
    products = 2 * tokens * (4 * hidden**2 + 2 * hidden * inner)
    assert costs[1].flops - costs[0].flops == products + 4 * tokens**2 * hidden
    assert costs[1].training_flops == 3 * costs[1].flops
    assert costs[1].moved > costs[0].moved > 2 * costs[0].weights  # each weight is read


def test_the_base_model_at_800_pixels() -> None:
    cost = sheets.page_cost(load_config(gpu_rows.CONFIGS / "image_only.yaml"), 1088, 800)
    assert cost.attention_flops == pytest.approx(12 * 4 * 3401**2 * 768, rel=1e-6)
    assert 1.4e12 < cost.flops < 1.6e12


def test_sheets_are_found_by_name() -> None:
    assert sheets.sheet("NVIDIA H100 80GB HBM3") == sheets.SHEETS["H100"]
    assert sheets.sheet("NVIDIA H100 PCIe") == sheets.SHEETS["H100 PCIe"]
    assert sheets.sheet("NVIDIA A100-SXM4-80GB") == sheets.SHEETS["A100"]
    assert sheets.sheet("Tesla T4") == sheets.SHEETS["T4"]
    assert sheets.sheet("NVIDIA L40S") == sheets.SHEETS["L40S"]
    assert sheets.sheet("Some other GPU") is None


def test_findings_and_failures_are_told(monkeypatch, capsys, tmp_path: Path) -> None:
    """A number beyond its bound, one that is none, and a check that breaks all count; the rest is
    measured all the same, and the file is JSON."""

    def broken(device: torch.device) -> Any:
        yield gpu_checks.Finding("fine", 0.5, 1.0)
        yield gpu_checks.Finding("far", 2.0, 1.0)
        yield gpu_checks.Finding("none", float("nan"), 1.0)
        raise RuntimeError("no such kernel")

    row = {"name": "a", "pages_per_second": 2.0, "peak_memory": 2**30, "tflops": 1.0,
           "share_of_sheet": 0.25, "target": 100.0}  # fmt: skip
    monkeypatch.setattr(gpu, "all_checks", lambda: {"broken": broken})
    monkeypatch.setattr(gpu, "measure_cases", lambda *_: [row, {"name": "b", "failed": "x"}])
    monkeypatch.setattr(gpu, "product_rate", lambda *_: 1.0)
    path = tmp_path / "gpu.json"
    assert command.main(["--device", "cpu", "--quick", "--json", str(path)]) == 1
    said = capsys.readouterr()
    assert said.out.count("BEYOND THE BOUND") == 2 and "3 checks do not hold" in said.out
    assert "a: 2 pages/s, 1.00 GiB, 1 TFLOP/s, 25% of the sheet (aim" in said.out
    assert "b: x" in said.out and "no such kernel" in said.err
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [entry.get("value") for entry in content["checks"]] == [0.5, 2.0, "NaN", None]
    assert len(content["rows"]) == 2


def test_no_case_is_begun_late() -> None:
    rows = list(gpu_rows.measure_cases(torch.device("cpu"), True, until=0.0))
    assert len(rows) == len(gpu_rows.cases(True))
    assert all(row["failed"] == "not run: no time left" for row in rows)


def test_a_case_on_the_cpu() -> None:
    case = gpu_rows.Case("image_only", 1, training=True, precision="fp32")
    row = gpu_rows.measure_case(case, torch.device("cpu"), quick=True)
    assert row["pages_per_second"] > 0 and row["tflops"] > 0 and row["share_of_sheet"] is None


@pytest.mark.slow
def test_the_whole_command_on_the_cpu(capsys, tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    assert command.main(["--device", "cpu", "--quick", "--json", str(path)]) == 0
    content = json.loads(path.read_text(encoding="utf-8"))
    assert all(entry["holds"] for entry in content["checks"])
    assert not [row for row in content["rows"] if "failed" in row]
