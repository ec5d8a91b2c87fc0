"""Which way up a page is: the skew of its lines of text (the angle at which the ink falls into the
sharpest rows or columns), and the quarter turn that `lmv3det.model.orientation` tells of the page
without its skew.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lmv3det.turn import Turn

if TYPE_CHECKING:
    from lmv3det.model.orientation import PageOrientation

MODEL = Path(__file__).parents[1] / "assets" / "orientation" / "model.safetensors"
WHOLE, READING, CROP, CROPS = 256, 1000, 192, 4
"""Pixels of the longer side as a whole and at reading size, of a crop, and how many of these."""
SURE = 0.8
"""A page is turned where the model gives a turn at least this probability."""
MAX_SKEW = 15.0
"""Degrees."""


def find_turn(image: np.ndarray, model: PageOrientation | None = None) -> Turn:
    """How a page is brought upright.

    Args:
        image: H×W×3 uint8 RGB.
        model: tells the quarter turns; None takes that of the package.

    Returns:
        No turn at all where the page does not say which way up it is.
    """
    import torch

    size = image.shape[:2]
    grey = Image.fromarray(image).convert("L")
    scale = READING / max(size)
    if scale < 1:
        grey = grey.resize(
            (max(1, round(size[1] * scale)), max(1, round(size[0] * scale))),
            Image.Resampling.BOX,
            reducing_gap=2.0,
        )
    skew = find_skew(np.asarray(grey))
    if skew:
        fill = int(np.median(np.asarray(grey)))
        grey = grey.rotate(skew, Image.Resampling.BILINEAR, fillcolor=fill)
    whole, crops = looks(np.asarray(grey))
    with torch.inference_mode():
        pages, parts = (torch.from_numpy(x)[None].float() / 255 for x in (whole, crops))
        chances = (model or load_orientation())(pages, parts).softmax(dim=1)[0]
    quarters = int(chances.argmax())
    if float(chances[quarters]) < SURE:
        quarters = 0
    return Turn(quarters, skew, (size[0], size[1]))


@functools.cache
def load_orientation() -> PageOrientation:
    """The model of the package."""
    from safetensors.torch import load_file

    from lmv3det.model.orientation import PageOrientation

    model = PageOrientation()
    model.load_state_dict(load_file(MODEL))
    return model.eval()


def looks(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the model looks at.

    Args:
        grey: H×W uint8, at reading size.

    Returns:
        The whole page 1×S×S and crops K×1×C×C, uint8.
    """
    ground = int(np.median(grey))
    height, width = grey.shape
    scale = WHOLE / max(height, width)
    small = Image.fromarray(grey).resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BOX
    )
    whole = _padded(np.asarray(small), WHOLE, WHOLE, ground)
    rows, columns = max(1, height // CROP), max(1, width // CROP)
    page = _padded(grey, max(height, CROP), max(width, CROP), ground)
    top = (page.shape[0] - rows * CROP) // 2
    left = (page.shape[1] - columns * CROP) // 2
    tiles = page[top : top + rows * CROP, left : left + columns * CROP]
    tiles = tiles.reshape(rows, CROP, columns, CROP).swapaxes(1, 2).reshape(-1, CROP, CROP)
    steps = np.abs(np.diff(tiles.astype(np.int16), axis=2))
    ink = (steps > 40).mean(axis=(1, 2))  # edges: letters have more than pictures
    most = np.argsort(-ink, kind="stable")[:CROPS]
    return whole[None], tiles[np.resize(most, CROPS)][:, None]


def _padded(picture: np.ndarray, height: int, width: int, ground: int) -> np.ndarray:
    """The picture in the middle of a larger one."""
    full = np.full((height, width), ground, dtype=np.uint8)
    y, x = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    full[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return full


def find_skew(grey: np.ndarray, limit: float = MAX_SKEW) -> float:
    """By how many degrees anticlockwise a page is turned for its lines to lie level, or upright.

    The ink is projected across each angle; the sum of squared steps between neighbouring rows is
    largest where lines and gaps are sharpest (Postl, 1986; Bloomberg, Kopec and Dasari, 1995,
    Measuring document image skew and orientation).

    Args:
        grey: H×W uint8.
        limit: largest skew looked for, degrees.

    Returns:
        0 where less than a fifth of a degree, or where no angle is clearly the best.
    """
    points = _ink(grey)
    if len(points) < 200:
        return 0.0
    coarse = np.arange(-limit, limit + 0.25, 0.5)
    sharp = _sharpness(points, coarse)
    best = coarse[sharp.argmax()]
    fine = np.arange(best - 0.5, best + 0.55, 0.1)
    sharper = _sharpness(points, fine)
    skew = float(fine[sharper.argmax()])
    if sharper.max() < CLEAR * np.median(sharp) or abs(skew) < 0.2 or abs(skew) > limit:
        return 0.0
    return round(skew, 2)


CLEAR = 1.5
"""The best angle's sharpness over that of most angles, from which it counts."""
MOST_POINTS = 20000


def _ink(grey: np.ndarray) -> np.ndarray:
    """P×2 (x, y) of the pixels that are clearly darker or lighter than those below or beside them,
    measured from the page's middle; a regular sample of them where there are many."""
    values = grey.astype(np.int16)
    edges = np.zeros(grey.shape, dtype=bool)
    edges[:-1] |= values[:-1] - values[1:] > 40
    edges[:, :-1] |= values[:, :-1] - values[:, 1:] > 40
    y, x = np.nonzero(edges)
    step = max(1, -(-len(x) // MOST_POINTS))
    points = np.stack([x, y], axis=1)[::step].astype(np.float64)
    return points - np.array(grey.shape[::-1]) / 2


def _sharpness(points: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """How sharp the rows or columns of points are after each turn, whichever are sharper."""
    reach = int(np.abs(points).sum(axis=1).max()) + 2
    found = np.empty(len(angles))
    for k, angle in enumerate(np.radians(angles)):
        s, c = np.sin(angle), np.cos(angle)
        rows = points[:, 1] * c - points[:, 0] * s
        columns = points[:, 0] * c + points[:, 1] * s
        found[k] = max(
            np.square(np.diff(np.bincount((along + reach).astype(np.int64)))).sum()
            for along in (rows, columns)
        )
    return found


def turn_masks_back(masks: Any, upright: np.ndarray, boxes: np.ndarray, turn: Turn) -> Any:
    """Masks within boxes of the upright page as masks within the boxes of the page as it came.

    Args:
        masks: N×M×M probabilities, tensor or array.
        upright: N×4, the boxes of the upright page.
        boxes: N×4, those of the page, around the former.
        turn: how the page was turned.

    Returns:
        N×M×M of the same kind.
    """
    import torch
    import torch.nn.functional as F

    values = torch.from_numpy(masks) if isinstance(masks, np.ndarray) else masks
    side = values.shape[-1]
    cells = (np.arange(side) + 0.5) / side
    places = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 2)  # M²×2 (x, y)
    points = boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])  # N×M²×2
    inverse = np.linalg.inv(np.vstack([turn.matrix, [0, 0, 1]]))[:2]
    points = points @ inverse[:, :2].T + inverse[:, 2]
    sizes = (upright[:, None, 2:] - upright[:, None, :2]).clip(min=1e-9)
    grid = (points - upright[:, None, :2]) / sizes * 2 - 1
    grid = values.new_tensor(grid.reshape(-1, side, side, 2), dtype=torch.float32)
    back = F.grid_sample(values[:, None].float(), grid, align_corners=False)[:, 0].to(values.dtype)
    return back.numpy() if isinstance(masks, np.ndarray) else back
