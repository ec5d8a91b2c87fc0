"""A fusion of your own: the text scales and shifts the visual map (FiLM).

Perez et al., 2018, https://arxiv.org/abs/1709.07871. Name the class in a config and run where
Python can import the file:

    fusion:
      kind: custom_fusion:FiLMFusion
      options: {with_scale: false}

    PYTHONPATH=examples python train.py --config my.yaml

This file run by itself builds a small detector with it and takes one training step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lmv3det.config import from_dict
from lmv3det.model.detector import build_detector
from lmv3det.model.fusion import Fusion
from lmv3det.structures import Batch, Target


class FiLMFusion(Fusion):
    """V · (1 + γ(S)) + β(S), with 1×1 convolutions γ and β that start at zero.

    The base class paints the text: `fuse` gets the visual map V and the text map S of a level, both
    B×C×H×W, and returns the fused map. Override `out_channels` too if its channels are not C.
    """

    def __init__(
        self,
        channels: int,
        levels: Sequence[int],
        reduce: str,
        only_where_text: bool,
        with_scale: bool = True,
    ) -> None:
        """The first four come from the config, for the base class; with_scale from fusion.options:
        without it the text only shifts the map."""
        super().__init__(channels, levels, reduce, only_where_text)
        self.with_scale = with_scale
        self.film = nn.ModuleDict(
            {f"p{level}": nn.Conv2d(channels, 2 * channels, 1) for level in self.levels}
        )
        for convolution in self.film.values():
            assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
            nn.init.zeros_(convolution.weight)
            nn.init.zeros_(convolution.bias)

    def fuse(self, visual: Tensor, text: Tensor, level: int) -> Tensor:
        scale, shift = self.film[f"p{level}"](text).chunk(2, dim=1)  # B×C×H×W each
        return visual * (1 + scale) + shift if self.with_scale else visual + shift


def main() -> None:
    torch.manual_seed(0)
    config = from_dict(
        {
            "model": {"num_classes": 3, "mask_on": False},
            "backbone": {
                "hidden_size": 32,
                "layers": 4,
                "heads": 2,
                "intermediate_size": 64,
                "out_indices": [0, 1, 2, 3],
                "coordinate_size": 6,
                "shape_size": 4,
                "vocab_size": 100,
            },
            "neck": {"out_channels": 32},
            "roi": {"fc_dim": 32, "sampling_ratio": 2},
            "text": {"selection": "first"},
            "fusion": {"kind": f"{__name__}:FiLMFusion", "levels": [4, 5]},
        }
    )
    detector = build_detector(config)
    page = Batch(
        images=torch.randn(1, 3, 96, 128),
        image_sizes=[(96, 128)],
        input_ids=torch.tensor([[5, 9, 7]]),
        text_boxes=torch.tensor([[[100, 100, 450, 130], [100, 150, 450, 180], [0, 0, 90, 40]]]),
        text_mask=torch.ones(1, 3, dtype=torch.bool),
        targets=[Target(torch.tensor([[10.0, 8.0, 60.0, 30.0]]), torch.tensor([1]))],
    )
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-3)
    loss = torch.stack(list(detector.losses(page).values())).sum()
    loss.backward()
    optimizer.step()
    film = detector.fusion.film["p5"].weight  # type: ignore[union-attr, index]
    print(f"{type(detector.fusion).__name__} on levels {detector.fusion.levels}")  # type: ignore[union-attr]
    print(f"loss {loss.item():.3f}; after one step |film.p5| is {film.abs().mean().item():.1e}")
    print(f"{len(detector.eval().predict(page)[0])} detections")


if __name__ == "__main__":
    main()
