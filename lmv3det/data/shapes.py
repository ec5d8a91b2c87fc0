"""Shapes that annotation tools draw, as corners in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lmv3det.files import are_numbers

_ELLIPSE = 64
"""Corners of the polygon that an ellipse becomes."""


def read_points(points: Any) -> np.ndarray | None:
    """K×2 float64 of a list of x, y pairs; None where it is none."""
    if not isinstance(points, list) or not points:
        return None
    if not all(isinstance(p, list) and len(p) == 2 and are_numbers(p) for p in points):
        return None
    return np.array(points, dtype=np.float64)


def turned_box(
    box: Sequence[float], degrees: float, centre: Sequence[float] | None = None
) -> np.ndarray:
    """The 4×2 corners of a box that was turned clockwise.

    Args:
        box: x, y, width, height before.
        degrees: the angle.
        centre: x, y of the point that stays; None: the middle of the box.
    """
    x, y, w, h = box
    corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    fixed = np.array([x + w / 2, y + h / 2] if centre is None else centre)
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    return (corners - fixed) @ np.array([[cosine, sine], [-sine, cosine]]) + fixed


def ellipse(centre: Sequence[float], radii: Sequence[float], degrees: float) -> np.ndarray:
    """K×2 points on an ellipse, with those that are farthest left, right, up and down.

    Args:
        centre: x, y.
        radii: along its own axes.
        degrees: by which it is turned clockwise.
    """
    turn = np.deg2rad(degrees)
    a, b = radii
    extremes = np.array(
        [
            np.arctan2(-b * np.sin(turn), a * np.cos(turn)),
            np.arctan2(b * np.cos(turn), a * np.sin(turn)),
        ]
    )
    angles = np.concatenate([np.linspace(0, 2 * np.pi, _ELLIPSE, endpoint=False), extremes])
    angles = np.unique(np.concatenate([angles, extremes + np.pi]) % (2 * np.pi))
    points = np.stack([a * np.cos(angles), b * np.sin(angles)], axis=1)
    sine, cosine = np.sin(turn), np.cos(turn)
    return points @ np.array([[cosine, sine], [-sine, cosine]]) + np.asarray(centre)
