"""The LayoutLMv3 encoder over text and patches.

LayoutLMv3: Huang et al., 2022, https://arxiv.org/abs/2204.08387, section 3.

Shapes: B batch, T text tokens, K word pieces of a slot, Hp×Wp patches, P = Hp·Wp, C hidden size,
h heads, d = C/h, L = T + 1 + P the length of the joint sequence [text, class token, patches].
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

from lmv3det.model.attention import Attention, RelativeBias
from lmv3det.model.backbone_base import Backbone, Features
from lmv3det.model.stem import ConvStem

PATCH_SIZE = 16
"""Side of a patch in pixels; the strides of the pyramid follow from it."""
_LAYER = re.compile(r"layers\.(\d+)\.")


class SentenceEncoder(nn.Module):
    """The embedding of a line from those of its word pieces: their mean.

    An encoder of your own derives from this class, is built with `hidden_size` and overrides
    `forward`; `text.sentence_encoder: module:Class` names it.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size

    def forward(self, pieces: Tensor, real: Tensor) -> Tensor:
        """pieces: B×T×K×C word embeddings; real: B×T×K bool, False for padding → B×T×C, which must
        be finite for lines without pieces too."""
        weights = real.unsqueeze(-1).to(pieces.dtype)  # B×T×K×1
        return (pieces * weights).sum(2) / weights.sum(2).clamp(min=1)


class TextEmbedding(nn.Module):
    """Word + token type + 1D position + 2D layout embedding, then LayerNorm and dropout."""

    def __init__(
        self,
        hidden_size: int,
        vocab_size: int,
        max_positions: int,
        max_2d_positions: int,
        coordinate_size: int,
        shape_size: int,
        type_vocab_size: int,
        pad_token_id: int,
        layer_norm_eps: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.pad_token_id = pad_token_id
        self.sentence = SentenceEncoder(hidden_size)
        self.word = nn.Embedding(vocab_size, hidden_size, padding_idx=pad_token_id)
        self.token_type = nn.Embedding(type_vocab_size, hidden_size)
        self.position = nn.Embedding(max_positions, hidden_size, padding_idx=pad_token_id)
        self.x = nn.Embedding(max_2d_positions, coordinate_size)
        self.y = nn.Embedding(max_2d_positions, coordinate_size)
        self.height = nn.Embedding(max_2d_positions, shape_size)
        self.width = nn.Embedding(max_2d_positions, shape_size)
        self.norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: Tensor, text_boxes: Tensor) -> Tensor:
        """Embed the tokens of a batch.

        Args:
            input_ids: B×T int64, or B×T×K int64 where a slot is a line of K word pieces, whose
                embedding the sentence encoder makes.
            text_boxes: B×T×4 int64, x0 y0 x1 y1 on the page's 0..1000 grid.

        Returns:
            B×T×C.
        """
        real = input_ids != self.pad_token_id
        words = self.word(input_ids)  # B×T×C or B×T×K×C
        if input_ids.dim() == 3:
            words = self.sentence(words, real)  # B×T×C
            real = real.any(-1)  # B×T
        positions = real.long().cumsum(1) * real + self.pad_token_id  # B×T
        x0, y0, x1, y1 = text_boxes.unbind(-1)  # B×T each
        longest = self.height.num_embeddings - 1
        layout = torch.cat(
            [
                self.x(x0),
                self.y(y0),
                self.x(x1),
                self.y(y1),
                self.height((y1 - y0).clamp(0, longest)),
                self.width((x1 - x0).clamp(0, longest)),
            ],
            dim=-1,
        )  # B×T×C
        token_type = self.token_type.weight[0]  # C
        return self.dropout(self.norm(words + token_type + self.position(positions) + layout))


class EncoderLayer(nn.Module):
    """A post-norm transformer layer with exact GELU."""

    def __init__(
        self,
        hidden_size: int,
        heads: int,
        intermediate_size: int,
        layer_norm_eps: float,
        dropout: float,
        attention_dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.attention = Attention(hidden_size, heads, attention_dropout)
        self.attention_norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.intermediate = nn.Linear(hidden_size, intermediate_size)
        self.output = nn.Linear(intermediate_size, hidden_size)
        self.output_norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.drop_path = StochasticDepth(drop_path, "row") if drop_path else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention_norm(x + self.drop_path(self.dropout(self.attention(x, mask))))
        hidden = self.intermediate(x)  # B×L×4C
        if self.training and torch.is_grad_enabled():
            # The activation is made again in the backward pass, not kept beside `hidden`.
            hidden = checkpoint(
                self._activate, hidden, use_reentrant=False, preserve_rng_state=False
            )
        else:
            hidden = self._activate(hidden)
        return self.output_norm(x + self.drop_path(self.dropout(hidden)))

    def _activate(self, hidden: Tensor) -> Tensor:
        return self.output(F.gelu(hidden))


class LayoutLMv3(Backbone):
    """The encoder: text and patches in, the hidden states of four layers out.

    With `use_text=False` there are no text tables and only images are taken.
    """

    def __init__(
        self,
        hidden_size: int = 768,
        layers: int = 12,
        heads: int = 12,
        intermediate_size: int = 3072,
        input_size: int = 224,
        out_indices: Sequence[int] = (3, 5, 7, 11),
        use_text: bool = False,
        coordinate_size: int = 128,
        shape_size: int = 128,
        vocab_size: int = 50265,
        max_positions: int = 514,
        max_2d_positions: int = 1024,
        type_vocab_size: int = 1,
        pad_token_id: int = 1,
        layer_norm_eps: float = 1e-5,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        drop_path: float = 0.0,
        relative_bias: bool = False,
        spatial_bias: bool = False,
        relative_buckets: int = 32,
        relative_max_distance: int = 128,
        spatial_buckets: int = 64,
        spatial_max_distance: int = 256,
        gradient_checkpointing: bool = False,
        mask_padding: bool = False,
        stem: str = "patch",
        stem_channels: Sequence[int] = (48, 96, 192),
        stem_blocks: int = 1,
        size_divisibility: int = 32,
        sentence_encoder: SentenceEncoder | None = None,
    ) -> None:
        super().__init__()
        self.out_indices = tuple(out_indices)
        self.out_channels, self.strides = [hidden_size] * 4, [PATCH_SIZE] * 4
        if stem == "conv":
            self.out_channels[:2], self.strides[:2] = stem_channels[:2], (4, 8)
        self.text_channels = hidden_size if use_text else 0
        self.gradient_checkpointing = gradient_checkpointing
        self.mask_padding = mask_padding
        self.size_divisibility = size_divisibility
        self.heads = heads
        side = input_size // PATCH_SIZE
        self.patch_embedding: nn.Module = nn.Conv2d(3, hidden_size, PATCH_SIZE, PATCH_SIZE)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, hidden_size))
        self.position_table = nn.Parameter(torch.zeros(1, 1 + side * side, hidden_size))
        self.visual_norm = nn.LayerNorm(hidden_size, eps=1e-6)
        self.text_embedding = (
            TextEmbedding(
                hidden_size,
                vocab_size,
                max_positions,
                max_2d_positions,
                coordinate_size,
                shape_size,
                type_vocab_size,
                pad_token_id,
                layer_norm_eps,
                dropout,
            )
            if use_text
            else None
        )
        self.joint_norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)
        rates = [drop_path * n / max(1, layers - 1) for n in range(layers)]
        self.layers = nn.ModuleList(
            EncoderLayer(
                hidden_size,
                heads,
                intermediate_size,
                layer_norm_eps,
                dropout,
                attention_dropout,
                rate,
            )
            for rate in rates
        )
        spatial = (heads, spatial_buckets, spatial_max_distance)
        self.relative_bias = (
            RelativeBias(heads, relative_buckets, relative_max_distance) if relative_bias else None
        )
        self.spatial_bias_x = RelativeBias(*spatial) if spatial_bias else None
        self.spatial_bias_y = RelativeBias(*spatial) if spatial_bias else None
        self.apply(initialise)
        if self.text_embedding is not None and sentence_encoder is not None:
            self.text_embedding.sentence = sentence_encoder  # keeps its own initial values
        if stem == "conv":
            self.patch_embedding = ConvStem(hidden_size, stem_channels, stem_blocks)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.position_table, std=0.02)

    def forward(
        self,
        images: Tensor,
        input_ids: Tensor | None = None,
        text_boxes: Tensor | None = None,
        text_mask: Tensor | None = None,
        image_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> Features:
        """Encode a batch.

        Args:
            images: B×3×H×W, normalised; H and W multiples of `PATCH_SIZE`.
            input_ids: B×T or B×T×K int64; None (or T = 0) without text.
            text_boxes: B×T×4 int64 on the page's 0..1000 grid.
            text_mask: B×T bool, True for a real token; None sees all tokens.
            image_sizes: (height, width) of each page before padding; read by `mask_padding` alone.

        Returns:
            The visual states after the layers `out_indices`, each B×C×Hp×Wp, and the text states
            after the same layers, each B×T×C; None without text. With a convolutional stem, its
            maps of strides 4 and 8 replace the first two visual states.
        """
        patches, fine = self.patches(images)
        x, text_length, grid = self.embed(patches, input_ids, text_boxes, image_sizes)
        mask = self.attention_mask(x, text_length, grid, text_boxes, text_mask, image_sizes)
        visual, text = [], []
        for number, layer in enumerate(self.layers):
            if self.gradient_checkpointing and self.training:
                x = checkpoint(layer, x, mask, use_reentrant=False)
            else:
                x = layer(x, mask)  # B×L×C
            if number in self.out_indices:
                patches = x[:, text_length + 1 :].transpose(1, 2)  # B×C×P
                visual.append(patches.reshape(*patches.shape[:2], *grid))  # B×C×Hp×Wp
                text.append(x[:, :text_length])  # B×T×C
        visual[: len(fine)] = fine
        return Features(visual, text if text_length else None)

    def layer_of(self, name: str) -> int:
        """0 for what is embedded, then the transformer layers from 1."""
        layer = _LAYER.match(name)
        return int(layer[1]) + 1 if layer else 0

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        self.gradient_checkpointing = enabled

    def patches(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The patches B×C×Hp×Wp, and a convolutional stem's maps of strides 4 and 8."""
        if isinstance(self.patch_embedding, ConvStem):
            *fine, patches = self.patch_embedding(images)
            return patches, fine
        return self.patch_embedding(images), []

    def embed(
        self,
        patches: Tensor,
        input_ids: Tensor | None,
        text_boxes: Tensor | None,
        image_sizes: Sequence[tuple[int, int]] | None,
    ) -> tuple[Tensor, int, tuple[int, int]]:
        """The joint sequence B×L×C that enters the first layer, T, and (Hp, Wp).

        patches: B×C×Hp×Wp.
        """
        grid = (patches.shape[2], patches.shape[3])
        patches = patches.flatten(2).transpose(1, 2)  # B×P×C
        cls = self.cls_token.expand(len(patches), -1, -1)  # B×1×C
        x = torch.cat([cls, patches], dim=1)  # B×(1+P)×C
        x = self.visual_norm(x + self._positions(grid, image_sizes).to(x.dtype))
        text_length = 0
        if input_ids is not None and input_ids.shape[1] > 0:
            if self.text_embedding is None:
                raise ValueError("text was given to an encoder built with use_text=False")
            text_length = input_ids.shape[1]
            x = torch.cat([self.text_embedding(input_ids, text_boxes).to(x.dtype), x], dim=1)
        return self.dropout(self.joint_norm(x)), text_length, grid

    def attention_mask(
        self,
        x: Tensor,
        text_length: int,
        grid: tuple[int, int],
        text_boxes: Tensor | None,
        text_mask: Tensor | None,
        image_sizes: Sequence[tuple[int, int]] | None,
    ) -> Tensor | None:
        """What is added to the scaled scores, or which keys are seen; None where all are.

        A bias makes this a B×h×L×L tensor, built once and shared by all layers; without one it is
        B×1×1×L.
        """
        seen = self._seen_keys(x, text_length, grid, text_mask, image_sizes)  # B×1×1×L or None
        if self.relative_bias is None and self.spatial_bias_x is None:
            return seen
        scale = 1 / math.sqrt(x.shape[2] / self.heads)
        bias = x.new_zeros(1, 1, 1, 1)
        visual_length = 1 + grid[0] * grid[1]
        if self.relative_bias is not None:
            positions = torch.cat(
                [torch.arange(n, device=x.device) for n in (text_length, visual_length)]
            )  # L
            bias = bias + self.relative_bias(positions).unsqueeze(0)  # 1×h×L×L
        if self.spatial_bias_x is not None and self.spatial_bias_y is not None:
            boxes = visual_boxes(grid, x.device).expand(len(x), -1, -1)  # B×(1+P)×4
            if text_length and text_boxes is not None:
                boxes = torch.cat([text_boxes, boxes], dim=1)  # B×L×4
            bias = bias + self.spatial_bias_x(boxes[..., 0]) + self.spatial_bias_y(boxes[..., 3])
        bias = bias * scale
        return bias if seen is None else bias.masked_fill(~seen, float("-inf"))

    def _seen_keys(self, x, text_length, grid, text_mask, image_sizes) -> Tensor | None:
        pad_patches = self.mask_padding and image_sizes is not None
        if not pad_patches and (not text_length or text_mask is None):
            return None
        seen = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)  # B×L
        if text_length and text_mask is not None:
            seen[:, :text_length] = text_mask
        if pad_patches:
            own = torch.tensor([self._own_grid(size, grid) for size in image_sizes])  # B×2, host
            own = own.to(x.device, non_blocking=True)
            rows = torch.arange(grid[0], device=x.device) < own[:, :1]  # B×Hp
            columns = torch.arange(grid[1], device=x.device) < own[:, 1:]  # B×Wp
            inside = rows.unsqueeze(2) & columns.unsqueeze(1)  # B×Hp×Wp
            seen[:, text_length + 1 :] = inside.flatten(1)
        return seen[:, None, None, :]

    def _own_grid(self, size: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
        """The patch grid that a page would have alone."""
        unit = self.size_divisibility
        rows, columns = (-(-side // unit) * unit // PATCH_SIZE for side in size)
        return min(rows, grid[0]), min(columns, grid[1])

    def _positions(
        self, grid: tuple[int, int], image_sizes: Sequence[tuple[int, int]] | None
    ) -> Tensor:
        """The position embeddings, 1×(1+P)×C, or B×(1+P)×C where padding is masked: then each
        page has the table of its own grid, so that it is the same alone and in a batch."""
        if not self.mask_padding or image_sizes is None:
            return self._position_grid(grid)
        tables = []
        for own in (self._own_grid(size, grid) for size in image_sizes):
            table = self._position_grid(own)[0]  # (1+own P)×C
            patches = table[1:].unflatten(0, own)  # own Hp×own Wp×C
            patches = F.pad(patches, (0, 0, 0, grid[1] - own[1], 0, grid[0] - own[0]))
            tables.append(torch.cat([table[:1], patches.flatten(0, 1)]))
        return torch.stack(tables)

    def _position_grid(self, grid: tuple[int, int]) -> Tensor:
        """The learnt table resized bicubically to (Hp, Wp), with the class token's row in front."""
        table = self.position_table
        side = math.isqrt(table.shape[1] - 1)
        if grid == (side, side):
            return table
        patches = table[:, 1:].transpose(1, 2).unflatten(2, (side, side))  # 1×C×14×14
        patches = F.interpolate(patches, size=grid, mode="bicubic", align_corners=False)
        return torch.cat([table[:, :1], patches.flatten(2).transpose(1, 2)], dim=1)


def visual_boxes(grid: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Boxes of the class token and the patches, (1+P)×4 int64 on the 0..1000 grid, rows first."""
    rows, columns = (torch.arange(n + 1, device=device) * 1000 // n for n in grid)
    y0, x0 = torch.meshgrid(rows[:-1], columns[:-1], indexing="ij")  # Hp×Wp
    y1, x1 = torch.meshgrid(rows[1:], columns[1:], indexing="ij")
    patches = torch.stack([x0, y0, x1, y1], dim=-1).flatten(0, 1)  # P×4
    cls = torch.tensor([[1, 1, 999, 999]]).to(patches.device, non_blocking=True)
    return torch.cat([cls, patches])


def initialise(module: nn.Module) -> None:
    """Initial values of a layer, as BERT's."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    elif isinstance(module, nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.padding_idx is not None:
            with torch.no_grad():
                module.weight[module.padding_idx].zero_()
