"""Text features on the visual maps: the box-to-grid map and the fusions.

VSR: Zhang et al., 2021, https://arxiv.org/abs/2105.06220, section 3.3 (adaptive aggregation).

Shapes: B batch, T text tokens, C hidden size, H×W cells of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmv3det.model.backbone import TextEmbedding, initialise
from lmv3det.model.box_grid import count_boxes, scatter


class Fusion(nn.Module):
    """Base of all fusions: paints the text on the chosen levels and joins it with the visual map.

    A fusion of your own overrides `fuse`, and `out_channels` where it changes the channels. It is
    built with channels and, as keyword arguments, levels, reduce, only_where_text and what
    `fusion.options` holds.
    """

    def __init__(
        self,
        channels: int,
        levels: Sequence[int] = (5,),
        reduce: str = "sum",
        only_where_text: bool = False,
    ) -> None:
        """
        Args:
            channels: C of the visual maps and of the text states.
            levels: pyramid levels 2 … 5 that are fused.
            reduce: `sum` or `mean` of the boxes that cover a cell.
            only_where_text: leave the visual map as it is where no text covers a cell.
        """
        super().__init__()
        self.channels = channels
        self.levels = tuple(levels)
        self.reduce = reduce
        self.only_where_text = only_where_text

    def out_channels(self) -> list[int]:
        """Channels of the maps of levels 2, 3, 4, 5 after the fusion."""
        return [self.channels] * 4

    def fuse(self, visual: Tensor, text: Tensor, level: int) -> Tensor:
        """Join the visual map and the text map of a level, both B×C×H×W."""
        raise TypeError(f"{type(self).__name__} must override fuse(visual, text, level)")

    def forward(
        self, maps: Sequence[Tensor], text: Sequence[Tensor] | None, boxes: Tensor, valid: Tensor
    ) -> tuple[list[Tensor], list[Tensor] | None]:
        """Fuse a batch.

        Args:
            maps: the four visual maps, strides 4, 8, 16, 32.
            text: the text states B×T×C of the same four encoder layers; None without text.
            boxes: B×T×4 on the 0..1000 grid of the (padded) network input.
            valid: B×T bool.

        Returns:
            The four fused maps, and text maps for the ROI heads (None but for `roi`).
        """
        fused = list(maps)
        for level in self.levels:
            visual = fused[level - 2]
            painted = self.paint(visual, text, boxes, valid, level)
            joined = self.fuse(visual, painted, level)
            if self.only_where_text:
                covered = count_boxes(boxes, valid, visual.shape[2], visual.shape[3]) > 0
                joined = torch.where(covered, joined, self.unfused(visual))
            fused[level - 2] = joined
        return fused, None

    def paint(
        self,
        visual: Tensor,
        text: Sequence[Tensor] | None,
        boxes: Tensor,
        valid: Tensor,
        level: int,
    ) -> Tensor:
        """The text map of a level, B×C×H×W in the visual map's dtype; zeros without text."""
        if text is None:
            return torch.zeros_like(visual)
        height, width = visual.shape[2:]
        painted = scatter(text[level - 2], boxes, valid, height, width, self.reduce)
        return painted.to(visual.dtype)

    def unfused(self, visual: Tensor) -> Tensor:
        """The fused map where no text is, with `only_where_text`: the visual map."""
        return visual


def _even(conv: nn.Conv2d) -> nn.Conv2d:
    """Start near score 0, a weight of ½ in every cell. From torch's default the scores are noise of
    the text map's magnitude, which weighs neighbouring cells at random until they are trained."""
    nn.init.normal_(conv.weight, std=0.001)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


class AdditiveFusion(Fusion):
    """AF1: V + S."""

    def fuse(self, visual: Tensor, text: Tensor, level: int) -> Tensor:
        return visual + text


class GatedFusion(Fusion):
    """AF2: g·V + (1 - g)·S with g = σ(ReLU(conv3×3(V + S))), one weight for each cell.

    The ReLU keeps g at ½ or more, so that vision dominates; `gate_relu=False` frees it.
    """

    def __init__(
        self,
        channels: int,
        levels: Sequence[int] = (5,),
        reduce: str = "sum",
        only_where_text: bool = False,
        gate_relu: bool = True,
    ) -> None:
        super().__init__(channels, levels, reduce, only_where_text)
        self.gate_relu = gate_relu
        self.gate = nn.ModuleDict(
            {f"p{level}": _even(nn.Conv2d(self.channels, 1, 3, padding=1)) for level in self.levels}
        )

    def fuse(self, visual: Tensor, text: Tensor, level: int) -> Tensor:
        score = self.gate[f"p{level}"](visual + text)  # B×1×H×W
        weight = torch.sigmoid(F.relu(score) if self.gate_relu else score)
        return torch.lerp(text, visual, weight.to(visual.dtype))


class VSRFusion(Fusion):
    """Adaptive aggregation: a·V + (1 - a)·S, a = σ(conv([V; S])), one weight a cell and channel."""

    def __init__(
        self,
        channels: int,
        levels: Sequence[int] = (5,),
        reduce: str = "sum",
        only_where_text: bool = False,
    ) -> None:
        super().__init__(channels, levels, reduce, only_where_text)
        self.attention = nn.ModuleDict(
            {
                f"p{level}": _even(nn.Conv2d(2 * self.channels, self.channels, 3, padding=1))
                for level in self.levels
            }
        )

    def fuse(self, visual: Tensor, text: Tensor, level: int) -> Tensor:
        weight = torch.sigmoid(self.attention[f"p{level}"](torch.cat([visual, text], dim=1)))
        return torch.lerp(text, visual, weight.to(visual.dtype))


class ConcatFusion(Fusion):
    """[V; S] on the channels; the level's lateral convolution takes 2C."""

    def out_channels(self) -> list[int]:
        return [self.channels * (2 if level in self.levels else 1) for level in (2, 3, 4, 5)]

    def fuse(self, visual: Tensor, text: Tensor, level: int) -> Tensor:
        return torch.cat([visual, text], dim=1)

    def unfused(self, visual: Tensor) -> Tensor:
        return torch.cat([visual, torch.zeros_like(visual)], dim=1)


class ROIFusion(Fusion):
    """The visual maps stay; the text maps go to the ROI heads, which pool them for each region."""

    def forward(self, maps, text, boxes, valid):
        painted = [self.paint(maps[level - 2], text, boxes, valid, level) for level in self.levels]
        return list(maps), painted


FUSIONS: dict[str, type[Fusion]] = {
    "additive": AdditiveFusion,
    "gated": GatedFusion,
    "vsr": VSRFusion,
    "concat": ConcatFusion,
    "roi": ROIFusion,
}


class TextStates(nn.Module):
    """The tokens' embeddings, in the place of the text states of an encoder that reads no text."""

    def __init__(self, embedding: TextEmbedding, channels: int) -> None:
        """channels: C of the visual maps, to which a linear layer brings the embeddings."""
        super().__init__()
        self.embedding = embedding
        self.projection = nn.Linear(embedding.word.embedding_dim, channels)
        sentence = embedding.sentence
        self.apply(initialise)
        embedding.sentence = sentence

    def forward(self, input_ids: Tensor, text_boxes: Tensor | None) -> list[Tensor]:
        """input_ids: B×T or B×T×K; text_boxes: B×T×4 → B×T×C, once for each of the four maps."""
        states = self.projection(self.embedding(input_ids, text_boxes))
        return [states] * 4


class ROITextPooler(nn.Module):
    """A region's text feature: ROIAlign over the text maps, mean, one linear layer a level."""

    def __init__(self, poolers: Sequence[nn.Module], channels: int, out_features: int) -> None:
        """poolers: one for each text map, (maps, boxes, batch_index) → N×C×P×P."""
        super().__init__()
        self.poolers = nn.ModuleList(poolers)
        self.projections = nn.ModuleList(nn.Linear(channels, out_features) for _ in poolers)

    def forward(self, text_maps: Sequence[Tensor], boxes: Tensor, batch_index: Tensor) -> Tensor:
        """boxes: N×4 pixels; batch_index: N int64 → N×out_features."""
        parts = []
        for text_map, pooler, projection in zip(
            text_maps, self.poolers, self.projections, strict=True
        ):
            pooled = pooler([text_map], boxes, batch_index).mean(dim=(2, 3))  # N×C
            parts.append(projection(pooled.to(projection.weight.dtype)))
        return F.relu(torch.stack(parts).sum(0))
