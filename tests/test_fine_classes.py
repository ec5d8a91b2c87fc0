"""The fine classes and their foldings."""

from __future__ import annotations

import pytest

from lmv3det.classes import (
    CDLA,
    DOCLAYNET,
    FINE,
    FOLDED,
    FOLDINGS,
    PUBLAYNET,
    folding_matrix,
    nearest_class,
)


@pytest.mark.parametrize("folding", FOLDINGS)
def test_each_fine_class_becomes_a_class_and_each_class_is_reached(folding):
    names = FOLDINGS[folding]
    assert tuple(names) == FINE
    assert {name for name in names.values() if name is not None} == set(FOLDED[folding])
    assert len(set(FOLDED[folding])) == len(FOLDED[folding])


@pytest.mark.parametrize("folding", FOLDINGS)
def test_a_folded_probability_is_that_of_all_classes_that_become_one(folding):
    matrix = folding_matrix(folding)
    assert len(matrix) == len(FINE)
    for fine, row in zip(FINE, matrix, strict=True):
        wanted = FOLDINGS[folding][fine]
        assert sum(row) == (wanted is not None)
        if wanted is not None:
            assert FOLDED[folding][row.index(1.0)] == wanted


def test_what_publaynet_does_not_annotate_is_background():
    dropped = [name for name, row in zip(FINE, folding_matrix("publaynet"), strict=True)
               if not any(row)]  # fmt: skip
    assert dropped == ["Header", "Footer"]


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("list-item", FINE, "List item"),
        ("Picture", FINE, "Figure"),
        ("Formula", FINE, "Equation"),
        ("Page-header", FINE, "Header"),
        ("Document Index", FINE, "Table of contents"),
        ("Section-header", CDLA, "Title"),
        ("Footnote", CDLA, "Footer"),
        ("Equation", DOCLAYNET, "Formula"),
        ("Table caption", DOCLAYNET, "Caption"),
        ("Header", PUBLAYNET, None),
        ("Stamp", FINE, None),
        ("stamp", ("Seal", "Stamp"), "Stamp"),
    ],
)
def test_the_nearest_class(name, known, nearest):
    place = nearest_class(name, known)
    assert (None if place is None else known[place]) == nearest
