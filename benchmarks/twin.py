"""The baselines: the same detector with attention in the published form, and the loop over boxes.

PB-Relax: Ding et al., 2021, https://arxiv.org/abs/2105.13290, section 2.4.

Shapes: B batch, T text tokens, C channels, h heads, d = C/h, L sequence, H×W cells.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from lmv3det.model.attention import Attention
from lmv3det.model.backbone import EncoderLayer, LayoutLMv3
from lmv3det.model.box_grid import cell_ranges
from lmv3det.model.detector import LayoutDetector


class ExplicitAttention(Attention):
    """Attention with the whole B×h×L×L score matrix, relaxed as PB-Relax does.

    In every layer the published model adds a mask (zeros, where all keys are seen) to the scores,
    divides them by α, subtracts the row's maximum, multiplies by α again, and takes the softmax.
    """

    ALPHA = 32.0

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (
            linear(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # B×h×L×d
            for linear in (self.query, self.key, self.value)
        )
        scores = torch.matmul(query / math.sqrt(query.shape[-1]), key.transpose(2, 3))  # B×h×L×L
        scores = scores + _additive(mask, x)
        scaled = scores / self.ALPHA
        relaxed = (scaled - scaled.amax(dim=-1, keepdim=True)) * self.ALPHA
        weights = F.dropout(relaxed.softmax(dim=-1), self.dropout, self.training)
        mixed = torch.matmul(weights, value)  # B×h×L×d
        return self.output(mixed.transpose(1, 2).contiguous().flatten(2))


def _additive(mask: Tensor | None, x: Tensor) -> Tensor:
    if mask is None:
        return x.new_zeros(len(x), 1, 1, x.shape[1])
    if mask.is_floating_point():
        return mask
    return x.new_zeros(mask.shape).masked_fill(~mask, torch.finfo(x.dtype).min)


def make_twin(detector: LayoutDetector) -> LayoutDetector:
    """Turn a detector into its twin, in place: the same weights, explicit attention, and in
    training every layer's activations recomputed in the backward pass, as the original does."""
    encoder = detector.backbone
    assert isinstance(encoder, LayoutLMv3)
    encoder.gradient_checkpointing = True
    for layer in encoder.layers:
        assert isinstance(layer, EncoderLayer)
        given = layer.attention
        explicit = ExplicitAttention(given.query.in_features, given.heads, given.dropout)
        explicit.load_state_dict(given.state_dict())
        layer.attention = explicit.to(given.query.weight.dtype)
    return detector


def scatter_by_loop(text: Tensor, boxes: Tensor, valid: Tensor, height: int, width: int) -> Tensor:
    """The box-to-grid map as a loop over pages and boxes, each adding its feature to a slice.

    The arguments and the result are those of `lmv3det.model.box_grid.scatter`. The cells of all
    boxes are computed at once beforehand, which is faster than box by box.
    """
    ranges = cell_ranges(boxes, height, width).tolist()
    painted = text.new_zeros(len(text), text.shape[2], height, width)
    for page in range(len(text)):
        for token in valid[page].nonzero()[:, 0].tolist():
            x0, y0, x1, y1 = ranges[page][token]
            painted[page, :, y0 : y1 + 1, x0 : x1 + 1] += text[page, token][:, None, None]
    return painted
