"""Turning pages upright: geometry by hand and by invariance, skew of drawn lines, the model's
symmetry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from lmv3det.inference import upright
from lmv3det.inference.detector import Detector
from lmv3det.inference.upright import find_skew, find_turn, looks, turn_masks_back
from lmv3det.model.orientation import PageOrientation
from lmv3det.structures import as_array
from lmv3det.text.ocr_json import OcrPage
from lmv3det.turn import Turn


def page_of_lines(height: int = 700, width: int = 500, seed: int = 0) -> np.ndarray:
    """A white page with 24 dashed rows, as of words."""
    rng = np.random.default_rng(seed)
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    for row in range(24):
        x, y = 50, 60 + 24 * row
        while x < width - 60:
            length = int(rng.integers(10, 40))
            draw.rectangle([x, y, min(x + length, width - 50), y + 9], fill=20)
            x += length + 8
    return np.asarray(image)


@pytest.mark.parametrize("quarters", range(4))
def test_a_box_of_the_turned_picture_comes_back_to_where_it_was(quarters):
    image = np.zeros((60, 40, 3), dtype=np.uint8)
    image[10:20, 5:30] = 255  # box 5 10 30 20
    turn = Turn(quarters, 0.0, (60, 40))
    upright = turn.turn(image)
    assert upright.shape[:2] == turn.upright_size
    y, x = np.nonzero(upright[..., 0])
    box = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]])
    np.testing.assert_allclose(turn.boxes_back(box), [[5, 10, 30, 20]], atol=1e-9)
    np.testing.assert_allclose(turn.boxes_upright([[5, 10, 30, 20]]), box, atol=1e-9)


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("skew", [-8.0, 3.0])
def test_a_skewed_box_has_its_corners_where_the_picture_has_them(quarters, skew):
    image = np.zeros((300, 200, 3), dtype=np.uint8)
    turn = Turn(quarters, skew, (300, 200))
    height, width = turn.upright_size
    corners = turn.quadrilaterals([[60, 80, 100, 120]])[0]
    outline = [tuple(point) for point in corners]
    canvas = Image.fromarray(image)
    ImageDraw.Draw(canvas).polygon(outline, fill=(255, 255, 255))
    upright = turn.turn(np.asarray(canvas))
    assert upright.shape[:2] == (height, width)
    y, x = np.nonzero(upright[..., 0] > 128)
    np.testing.assert_allclose(
        [x.min(), y.min(), x.max() + 1, y.max() + 1], [60, 80, 100, 120], atol=2
    )
    # The first corner is the upper left one of the upright box, the others follow clockwise.
    sides = np.roll(corners, -1, axis=0) - corners
    np.testing.assert_allclose(np.linalg.norm(sides, axis=1), [40, 40, 40, 40], atol=1e-9)
    assert (sides[0][0] * sides[1][1] - sides[0][1] * sides[1][0]) > 0


def test_a_line_keeps_its_size_when_a_skewed_page_is_turned():
    turn = Turn(1, 5.0, (800, 600))
    line = np.array([[200.0, 300.0, 420.0, 312.0]])
    around = turn.boxes_back(line)
    np.testing.assert_allclose(turn.boxes_upright(around), line, atol=1e-6)


def test_no_turn_is_false_and_changes_nothing():
    turn = Turn(0, 0.0, (30, 20))
    assert not turn and turn.upright_size == (30, 20)
    boxes = np.array([[1.5, 2, 10, 20]])
    np.testing.assert_array_equal(turn.boxes_back(boxes), boxes)
    np.testing.assert_array_equal(turn.boxes_upright(boxes), boxes)


@pytest.mark.parametrize("skew", [-14.0, -6.3, -0.8, 0.7, 2.5, 11.0])
@pytest.mark.parametrize("sideways", [False, True])
def test_skew_of_drawn_lines(skew, sideways):
    page = page_of_lines()
    if sideways:
        page = np.ascontiguousarray(np.rot90(page))
    turned = np.asarray(
        Image.fromarray(page).rotate(-skew, Image.Resampling.BICUBIC, True, fillcolor=255)
    )
    assert abs(find_skew(turned) - skew) <= 0.2


def test_what_has_no_lines_has_no_skew():
    rng = np.random.default_rng(0)
    assert find_skew(np.full((300, 200), 255, dtype=np.uint8)) == 0
    assert find_skew(rng.integers(0, 256, (300, 200)).astype(np.uint8)) == 0
    assert find_skew(page_of_lines()) == 0


def test_a_turned_page_has_the_turned_answer():
    torch.manual_seed(0)
    model = PageOrientation().eval()
    pages, crops = torch.rand(2, 1, 64, 64), torch.rand(2, 3, 1, 32, 32)
    with torch.no_grad():
        logits = model(pages, crops)
        turned = model(pages.rot90(1, (2, 3)), crops.rot90(1, (3, 4)))
    torch.testing.assert_close(turned, logits.roll(-1, dims=1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (40, 3000), (1000, 30), (700, 500)])
def test_pages_of_every_shape_are_looked_at(shape):
    whole, crops = looks(np.full(shape, 200, dtype=np.uint8))
    assert whole.shape == (1, 256, 256) and crops.shape == (4, 1, 192, 192)


def test_an_empty_page_stays_as_it_is():
    turn = find_turn(np.full((400, 300, 3), 255, dtype=np.uint8), PageOrientation().eval())
    assert not turn


@pytest.mark.parametrize("name", ["english", "chinese"])
@pytest.mark.parametrize("turned", range(4))
def test_the_example_pages_are_told(name, turned):
    with Image.open(f"examples/pages/{name}.jpg") as picture:
        image = np.ascontiguousarray(np.rot90(np.asarray(picture.convert("RGB")), turned))
    assert find_turn(image).quarters == -turned % 4


@pytest.mark.parametrize(
    "turn", [Turn(1, 0.0, (90, 60)), Turn(2, 0.0, (90, 60)), Turn(0, 6.0, (90, 60))]
)
def test_a_mask_lies_where_its_region_lies(turn):
    shown = np.array([[12.0, 20.0, 44.0, 40.0]])
    boxes = turn.boxes_back(shown)
    left = torch.zeros(1, 28, 28)
    left[:, :, :14] = 1  # the left half of the upright region
    back = turn_masks_back(left, shown, boxes, turn)[0].numpy()
    y, x = np.nonzero(back > 0.5)
    places = (np.stack([x, y], axis=1) + 0.5) / 28
    centre = boxes[0, :2] + places.mean(axis=0) * (boxes[0, 2:] - boxes[0, :2])
    expected = turn.quadrilaterals([[12, 20, 28, 40]])[0].mean(axis=0)
    np.testing.assert_allclose(centre, expected, atol=0.7)


class Quarter:
    """Stands for the model: every page lies on its right side and must be turned once."""

    def __call__(self, pages, crops):
        return torch.tensor([[0.0, 9.0, 0.0, 0.0]])


@pytest.fixture
def sideways(monkeypatch):
    monkeypatch.setattr(upright, "load_orientation", Quarter)
    monkeypatch.setattr(upright, "find_skew", lambda grey: 0.0)


def test_a_turned_page_gives_what_the_upright_page_gives(sideways):
    detector = Detector.load()
    with Image.open("examples/pages/english.jpg") as picture:
        image = np.asarray(picture.convert("RGB"))
    (expected,) = detector.predict(image, upright=False)
    (found,) = detector.predict(np.ascontiguousarray(np.rot90(image, -1)), upright=True)
    assert len(expected) > 5
    turn = Turn(1, 0.0, (image.shape[1], image.shape[0]))
    assert found.turn == turn and found.image_size == turn.size
    np.testing.assert_allclose(found.scores, expected.scores)
    np.testing.assert_allclose(turn.boxes_upright(found.boxes), expected.boxes, atol=1e-3)
    assert found.reading_order() == expected.reading_order()
    for a, b in zip(found.crop(), expected.crop(), strict=True):
        assert abs(a.shape[0] - b.shape[0]) <= 1 and abs(a.shape[1] - b.shape[1]) <= 1
    entry = found.to_dict()
    assert entry["turned"] == {"quarters": 1, "skew": 0.0}
    # The upper left corner of what is read is the upper right one of the page as it came.
    x, y, w, _ = entry["detections"][0]["bbox"]
    np.testing.assert_allclose(entry["detections"][0]["polygon"][0], [x + w, y], atol=0.02)


def test_text_of_a_turned_page_is_turned_with_it(sideways):
    """Lines come on the page as it is; the region that holds them has their text."""
    detector = Detector.load()
    with Image.open("examples/pages/english.jpg") as picture:
        image = np.asarray(picture.convert("RGB"))
    height, width = image.shape[:2]
    (plain,) = detector.predict(image, upright=False)
    box = as_array(plain.boxes)[0]
    line = np.array([[box[0] + 5, box[1] + 5, box[2] - 5, box[1] + 15]])
    (expected,) = detector.predict(
        image, OcrPage(line, ["some words"], width, height), upright=False
    )
    turn = Turn(1, 0.0, (width, height))
    turned = OcrPage(turn.boxes_back(line), ["some words"], height, width)
    (found,) = detector.predict(np.ascontiguousarray(np.rot90(image, -1)), turned, upright=True)
    assert found.region_lines() == expected.region_lines()
    assert any(found.region_lines())


def test_off_leaves_pages_as_they_are(sideways):
    detector = Detector.load()
    page = np.full((300, 200, 3), 255, dtype=np.uint8)
    (found,) = detector.predict(page, upright=False)
    assert found.turn is None and "turned" not in found.to_dict()
