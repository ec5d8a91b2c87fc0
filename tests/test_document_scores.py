"""The measures of benchmarks.documents on texts whose measures are known."""

from __future__ import annotations

import pytest

from benchmarks.document_scores import (
    kept_of,
    markdown_headings,
    order_similarity,
    plain_text,
    score_headings,
    table_f1,
    tables_of,
    true_text,
    words,
)


def test_words_that_are_missing_are_counted_once_each():
    true, missing = kept_of("The cat and the dog", words("the cat, and a dog"))
    assert len(true) == 5 and missing == ["the"]


def test_a_divided_word_may_be_one_or_two():
    truth = true_text("time-\nconsuming work")
    assert kept_of(truth, words("timeconsuming work"))[1] == []
    assert kept_of(truth, words("time-consuming work"))[1] == []
    assert kept_of(truth, words("time work"))[1] == ["consuming"]


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("# A **bold** [link](http://x.y) \\*", "a bold link"),
        ("![alt words](p.png) <!-- inside --> <!-- page 3 -->", "alt words inside"),
        ("x<sup>2</sup> `<stdio.h>` \\<a>", "x 2 stdio h a"),
        ("|a|b<br>c|\n|---|---|", "a b c"),
        ("![The caption](p.png)\n\n*The caption*\n", "the caption"),
    ],
)
def test_markdown_as_text(markdown, expected):
    assert words(plain_text(markdown)) == expected.split()


def test_order_is_an_edit_distance():
    assert order_similarity(["a", "b", "c", "d"], ["a", "b", "c", "d"]) == 1
    assert order_similarity(["a", "b", "c", "d"], ["a", "x", "c"]) == 0.5  # one replaced, one gone
    assert order_similarity([], ["a"]) == 0


def test_headings_and_levels_against_an_outline():
    outline = [(0, "Intro"), (1, "Aim"), (1, "Means"), (0, "End")]
    headings = markdown_headings(
        "# 1 Intro\n\n## 1.1 Aim\n\n# Means\n\n```\n# no\n```\n\n# 2 End\n"
    )
    assert headings == [(1, "1 Intro"), (2, "1.1 Aim"), (1, "Means"), (1, "2 End")]
    score = score_headings(outline, headings)
    # Aim to Means should stay level, Means to End should rise.
    assert (score.found, score.true, score.pairs, score.right) == (4, 4, 3, 1)


def test_cells_of_tables_of_pipes_and_of_html():
    true = [["a", "b"], ["1", "2"]]
    pipes = tables_of("| a | b |\n|---|---|\n| 1 | 2 |\n")
    html = tables_of("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>")
    assert pipes == html == [true]
    assert table_f1(true, pipes) == 1
    assert table_f1(true, [[["a", "b"], ["2", "1"]]]) == 0.25  # of four pairs one is there
    assert table_f1(true, []) == 0
