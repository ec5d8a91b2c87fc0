"""Self-attention and its relative biases.

Shapes: B batch, L tokens, C hidden size, h heads, d = C/h.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention; scores and biases are both divided by √d."""

    def __init__(self, hidden_size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x: B×L×C; mask: added to the scaled scores (float), or True where a key is seen (bool),
        broadcast to B×h×L×L; None sees everything."""
        query, key, value = (
            linear(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # B×h×L×d
            for linear in (self.query, self.key, self.value)
        )
        dropout = self.dropout if self.training else 0.0
        if mask is not None and mask.is_floating_point():
            mask = mask.to(query.dtype)
        if dropout and query.device.type == "cpu":  # torch has no fused kernel for this case
            mixed = chunked_attention(query, key, value, mask, dropout)
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout)  # B×h×L×d
        return self.output(mixed.transpose(1, 2).flatten(2))  # B×L×C


def chunked_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, rows: int = 128
) -> Tensor:
    """Attention with dropout on a CPU, `rows` queries at a time, computed again in the backward
    pass, so that the whole score matrix never exists.

    Args:
        query: B×h×L×d.
        key: as `query`.
        value: as `query`.
        mask: as in `Attention.forward`.
        dropout: probability to drop an attention weight; kept ones grow by 1 / (1 - dropout).

    Returns:
        B×h×L×d.
    """
    seed = int(torch.randint(2**62, (1,)))
    scaled = query * query.shape[-1] ** -0.5
    return _ChunkedAttention.apply(scaled, key, value, mask, dropout, rows, seed)


class _ChunkedAttention(torch.autograd.Function):
    """Scores, softmax and dropout of a block of rows are made in place, twice: forward and in the
    backward pass, where the same seed draws the same dropout."""

    @staticmethod
    def forward(ctx, query, key, value, mask, dropout, rows, seed):
        ctx.save_for_backward(query, key, value, mask)
        ctx.dropout, ctx.rows, ctx.seed = dropout, rows, seed
        mixed = torch.empty_like(query, memory_format=torch.contiguous_format)
        with torch.autocast("cpu", enabled=False):
            for block, weights, dropped in _chunks(ctx, query, key, mask):
                mixed[:, :, block] = weights.masked_fill_(dropped, 0.0) @ value
        return mixed.div_(1 - dropout)

    @staticmethod
    def backward(ctx, grad):
        query, key, value, mask = ctx.saved_tensors
        grad_query, grad_key, grad_value = map(torch.zeros_like, (query, key, value))
        grad_mask = torch.zeros_like(mask) if ctx.needs_input_grad[3] else None
        with torch.autocast("cpu", enabled=False):
            grad = grad / (1 - ctx.dropout)
            for block, weights, dropped in _chunks(ctx, query, key, mask):
                of_block = grad[:, :, block]  # B×h×rows×d
                of_scores = (of_block @ value.transpose(2, 3)).masked_fill_(dropped, 0.0)
                # Softmax: w · (g - Σ w·g), here with the weights before dropout.
                of_scores.mul_(weights)
                of_scores.sub_(weights * of_scores.sum(-1, keepdim=True))
                grad_query[:, :, block] = of_scores @ key
                grad_key += of_scores.transpose(2, 3) @ query[:, :, block]
                grad_value += weights.masked_fill_(dropped, 0.0).transpose(2, 3) @ of_block
                if grad_mask is not None:
                    part = grad_mask if mask.shape[-2] == 1 else grad_mask[..., block, :]
                    part += of_scores.sum_to_size(part.shape)
        return grad_query, grad_key, grad_value, grad_mask, None, None, None


def _chunks(
    ctx, query: Tensor, key: Tensor, mask: Tensor | None
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """For each block of rows: its place, the weights before dropout, B×h×rows×L, and which of
    them are dropped."""
    generator = torch.Generator().manual_seed(ctx.seed)
    limit = round(ctx.dropout * 2**16) - 2**15
    for first in range(0, query.shape[2], ctx.rows):
        block = slice(first, first + ctx.rows)
        scores = query[:, :, block] @ key.transpose(2, 3)
        if mask is not None:
            part = mask if mask.shape[-2] == 1 else mask[..., block, :]
            additive = part.is_floating_point()
            scores = scores.add_(part) if additive else scores.masked_fill_(~part, float("-inf"))
        weights = torch.softmax(scores, dim=-1, out=scores)
        # 16 random bits a weight: drawing floats takes longer than both products.
        bits = torch.empty(-(-weights.numel() // 4), dtype=torch.int64)
        drawn = bits.random_(-(2**63), None, generator=generator).view(torch.int16)
        yield block, weights, drawn[: weights.numel()].view_as(weights) < limit


def relative_bucket(distance: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """Bucket numbers of signed distances (key minus query), as in T5 (Raffel et al., 2020, §2.1).

    Half of the buckets are for positive distances; in each half, small distances have a bucket
    each, larger ones share logarithmically wider buckets up to `max_distance`.

    Args:
        distance: int64 of any shape.

    Returns:
        int64 of the same shape, 0 … num_buckets - 1.
    """
    half = num_buckets // 2
    exact = half // 2
    length = distance.abs()
    ratio = torch.log(length.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    wide = (exact + (ratio * (half - exact)).long()).clamp(max=half - 1)
    return (distance > 0).long() * half + torch.where(length < exact, length, wide)


class RelativeBias(nn.Module):
    """One learnt number for each head and bucket of distance, looked up for every pair."""

    def __init__(self, heads: int, num_buckets: int, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        self.weight = nn.Parameter(torch.zeros(heads, num_buckets))

    def forward(self, positions: Tensor) -> Tensor:
        """positions: …×L int64 → bias …×h×L×L (not yet divided by √d)."""
        distance = positions.unsqueeze(-2) - positions.unsqueeze(-1)  # …×L×L: key minus query
        buckets = relative_bucket(distance, self.weight.shape[1], self.max_distance)
        bias = F.embedding(buckets, self.weight.t())  # …×L×L×h
        return bias.transpose(-1, -2).transpose(-2, -3)  # ONNX has no movedim from the end
