"""The baselines compute what ours does; the table and its file. Nothing is timed here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # benchmarks/ is not installed

from benchmarks import __main__ as command
from benchmarks import batch_case, cases, cost, rows, twin
from lmv3det.config import from_dict
from lmv3det.model.box_grid import scatter
from lmv3det.model.detector import build_detector

TINY = {
    "model": {"num_classes": 5, "mask_on": False},
    "backbone": {
        "hidden_size": 32,
        "layers": 4,
        "heads": 2,
        "intermediate_size": 48,
        "out_indices": [0, 1, 2, 3],
        "coordinate_size": 6,
        "shape_size": 4,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    },
    "neck": {"out_channels": 16},
    "rpn": {"pre_nms_test": 40, "post_nms_test": 30},
    "roi": {"fc_dim": 24, "sampling_ratio": 2},
    "text": {"selection": "first"},
}


def test_the_twin_is_the_same_model() -> None:
    """Features and gradients in float64, with padded text and without text."""
    torch.manual_seed(0)
    ours = build_detector(from_dict(TINY)).double()
    other = build_detector(from_dict(TINY)).double()
    other.load_state_dict(ours.state_dict())
    twin.make_twin(other)
    assert other.backbone.gradient_checkpointing
    page = cases._page((64, 96))
    ids, boxes = torch.tensor([[3, 5, 7]]), torch.randint(0, 500, (1, 3, 4))
    mask = torch.tensor([[True, True, False]])
    for text in ((None, None, None), (ids, boxes, mask)):
        outputs = []
        for detector in (ours, other):
            detector.zero_grad()
            visual, _ = detector.backbone(page.images.double(), *text)
            visual[-1].square().sum().backward()
            weights = [layer.attention.query.weight.grad for layer in detector.backbone.layers]
            outputs.append([visual[-1].detach(), *weights])
        for one, two in zip(*outputs, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", ["lines", "large"])
def test_the_loop_paints_the_same(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    boxes = {"lines": cases.line_boxes, "large": cases.large_boxes}[kind](2, 40, generator)
    assert ((boxes >= 0) & (boxes <= 1000)).all() and (boxes[..., 2:] >= boxes[..., :2]).all()
    text = torch.randn(2, 40, 6, dtype=torch.float64, generator=generator)
    valid = torch.rand(2, 40, generator=generator) < 0.9
    gradients, maps = [], []
    for paint in (scatter, twin.scatter_by_loop):
        leaf = text.clone().requires_grad_()
        maps.append(paint(leaf, boxes, valid, 25, 19))
        maps[-1].square().sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*maps)
    torch.testing.assert_close(*gradients)


@pytest.mark.slow
def test_a_row_is_measured_in_fresh_processes() -> None:
    row = rows.Row("small", rows.LOOP, "map_train", (4, 3, "lines"), target=0.0, rounds=1)
    result = rows.measure(row)
    assert result["ratio"] == result["seconds"]["baseline"] / result["seconds"]["ours"] > 0
    assert min(result["peak_memory"].values()) > 50 * 2**20 and result["met"] is True


def test_a_failing_side_says_why() -> None:
    row = rows.Row("small", rows.LOOP, "map_train", (4, 3, "no such boxes"))
    with pytest.raises(RuntimeError, match=r"(?s)small, ours: exit 1.*no such boxes"):
        rows.measure(row)


def fake_result(row: rows.Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "baseline": row.baseline,
        "ratio": 2.0,
        "seconds": {"ours": 1.0, "baseline": 2.0},
        "peak_memory": {"ours": 2**30, "baseline": 2**31},
        "memory_ratio": 0.5,
        "threads": 1,
        "allocator": "default",
        "target": row.target,
        "memory_target": row.memory_target,
        "met": True,
    }


def test_table_and_json(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "measure", fake_result)
    path = tmp_path / "rows.json"
    assert command.main(["--json", str(path), "--only", "forward_base_page"]) == 0
    (row,) = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert row["name"] == "forward_base_page" and row["target"] == 1.8
    assert {"baseline", "ratio", "seconds", "peak_memory"} <= set(row)
    said = capsys.readouterr().out
    assert "| 2.00 | ≥ 1.8, ≤ 60% memory | 1 | 2 | 1.00 | 2.00 | 50% | default | yes |" in said
    assert f"torch {torch.__version__}" in said and "1 threads" in said


def test_names(monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "measure", fake_result)
    assert command.main(["--list"]) == 0
    names = capsys.readouterr().out.split()
    assert len(names) == len(set(names))
    assert {"forward_base_page", "train_step_base_page", "batch_pages"} <= set(names)
    assert command.main(["--only", "fusion_map_train"]) == 0
    assert capsys.readouterr().out.count("| loop over pages and boxes |") >= 6
    assert command.main(["--only", "fusion_map"]) == 1
    assert "--list" in capsys.readouterr().err


def test_cost_of_a_corpus(capsys) -> None:
    """1 million pages at 10 a second: 100 000 s, 27.8 h; a tenth more is lost."""
    job = cost.Job(1_000_000, 10.0, machines=2, price=3.0, spare=0.1, row_bytes=2000)
    assert job.machine_hours == pytest.approx(30.5556, rel=1e-5)
    assert job.days == pytest.approx(30.5556 / 48, rel=1e-5)
    assert job.cost == pytest.approx(91.6667, rel=1e-5) and job.gigabytes == 2.0
    assert cost.main(["--rate", "10", "--machines", "2", "--price", "3"]) == 0
    assert "| 1,000,000 | 31 | 0.6 | 92 | 0.0 |" in capsys.readouterr().out
    assert cost.main(["--rate", "0"]) == 1


@pytest.mark.slow
def test_the_batch_row_runs_on_both_sides() -> None:
    for side in ("ours", "baseline"):
        batch_case.batch_pages(side, 2)()
