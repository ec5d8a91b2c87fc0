"""Which way up a page is: a small network that knows an upright page when it sees one.

It scores the page in each of its four quarter turns; the turn that looks most upright wins. So a
turned page gives the turned answer by construction, and one network learns from all four.

Shapes: N pages, S pixels of a side of the whole page, K crops of C pixels at reading size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TURNS = 4
WIDTHS = (16, 32, 48, 64, 96)


class UprightScore(nn.Module):
    """How upright a square picture looks: five strided convolutions, mean and max over the places.

    Args:
        widths: channels of each convolution; each halves the picture.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        last = 1
        for width in widths:
            layers.append(_convolution(last, width, stride=2))
            last = width
        self.layers = nn.Sequential(*layers, _convolution(last, last))
        self.score = nn.Linear(2 * last, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """N×1×S×S floats in 0..1 → N scores."""
        maps = self.layers(pictures - 0.5)
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)  # N×2C
        return self.score(pooled)[:, 0]


class PageOrientation(nn.Module):
    """How upright a page looks in each of its four quarter turns.

    A look at the whole page sees its layout (ragged right sides, short last lines, heads and page
    numbers), a look at crops of reading size sees its letters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.whole = UprightScore()
        self.crop = UprightScore()

    def forward(self, pages: Tensor, crops: Tensor) -> Tensor:
        """Logits of the four turns: entry k is of the page turned k times by 90° anticlockwise.

        Args:
            pages: N×1×S×S floats in 0..1 (grey, 1 is white).
            crops: N×K×1×C×C of the same pages, where there is most ink.

        Returns:
            N×4.
        """
        return self.of_pages(pages) + self.of_crops(crops)

    def of_pages(self, pages: Tensor) -> Tensor:
        """The part of the whole page, N×4."""
        return _of_turns(self.whole, pages)

    def of_crops(self, crops: Tensor) -> Tensor:
        """The part of the crops, N×4: the mean over them."""
        scores = _of_turns(self.crop, crops.flatten(0, 1))  # (N·K)×4
        return scores.view(*crops.shape[:2], TURNS).mean(dim=1)


def _of_turns(score: nn.Module, pictures: Tensor) -> Tensor:
    """N×4 scores of N×1×S×S pictures in their four quarter turns."""
    turned = torch.cat([torch.rot90(pictures, k, (2, 3)) for k in range(TURNS)])
    return score(turned).view(TURNS, -1).T


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
