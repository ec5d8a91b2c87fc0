"""Augmentation: regions, outlines and lines stay on their ink, and only what is asked changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lmv3det.config import Config
from lmv3det.config.schema import AugmentConfig
from lmv3det.data.augment import Augment, random_motion, random_tone
from lmv3det.data.transforms import TrainTransform, warp
from lmv3det.errors import InputError
from lmv3det.structures import Page, Sample

OFF = dict.fromkeys(("tone", "grey", "light", "geometry", "small", "blur", "noise", "jpeg"), 0.0)
WHITE = (255, 255, 255)


def outline(box) -> np.ndarray:
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)


def page(height: int, width: int, boxes, lines=()) -> Sample:
    """A white page with a block of ink for each region (red) and line (green)."""
    image = np.full((height, width, 3), 255, dtype=np.uint8)
    for group, colour in ((boxes, (255, 0, 0)), (lines, (0, 255, 0))):
        for x0, y0, x1, y1 in group:
            image[y0:y1, x0:x1] = colour
    return Sample(
        image=image,
        page=Page("page.png", width, height),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        classes=np.arange(len(boxes)),
        polygons=[[outline(box)] for box in boxes],
        line_boxes=np.array(lines, dtype=np.float64).reshape(-1, 4),
        lines=[f"w{k}" for k in range(len(lines))],
    )


def ink(image: np.ndarray, channel: int) -> np.ndarray:
    """x0 y0 x1 y1 of the ink that is white in one channel only."""
    others = [c for c in range(3) if c != channel]
    ys, xs = np.nonzero((image[..., others] < 128).all(axis=-1))
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=np.float64)


def some_changes(**strengths) -> AugmentConfig:
    return AugmentConfig(probability=1.0, **{**OFF, **strengths})


@pytest.mark.parametrize("seed", range(12))
def test_regions_outlines_and_lines_move_with_their_ink(seed):
    generator = np.random.default_rng(seed)
    settings = some_changes(geometry=1.0, rotation=8.0, zoom=0.2, perspective=0.05)
    x0, y0 = generator.integers(0, 150, 2).tolist()  # some leave the page at the far side
    sample = page(300, 240, [(x0, y0, x0 + 80, y0 + 25)], [(10, 250, 90, 262)])
    moved = Augment(settings)(sample, generator)
    assert moved.image.shape == sample.image.shape
    if len(moved.boxes):
        assert np.abs(moved.boxes[0] - ink(moved.image, 0)).max() <= 1.01
        points = np.concatenate(moved.polygons[0])
        bounds = np.concatenate([points.min(axis=0), points.max(axis=0)])
        assert np.abs(moved.boxes[0] - bounds).max() < 1e-9
    if len(moved.line_boxes) and moved.line_boxes[0, 0] > 0:  # not cut at the left
        assert np.abs(moved.line_boxes[0] - ink(moved.image, 1)).max() <= 1.01


def test_no_motion_is_no_change():
    sample = page(60, 50, [(5, 6, 20, 10)], [(5, 30, 40, 36)])
    moved = warp(sample, np.eye(3), WHITE)
    assert np.array_equal(moved.image, sample.image)
    assert np.array_equal(moved.boxes, sample.boxes)
    assert np.array_equal(moved.line_boxes, sample.line_boxes)


def test_a_shift_by_whole_pixels_cuts_and_fills():
    sample = page(60, 50, [(5, 6, 20, 10), (0, 20, 8, 30), (40, 40, 50, 60)], [(0, 50, 9, 54)])
    moved = warp(sample, np.array([[1.0, 0, -9], [0, 1, 4], [0, 0, 1]]), (1, 2, 3))
    assert moved.boxes.tolist() == [[0, 10, 11, 14], [31, 44, 41, 60]]
    assert moved.classes.tolist() == [0, 2] and len(moved.polygons) == 2
    assert moved.lines == []
    assert np.array_equal(moved.image[4:, :-9], sample.image[:-4, 9:])
    assert (moved.image[:4] == (1, 2, 3)).all() and (moved.image[:, -9:] == (1, 2, 3)).all()


def test_a_box_keeps_its_distance_from_its_outline():
    """Annotators draw boxes with room around the outline, which a turn must not change."""
    sample = page(200, 200, [(50, 60, 90, 80)])
    sample.polygons[0] = [np.array([[55.0, 60], [90, 70], [60, 78]])]
    angle = np.deg2rad(10)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 30], [np.sin(angle), np.cos(angle), 5], [0, 0, 1]]
    )
    moved = warp(sample, turn, WHITE)
    points = (np.c_[sample.polygons[0][0], np.ones(3)] @ turn.T)[:, :2]
    assert np.allclose(moved.polygons[0][0], points)
    x0, y0, x1, y1 = *points.min(axis=0), *points.max(axis=0)
    assert np.allclose(moved.boxes[0], [x0 - 5, y0, x1, y1 + 2])


def test_the_perspective_takes_corners_no_further_than_it_says():
    settings = some_changes(rotation=0.0, zoom=0.0, perspective=0.05)
    for seed in range(20):
        matrix = random_motion((300, 200), settings, np.random.default_rng(seed))
        corners = np.array([[0, 0, 1], [200, 0, 1], [200, 300, 1], [0, 300, 1.0]])
        moved = corners @ matrix.T
        distance = np.abs(moved[:, :2] / moved[:, 2:] - corners[:, :2])
        assert (distance <= np.array([10, 15]) + 1e-9).all()
        assert distance.max() > 0


@pytest.mark.parametrize("name", [name for name in OFF if name != "geometry"])
def test_other_changes_touch_pixels_alone(name):
    sample = page(64, 48, [(5, 6, 20, 10)], [(5, 30, 40, 36)])
    before = sample.image.copy()
    changed = Augment(some_changes(**{name: 1.0}))(sample, np.random.default_rng(4))
    assert changed.image.shape == before.shape and changed.image.dtype == np.uint8
    assert not np.array_equal(changed.image, before)
    assert np.array_equal(sample.image, before)  # the given page is as it was
    assert changed.boxes is sample.boxes and changed.line_boxes is sample.line_boxes


def test_grey_pages_have_no_colour():
    sample = page(30, 30, [(5, 6, 20, 10)])
    image = Augment(some_changes(grey=1.0))(sample, np.random.default_rng(0)).image
    assert (image == image[..., :1]).all() and len(np.unique(image)) == 2


def test_tone_never_turns_ink_and_paper_round():
    for seed in range(50):
        table = np.array(random_tone(np.random.default_rng(seed))).reshape(3, 256)
        assert table.min() >= 0 and table.max() <= 255
        assert (np.diff(table, axis=1) >= 0).all()
        assert (table[:, 255] - table[:, 0] > 100).all()  # still legible


def test_noise_has_the_deviation_that_it_says():
    grey = Sample(np.full((400, 400, 3), 128, dtype=np.uint8), Page("", 400, 400))
    levels = []
    for seed in range(30):
        changed = Augment(some_changes(noise=1.0, noise_level=0.04))
        levels.append(changed(grey, np.random.default_rng(seed)).image[..., 0].std() / 255)
    assert max(levels) < 0.042
    assert 0.015 < np.mean(levels) < 0.025  # uniform from 0 to 0.04


def test_equal_draws_give_equal_pages_and_the_share_is_kept():
    sample = page(64, 48, [(5, 6, 20, 10)], [(5, 30, 40, 36)])
    augment = Augment(AugmentConfig(probability=0.25))
    first, second = (augment(sample, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    generator = np.random.default_rng(0)
    changed = sum(augment(sample, generator) is not sample for _ in range(400))
    assert 70 < changed < 130


def test_training_augments_after_the_resize_and_takes_the_frame_of_the_page():
    sample = page(64, 48, [(5, 6, 20, 10)])
    seen = []

    def watch(resized, generator):
        seen.append(resized.image.shape)
        return replace(resized, classes=resized.classes + 5)

    out = TrainTransform([96], 1000, augment=watch)(sample, np.random.default_rng(0))
    assert seen == [(128, 96, 3)] and out.classes.tolist() == [5]


def test_off_by_default():
    assert Config().input.augment.probability == 0


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("input.augment.jpeg=1.5", "input.augment.jpeg"),
        ("input.augment.jpeg_quality=[90,30]", "the lowest and the highest quality"),
        ("input.augment.rotation=90", "from 0 to 45"),
        ("input.augment.small_scale=0", "input.augment.small_scale"),
        ("input.augment.rotate=2", "rotation"),
    ],
)
def test_settings_are_checked(override, told, tmp_path):
    from lmv3det.config import load_config

    with pytest.raises(InputError, match=told):
        load_config("finetune", [override])
