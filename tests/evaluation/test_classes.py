"""Which class of a model is which of a data set."""

from __future__ import annotations

import pytest

from lmv3det.data.categories import Category
from lmv3det.errors import InputError
from lmv3det.evaluation.classes import match_classes, read_map

MODEL = [Category(k, name) for k, name in enumerate(["Text", "Title", "Reference", "Table"])]
DATA = [Category(3, "text"), Category(1, "List"), Category(9, "table"), Category(5, "Figure")]


def test_common_classes_are_scored_and_the_rest_is_named():
    match = match_classes(MODEL, DATA)
    assert match.scored == [Category(3, "text"), Category(9, "table")]
    assert match.of_index == [0, None, None, 1]
    assert match.of_category == {3: 0, 9: 1}
    assert match.left_out == {"checkpoint": ["Title", "Reference"], "data": ["List", "Figure"]}


def test_renamed_classes_are_one():
    match = match_classes(MODEL, DATA, {"list": "Text", "Reference": "Text"})
    assert match.scored == [Category(3, "text"), Category(9, "table")]
    assert match.of_index == [0, None, 0, 1]
    assert match.of_category == {3: 0, 1: 0, 9: 1}
    assert match.left_out == {"checkpoint": ["Title"], "data": ["Figure"]}


def test_the_class_of_the_very_name_stands_for_all():
    match = match_classes(MODEL, [DATA[1], DATA[0]], {"List": "Text"})
    assert match.scored == [Category(3, "text")] and match.of_category == {1: 0, 3: 0}


def test_classes_of_other_names_with_the_same_ids():
    match = match_classes(MODEL[:2], [Category(0, "Absatz"), Category(1, "Titel")])
    assert match.of_index == [0, 1] and match.of_category == {0: 0, 1: 1}


def test_nothing_in_common():
    with pytest.raises(InputError, match=r"no name in common.*--map"):
        match_classes(MODEL, [Category(7, "Absatz")])
    with pytest.raises(InputError, match="not unique"):
        match_classes(MODEL, [Category(7, "Text"), Category(8, "text")])


def test_words_of_the_command_line():
    assert read_map(["List=Text, Reference = Text", "A=B"]) == {
        "List": "Text", "Reference": "Text", "A": "B"
    }  # fmt: skip
    for word in ("List", "=Text", "List="):
        with pytest.raises(InputError, match="NAME=NAME"):
            read_map([word])
