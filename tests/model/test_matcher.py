"""Matching and sampling: hand-made cases and the counts that must hold."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmv3det.model.matcher import match, sample


def test_thresholds() -> None:
    iou = torch.tensor([[0.2, 0.5, 0.8, 0.0], [0.1, 0.4, 0.9, 0.3]])
    index, label = match(iou, 0.3, 0.7)
    assert index.tolist() == [0, 0, 1, 1]
    assert label.tolist() == [0, -1, 1, -1]


def test_low_quality_match_keeps_its_own_best() -> None:
    # Truth 1 is best covered by box 0, which stands for truth 0 all the same.
    iou = torch.tensor([[0.6, 0.1], [0.5, 0.2]])
    index, label = match(iou, 0.3, 0.7, allow_low_quality=True)
    assert index.tolist() == [0, 1]
    assert label.tolist() == [1, 0]


def test_ties_are_all_positive() -> None:
    iou = torch.tensor([[0.4, 0.4, 0.1]])
    assert match(iou, 0.3, 0.7, allow_low_quality=True)[1].tolist() == [1, 1, 0]


def test_truth_that_nothing_covers() -> None:
    iou = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])
    assert match(iou, 0.3, 0.7, allow_low_quality=True)[1].tolist() == [1, 1, 1]
    assert match(iou, 0.3, 0.7)[1].tolist() == [-1, 0, 0]


def test_no_truth() -> None:
    index, label = match(torch.zeros(0, 4), 0.3, 0.7, allow_low_quality=True)
    assert index.tolist() == [0] * 4 and label.tolist() == [0] * 4


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 10), st.integers(1, 40))
def test_sample_counts(positives: int, negatives: int, ignored: int, number: int) -> None:
    label = torch.tensor([1] * positives + [0] * negatives + [-1] * ignored, dtype=torch.int8)
    label = label[torch.randperm(len(label))].unsqueeze(0)
    if label.shape[1] == 0:
        return
    (positive, taken), (negative, also) = sample(label, number, 0.25)
    chosen, rejected = positive[taken], negative[also]
    assert len(chosen) == min(positives, int(number * 0.25))
    assert len(rejected) == min(negatives, number - len(chosen))
    assert (label[0, chosen] == 1).all() and (label[0, rejected] == 0).all()
    assert len({*chosen.tolist(), *rejected.tolist()}) == len(chosen) + len(rejected)


def test_sample_is_random_and_follows_the_seed() -> None:
    label = torch.zeros(2, 1000, dtype=torch.int8)
    torch.manual_seed(3)
    first = sample(label, 20, 0.5)[1][0]
    second = sample(label, 20, 0.5)[1][0]
    torch.manual_seed(3)
    again = sample(label, 20, 0.5)[1][0]
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])  # pages are drawn by themselves
