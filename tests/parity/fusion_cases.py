"""The fusion file: the box-to-grid map and the fusions."""

from __future__ import annotations

import numpy as np
import torch
from fixture import Fixture, Options

from lmv3det.model.box_grid import cell_ranges, scatter
from lmv3det.model.fusion import AdditiveFusion, ConcatFusion, GatedFusion

LEVEL = 5


def check_fusion(fixture: Fixture, options: Options) -> None:
    """`axis_and_padding_fixed` of every case, and the table of cells.

    `as_is` and `axis_fixed` hold the notes' mistakes; tests/test_fusion.py tells them apart.
    """
    check_cells(fixture)
    for case in [key.removesuffix(".feat") for key in fixture.arrays if key.endswith(".feat")]:
        check_case(fixture, case)


def check_cells(fixture: Fixture) -> None:
    numbers = torch.arange(1001)
    boxes = torch.stack([numbers] * 4, dim=-1)
    ours, differs = [], []
    for size in fixture["scale.sizes"].tolist():
        x0, y0, x1, y1 = cell_ranges(boxes, size, size).unbind(-1)
        # The table is not cut at the grid: 1000 stands for the column after the last.
        uncut = x0
        assert torch.equal(x0, y0) and torch.equal(x1, y1)
        assert torch.equal(x1, uncut.clamp(max=size - 1))
        ours.append(uncut.numpy())
        differs.append((uncut != numbers * size // 1000).sum().item())
    fixture.compare("scale.cell", np.stack(ours).astype(np.int16))
    fixture.compare("scale.differs_from_integer_floor", np.array(differs))


def check_case(fixture: Fixture, case: str) -> None:
    keys = ("feat", "text", "bbox", "score_weight", "score_bias")
    visual, text, boxes, weight, bias = (torch.from_numpy(fixture[f"{case}.{k}"]) for k in keys)
    valid = (boxes != 0).any(-1)
    height, width = visual.shape[2:]
    painted = scatter(text, boxes, valid, height, width)
    fixture.compare(f"{case}.axis_and_padding_fixed.painted", painted)

    maps, states = [visual] * 4, [text] * 4
    channels = visual.shape[1]
    gated = GatedFusion(channels, levels=[LEVEL]).double()
    gate = gated.gate[f"p{LEVEL}"]
    gate.load_state_dict({"weight": weight, "bias": bias})
    score = torch.sigmoid(torch.relu(gate(visual + painted)))
    fixture.compare(f"{case}.axis_and_padding_fixed.score", score)
    fused, _ = gated(maps, states, boxes, valid)
    fixture.compare(f"{case}.axis_and_padding_fixed.gated", fused[LEVEL - 2])

    # The file holds sums and concatenations of the notes' own map; ours are those of ours.
    added, _ = AdditiveFusion(channels, levels=[LEVEL])(maps, states, boxes, valid)
    joined, _ = ConcatFusion(channels, levels=[LEVEL])(maps, states, boxes, valid)
    theirs = torch.from_numpy(fixture[f"{case}.as_is.painted"])
    correction = painted - theirs
    fixture.compare(f"{case}.as_is.added", added[LEVEL - 2] - correction)
    doubled = torch.cat([torch.zeros_like(correction), correction], dim=1)
    fixture.compare(f"{case}.as_is.concat", joined[LEVEL - 2] - doubled)
