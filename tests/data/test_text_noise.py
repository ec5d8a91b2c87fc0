"""Text that training takes away: all of it, the words, or some lines."""

from __future__ import annotations

import numpy as np
import pytest

from lmv3det.data.text_noise import TextNoise
from lmv3det.data.transforms import TrainTransform
from lmv3det.structures import Page, Sample


def page(lines: int = 200) -> Sample:
    boxes = np.arange(4.0 * lines).reshape(lines, 4)
    words = [f"w{k}" for k in range(lines)]
    image = np.zeros((40, 30, 3), dtype=np.uint8)
    return Sample(image, Page("a.png", 30, 40), line_boxes=boxes, lines=words)


def test_nothing_is_drawn_where_nothing_is_taken() -> None:
    generator, other = np.random.default_rng(1), np.random.default_rng(1)
    sample = page()
    assert TextNoise()(sample, generator) is sample
    assert generator.random() == other.random()


def test_a_page_without_its_text() -> None:
    changed = TextNoise(page_dropout=1.0)(page(), np.random.default_rng(0))
    assert changed.lines == [] and changed.line_boxes.shape == (0, 4)


def test_boxes_stay_where_words_go() -> None:
    sample = page()
    changed = TextNoise(word_dropout=1.0)(sample, np.random.default_rng(0))
    assert changed.lines == [""] * 200 and np.array_equal(changed.line_boxes, sample.line_boxes)


def test_lines_go_with_their_boxes() -> None:
    sample, generator = page(), np.random.default_rng(0)
    shares = []
    for _ in range(50):
        changed = TextNoise(line_dropout=0.5)(sample, generator)
        shares.append(1 - len(changed.lines) / 200)
        kept = [int(word[1:]) for word in changed.lines]
        assert np.array_equal(changed.line_boxes, sample.line_boxes[kept]) and kept == sorted(kept)
    assert max(shares) <= 0.6 and np.mean(shares) == pytest.approx(0.25, abs=0.05)


def test_the_three_states_come_as_often_as_asked() -> None:
    noise, generator, counts = TextNoise(0.3, 0.4), np.random.default_rng(0), {}
    for _ in range(2000):
        words = noise(page(3), generator).lines
        state = "none" if not words else "boxes" if words[0] == "" else "words"
        counts[state] = counts.get(state, 0) + 1
    assert counts["none"] / 2000 == pytest.approx(0.3, abs=0.03)
    assert counts["boxes"] / 2000 == pytest.approx(0.7 * 0.4, abs=0.03)


def test_training_pages_go_through_it() -> None:
    transform = TrainTransform([40], 80, text_noise=TextNoise(page_dropout=1.0))
    assert transform(page(), np.random.default_rng(0)).lines == []
    assert len(TrainTransform([40], 80)(page(), np.random.default_rng(0)).lines) == 200
