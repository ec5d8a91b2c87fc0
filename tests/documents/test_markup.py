"""Text stays text in Markdown, as a parser of it reads it; documents say their language."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmv3det.documents.html import html, language_of
from lmv3det.documents.markdown import escape
from lmv3det.inference.formats.content import document_of

markdown_it = pytest.importorskip("markdown_it")

AWKWARD = [
    "#", "##", "# a", "Title #", "a ## ", "-", "- - -", "---", "--", "***", "___", "+", "+ a", "1.",
    "1)", "12. a", "===", "=", "~~gone~~", "~a~", "&copy; and &amp; and &#35;", "AT&T; x", "a & b",
    "<b>", "[a](b)", "![a](b)", "[^1]", "a\n# b", "a\n\n    code", "\tcode", "a\r- b", "a\u2028# b",
    "`x`", "``", "$x$", "\\", "\\\\#", "a  ", "> q", "| a | b |", "* a", "http://x.y/_a_",
    "\x07bell", ":::", "```", "~~~", "= =", "-\u00a0a", "1.\u2003a", "#\u00a0a", "_a_b_", "</div>",
    "[a]: b",
]  # fmt: skip


def plain(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def read(markdown: str, prefix: str = "") -> list[tuple[str, str]]:
    """The blocks of a text: (tag, text), and what is in it beside text as a tag of its own."""
    parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found = []
    for token in parser.parse(prefix + markdown):
        if token.type == "inline":
            kinds = {child.type for child in token.children} - {"text", "text_special"}
            found.append((",".join(sorted(kinds)), "".join(c.content for c in token.children)))
        elif token.nesting >= 0:
            found.append((token.tag, ""))
    return found


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_is_read_back(text):
    assert read(escape(text)) == [("p", ""), ("", plain(text))]
    assert read(escape(text), "# ") == [("h1", ""), ("", plain(text))]
    assert read(escape(text), "- ") == [("ul", ""), ("li", ""), ("p", ""), ("", plain(text))]


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="#-+=*_~`&;<>[]()!|$\\ 1.a\n:\t", min_size=1, max_size=12))
def test_any_text_is_read_back(text):
    if plain(text):
        assert read(escape(text)) == [("p", ""), ("", plain(text))]
        assert read(escape(text), "# ") == [("h1", ""), ("", plain(text))]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The tide is high and the harbour is small", "en"),
        ("Die Flut ist hoch und der Hafen ist klein", "de"),
        ("这是一个中文页面", "zh"), ("これは日本の文です", "ja"), ("이것은 한국어", "ko"),
        ("הנמל הקטן", "he"), ("1 2 3", "und"), ("", "und"), ("и не на берегу", "ru"),
    ],
)  # fmt: skip
def test_a_document_says_its_language(text, language):
    region = {"bbox": [1, 2, 3, 4], "score": 1, "category": "Text", "order": 0, "lines": [text]}
    pages = [{"page": 1, "width": 10, "height": 10, "detections": [region]}]
    document = document_of(pages)
    assert language_of(document) == language
    assert re.search(r'<html lang="([^"]+)">', html(document, "x"))[1] == language
