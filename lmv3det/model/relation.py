"""Relation module: the regions of a page attend to each other and refine one another.

Relation networks: Hu et al., 2018, https://arxiv.org/abs/1711.11575; here plain self-attention
over features with an embedding of the boxes.

Shapes: B pages, N regions of all pages, M regions of a page at most, F width of a box head, E width
of the attention, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lmv3det.model.cascade import StageOutput


class RelationModule(nn.Module):
    """Self-attention among a page's regions, then residuals of class logits and deltas.

    The residuals start at zero, so an untrained module changes nothing.
    """

    def __init__(
        self, in_features: int, num_classes: int, dim: int = 256, heads: int = 8, layers: int = 1
    ) -> None:
        super().__init__()
        self.features = nn.Linear(in_features, dim)
        self.geometry = nn.Sequential(nn.Linear(8, dim), nn.GELU(), nn.Linear(dim, dim))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dim, heads, 2 * dim, dropout=0.0, activation="gelu", batch_first=True
            )
            for _ in range(layers)
        )
        self.cls_score = nn.Linear(dim, num_classes + 1)
        self.bbox_pred = nn.Linear(dim, 4)
        for layer in (self.cls_score, self.bbox_pred):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, stage: StageOutput, image_sizes: Sequence[tuple[int, int]]) -> StageOutput:
        """The stage's output with refined logits N×(C+1) and deltas N×4; regions as they were."""
        boxes, batch_index = stage.regions.boxes, stage.regions.batch_index
        if not len(boxes):
            return stage
        sizes = torch.tensor(image_sizes).to(boxes.device, non_blocking=True)[batch_index]  # N×2
        x = self.features(stage.features) + self.geometry(
            box_geometry(boxes, sizes).to(stage.features.dtype)
        )
        pages = torch.arange(len(image_sizes), device=batch_index.device)
        count = (batch_index == pages.unsqueeze(1)).sum(1)  # B
        order = torch.argsort(batch_index, stable=True)
        first = count.cumsum(0) - count  # B: where each page starts in that order
        rank = torch.empty_like(batch_index)  # N: the region's number within its page
        rank[order] = (
            torch.arange(len(batch_index), device=batch_index.device) - first[batch_index[order]]
        )
        padded = x.new_zeros(len(image_sizes), int(count.max()), x.shape[1])  # B×M×E
        padded[batch_index, rank] = x
        key_padding_mask = torch.arange(
            padded.shape[1], device=batch_index.device
        ) >= count.unsqueeze(1)  # B×M
        for layer in self.layers:
            padded = layer(padded, src_key_padding_mask=key_padding_mask)
        refined = padded[batch_index, rank]  # N×E
        return replace(
            stage,
            logits=stage.logits + self.cls_score(refined),
            deltas=stage.deltas + self.bbox_pred(refined),
        )


def box_geometry(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Position, size, log size and shape of boxes relative to their page: N×8.

    Args:
        boxes: N×4 pixels. sizes: N×2, (height, width) of each box's page.
    """
    height, width = sizes.to(boxes.dtype).unbind(-1)
    x0, y0, x1, y1 = boxes.unbind(-1)
    w, h = (x1 - x0) / width, (y1 - y0) / height
    log_w, log_h = w.clamp(min=1e-4).log(), h.clamp(min=1e-4).log()
    parts = [x0 / width, y0 / height, x1 / width, y1 / height, w, h, log_w, log_h]
    return torch.stack(parts, dim=-1)
