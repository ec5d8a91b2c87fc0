"""Box sides on text lines, against cases computed by hand."""

import numpy as np
import pytest
import torch

from lmv3det.inference.fitting import fit_boxes, fit_to_text
from lmv3det.structures import Detections

LINES = np.array([[100.0, 50 + 20 * row, 300, 60 + 20 * row] for row in range(5)])
"""Five lines, 10 high, a line's height apart: from 50 to 140."""


def fit(*box: float, lines: np.ndarray = LINES) -> list[float]:
    return fit_boxes(np.array([box]), lines)[0].tolist()


def test_sides_move_to_the_lines():
    """First letters cut at the left, a margin at the right, a foot left out, a head cut."""
    assert fit(107, 54, 309, 136) == [100, 50, 300, 140]
    # A line that lies in it by half or more is the region's; else the side goes back.
    assert fit(100, 50, 300, 116) == [100, 50, 300, 120]
    assert fit(100, 50, 300, 108) == [100, 50, 300, 100]


def test_upper_and_lower_sides_near_the_text_stay():
    """2 of a line's 10 pixels are within what engines and annotations differ by; 4 are not."""
    assert fit(98, 48, 302, 142) == [100, 48, 300, 142]
    assert fit(98, 46, 302, 144) == [100, 50, 300, 140]


def test_a_side_that_is_far_from_the_text_stays():
    """By more than a line's height, as the margin of a box that is drawn round a text."""
    assert fit(89, 39, 311, 151) == [89, 39, 311, 151]
    assert fit(91, 39, 311, 151) == [100, 39, 311, 151]


def test_a_figure_with_some_letters_stays():
    letters = np.array([[102.0, 52, 120, 62], [280, 128, 298, 138]])
    assert fit(100, 50, 300, 140, lines=letters) == [100, 50, 300, 140]


def test_a_line_as_tall_as_a_picture_is_none():
    """Failed before: an engine took a photograph for a line, and the figure was cut to it."""
    lines = np.concatenate([LINES, [[110.0, 220, 290, 280]]])
    assert fit(100, 200, 300, 320, lines=lines) == [100, 200, 300, 320]
    heading = np.concatenate([LINES, [[110.0, 220, 290, 260]]])  # four times as tall
    assert fit(106, 218, 296, 270, lines=heading) == [110, 218, 290, 270]


def test_two_columns_and_a_line_over_both():
    """The heading over both columns is less than half in each."""
    left, right = LINES, np.add(LINES, [220, 0, 220, 0])
    heading = np.array([[100.0, 30, 520, 40]])
    lines = np.concatenate([left, right, heading])
    boxes = np.array([[104.0, 46, 303, 143], [316, 25, 524, 143], [95, 29, 525, 41]])
    fitted = [[100, 50, 300, 140], [320, 25, 520, 140], [100, 29, 520, 41]]
    assert fit_boxes(boxes, lines).tolist() == fitted


def test_nothing_to_fit_or_to_fit_to():
    box = [1.0, 2, 30, 40]
    assert fit(*box, lines=np.zeros((0, 4))) == box
    assert fit(*box, lines=np.array([[5.0, 5, 5, 15], [9, 9, 3, 3]])) == box  # without area
    assert fit_boxes(np.zeros((0, 4)), LINES).shape == (0, 4)
    assert fit(10, 10, 10, 10) == [10, 10, 10, 10]


@pytest.mark.parametrize("scale", [0.01, 3.0])
def test_the_unit_does_not_matter(scale):
    boxes = np.random.default_rng(0).uniform(-15, 15, (50, 4)) + np.array([100, 50, 300, 140])
    fitted = fit_boxes(boxes, LINES)
    assert (fitted != boxes).any()
    np.testing.assert_allclose(fit_boxes(scale * boxes, scale * LINES), scale * fitted)


def test_tensors_stay_tensors():
    boxes = torch.tensor([[107.0, 54, 309, 136]])
    found = Detections(boxes, torch.ones(1), torch.zeros(1, dtype=torch.int64), (200, 400))
    fitted = fit_to_text(found, LINES)
    assert fitted.boxes.dtype == torch.float32 and boxes[0, 0] == 107
    assert fitted.boxes.tolist() == [[100, 50, 300, 140]]
