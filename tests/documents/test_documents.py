"""Documents from hand-made pages: each test is one way in which text was lost or torn."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from lmv3det.documents.chunks import chunks, count_tokens
from lmv3det.documents.headings import number_depth
from lmv3det.documents.html import html
from lmv3det.documents.lines import Line, Span, Style
from lmv3det.documents.markdown import escape, markdown
from lmv3det.documents.page import (
    Region,
    content_from_json,
    content_to_json,
    page_content,
)
from lmv3det.documents.roles import role
from lmv3det.documents.text import join_lines, vocabulary
from lmv3det.documents.whole import build_document
from lmv3det.inference.formats.content import document_of

SIZE = (600.0, 800.0)


def line(text: str, x: float, y: float, width: float = 0, size: float = 10, **style) -> Line:
    spans = [Span(text, Style(**style))] if style else []
    return Line(text, (x, y, x + (width or 5 * len(text)), y + size), size, spans)


def page(regions, lines, number=1, **more):
    found = [Region(name, box, k) for k, (name, box) in enumerate(regions)]
    content = page_content(number, SIZE, found, lines, **more)
    return content_from_json(json.loads(json.dumps(content_to_json(content))))


def written(*pages) -> str:
    return markdown(build_document(pages), page_marks=False)


def entry(category: str, box: list[float], order: int, *lines: str, picture: str = "") -> dict:
    found = {"category": category, "bbox": box, "score": 0.9, "order": order}
    if lines:
        found["lines"] = list(lines)
    if picture:
        found["picture"] = picture
    return found


def of_entries(*regions: dict) -> str:
    entries = [{"file": "a", "page": 1, "width": 600, "height": 800, "detections": list(regions)}]
    return markdown(document_of(entries), page_marks=False)


def test_a_line_outside_of_all_regions_takes_its_place():
    content = page(
        [("Text", (50, 100, 300, 130)), ("Text", (50, 200, 300, 230))],
        [
            line("The first one.", 50, 105), line("Lost before.", 50, 160),
            line("The last one.", 50, 205),
        ],
    )  # fmt: skip
    assert written(content) == "The first one.\n\nLost before.\n\nThe last one.\n"
    document = build_document([content])
    assert (document.words, document.left_out, document.missing) == (8, 0, 0)


def test_a_line_that_a_region_cuts_belongs_to_it_and_nothing_comes_twice():
    content = page(
        [("Text", (50, 100, 300, 124)), ("Text", (55, 105, 200, 118))],
        [line("A region ends within", 50, 105), line("its last line.", 50, 121)],
    )
    text = written(content)
    assert sorted(re.findall(r"\w+", text)) == sorted(
        ["A", "region", "ends", "within", "its", "last", "line"]
    )


def test_the_bullet_before_a_region_is_its_mark():
    content = page(
        [("Text", (70, 100, 300, 112)), ("Text", (70, 120, 300, 132))],
        [line("•", 50, 101, 5), line("one", 70, 101), line("•", 50, 121, 5), line("two", 70, 121)],
    )
    assert written(content) == "- one\n- two\n"


def test_headers_and_footers_are_counted_and_left_out():
    pages = [
        page(
            [("Text", (50, 100, 300, 112)), (("Footer", "Text")[k - 1], (50, 780, 90, 790))],
            [
                line("My Journal", 50, 20), line(f"Page {k} says so.", 50, 101),
                line(str(k), 50, 780), line("4 June 2020 arXiv", 5, 300, 10, 200),
            ],
            number=k,
        )
        for k in (1, 2)
    ]  # fmt: skip
    document = build_document(pages)
    assert written(*pages) == "Page 1 says so.\n\nPage 2 says so.\n"
    assert (document.words, document.left_out, document.missing) == (22, 14, 0)


def test_a_header_in_the_middle_of_a_page_and_a_long_footer_are_text():
    note = "1 " + " ".join(["word"] * 30) + "."
    content = page(
        [("Header", (50, 400, 300, 412)), ("Footer", (50, 760, 550, 772))],
        [line("No header at all.", 50, 401), line(note, 50, 761, 480)],
    )
    assert "No header at all." in written(content) and written(content).count("word") == 30


def test_divided_words_are_joined_by_what_the_document_says():
    known = vocabulary(
        ["It is time-consuming, and TraceMonkey is", "a reconstruction of trade offs and state"]
    )
    assert join_lines(["this is time-", "consuming"], known) == "this is time-consuming"
    assert join_lines(["as Trace-", "Monkey does"], known) == "as TraceMonkey does"
    assert join_lines(["a recon-", "struction"], known) == "a reconstruction"
    assert join_lines(["of infor-", "mation"]) == "of information"
    assert join_lines(["X-", "ray", "GPT-", "4", "a -", "b"]) == "X-ray GPT-4 a - b"
    assert join_lines(["soft\u00ad", "ware"]) == "software"
    assert join_lines(["版面", "分析 of", "pages"]) == "版面分析 of pages"
    assert join_lines([]) == ""
    # Parts of divided words are no words of the document.
    assert not vocabulary(["a recon-", "struction"]) - vocabulary(["a"])


def test_a_paragraph_goes_on_in_the_next_column_and_on_the_next_page():
    first = page(
        [("Text", (50, 100, 290, 130)), ("Text", (310, 100, 550, 130))],
        [
            line("This paragraph is not", 50, 101, 240),
            line("at its end in the left", 50, 118, 240),
            line("column. And this one", 310, 101, 240), line("goes to the next", 310, 118, 240),
        ],
    )  # fmt: skip
    second = page(
        [("Text", (50, 100, 290, 130))],
        [line("page, too.", 50, 101)], number=2,
    )  # fmt: skip
    assert written(first, second) == (
        "This paragraph is not at its end in the left column. "
        "And this one goes to the next page, too.\n"
    )


def test_a_sentence_that_ends_keeps_its_paragraph():
    first = page([("Text", (50, 100, 290, 112))], [line("It ends here.", 50, 101, 240)])
    second = page([("Text", (50, 100, 290, 112))], [line("Another begins.", 50, 101)], number=2)
    assert written(first, second) == "It ends here.\n\nAnother begins.\n"


def test_levels_of_headings_by_number_then_by_size():
    heads = [
        ("A Title", 20), ("1 Introduction", 14), ("1.1 Data", 12), ("Unnumbered", 14),
        ("1.1.1 Deep", 11), ("Small", 12), ("A.1 Proofs", 12),
    ]  # fmt: skip
    regions, lines = [], []
    for k, (text, size) in enumerate(heads):
        regions.append(("Title", (50, 50 + 40 * k, 300, 50 + 40 * k + size)))
        lines.append(line(text, 50, 50 + 40 * k, size=size))
    levels = [
        (len(m[1]), m[2]) for m in re.finditer(r"(?m)^(#+) (.*)$", written(page(regions, lines)))
    ]
    assert [level for level, _ in levels] == [1, 2, 3, 2, 4, 3, 3]
    assert levels[1][1] == "1 Introduction"


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("3 Method", 1), ("3.1 Data", 2), ("3.1.2. More", 3), ("A. Appendix", 1), ("Chapter 2", 1),
        ("A method", 0), ("Method", 0), ("2020", 0), ("IV. Results", 1),
    ],
)  # fmt: skip
def test_numbers_of_headings(text, depth):
    assert number_depth(text) == depth


def test_lists_within_lists_and_with_numbers():
    content = page(
        [("List", (50, 100, 400, 200))],
        [
            line("1. One item", 50, 101), line("of two lines", 65, 116), line("– inner", 70, 131),
            line("► inner too", 70, 146), line("2. Two", 50, 161),
        ],
    )  # fmt: skip
    assert written(content) == ("1. One item of two lines\n   - inner\n   - inner too\n2. Two\n")
    text = html(build_document([content]), "x")
    assert "<ol><li>One item of two lines<ul><li>inner</li><li>inner too</li></ul></li>" in text


def test_a_reference_is_an_entry():
    numbered = page(
        [("Reference", (50, 100, 400, 150))],
        [line("[1] A. Author,", 50, 101), line("Title.", 70, 116), line("[2] B. Other.", 50, 131)],
    )
    assert written(numbered) == "- \\[1\\] A. Author, Title.\n- \\[2\\] B. Other.\n"
    hanging = page(
        [("Reference", (50, 100, 400, 150))],
        [line("Author, A. 2020.", 50, 101), line("Title.", 70, 116), line("Other, B.", 50, 131)],
    )
    assert written(hanging) == "- Author, A. 2020. Title.\n- Other, B.\n"


def test_contents_are_an_entry_a_line():
    content = page(
        [("Text", (50, 100, 400, 150))],
        [
            line("1 Introduction . . . . . . . 3", 50, 101),
            line("1.1 Aim ............ 4", 70, 116),
            line("2 Methods . . . . . . . . . 12", 50, 131),
        ],
    )  # fmt: skip
    assert written(content) == "- 1 Introduction … 3\n  - 1.1 Aim … 4\n- 2 Methods … 12\n"


def test_code_keeps_its_lines_and_indents():
    content = page(
        [("Code", (50, 100, 400, 180))],
        [
            line("def f(x):", 50, 101, mono=True), line("return `x`", 70, 116, mono=True),
            line("f(1)", 50, 146, mono=True),
        ],
    )  # fmt: skip
    assert written(content) == "```\ndef f(x):\n    return `x`\n\nf(1)\n```\n"


def test_footnotes_have_their_marks():
    text = Line(
        "A claim1 made.", (50, 101, 200, 111), 10,
        [Span("A claim"), Span("1", Style(script="super")), Span(" made.")],
    )  # fmt: skip
    note = Line(
        "1 Its ground.",
        (50, 700, 200, 710),
        8,
        [Span("1", Style(script="super")), Span(" Its ground.")],
    )
    content = page([("Text", (50, 100, 300, 112)), ("Footnote", (50, 699, 300, 711))], [text, note])
    assert written(content) == "A claim[^1] made.\n\n[^1]: Its ground.\n"
    text = html(build_document([content]), "x")
    assert 'href="#note-1"' in text and 'id="note-1"' in text and 'id="mark-1"' in text


def test_styles_of_letters():
    spans = [
        Span("bold", Style(bold=True)), Span(" and ", Style()),
        Span("leaning ", Style(italic=True)),
        Span("H", Style()), Span("2", Style(script="sub")), Span("O "),
        Span("f(x)", Style(mono=True)), Span(" "), Span("here", Style(link="https://a.b/c")),
    ]  # fmt: skip
    text = "".join(span.text for span in spans)
    content = page([("Text", (50, 100, 400, 112))], [Line(text, (50, 101, 300, 111), 10, spans)])
    assert written(content) == (
        "**bold** and *leaning* H<sub>2</sub>O `f(x)` [here](<https://a.b/c>)\n"
    )


def test_a_caption_is_the_alternative_text_and_figures_keep_their_words():
    content = page(
        [("Figure", (50, 100, 300, 300)), ("Figure caption", (50, 305, 300, 317))],
        [line("axis --> label", 100, 200), line("Figure 1: A [house]", 50, 306)],
        pictures=np.array([[40, 90, 280, 310], [0, 0, 600, 800]]),
    )
    assert content.blocks[0].box == (40, 90, 300, 310)  # as its picture, not as the page's ground
    content.blocks[0].picture = "pictures/a b.png"
    assert written(content) == (
        "![Figure 1: A \\[house\\]](pictures/a%20b.png)\n\n<!-- axis - -> label -->\n\n"
        "*Figure 1: A \\[house\\]*\n"
    )


def test_page_marks_and_the_document_of_entries():
    pages = [
        page([("Text", (50, 100, 300, 112))], [line("Text.", 50, 101)], number=k) for k in (3, 4)
    ]
    text = markdown(build_document(pages))
    assert text == "<!-- page 3 -->\n\nText.\n\n<!-- page 4 -->\n\nText.\n"


def test_a_page_of_an_entry_without_content():
    assert of_entries(
        entry("Header", [0, 0, 600, 10], 0, "Journal of Layout"),
        entry("Title", [100, 20, 400, 40], 1, "A *star* is", "born"),
        entry("Title", [50, 60, 200, 12], 2, "1. Introduction"),
        entry("Text", [50, 90, 200, 20], 3, "A line that is di-", "vided, and X-", "Ray."),
        entry("Table caption", [300, 90, 200, 10], 4, "Table 1: Numbers"),
        entry("Figure", [300, 110, 200, 100], 5, picture="pictures/a b_6.png"),
        entry("Table", [300, 110, 200, 10], 6, "1 2", picture="pictures/t_7.png"),
        entry("Figure caption", [300, 215, 200, 10], 7, "Figure 1: A house"),
        entry("Text", [50, 200, 200, 10], 8, "#hashtags and <b>tags</b>"),
        entry("Footer", [0, 790, 600, 10], 9, "7"),
        {"category": "Text", "bbox": [0, 0, 1, 1], "score": 0.1},
    ) == (
        "# A \\*star\\* is born\n\n"
        "## 1\\. Introduction\n\n"
        "A line that is divided, and X-Ray.\n\n"
        "![Figure 1: A house](pictures/a%20b_6.png)\n\n"
        "*Figure 1: A house*\n\n"
        "*Table 1: Numbers*\n\n"
        "![Table 1: Numbers](pictures/t_7.png)\n\n"
        "1 2\n\n"
        "#hashtags and \\<b>tags\\</b>\n"
    )


def test_captions_that_belong_to_nothing_stay():
    text = of_entries(
        entry("Figure", [0, 150, 100, 100], 0, picture="f.png"),
        entry("Figure caption", [200, 160, 100, 10], 1, "in another column"),
        entry("Figure caption", [0, 450, 100, 10], 2, "too far"),
        entry("Table caption", [0, 255, 100, 10], 3, "of a table"),
    )
    assert text == "![Figure](f.png)\n\nin another column\n\ntoo far\n\nof a table\n"


def test_chunks_know_the_headings_above_them():
    content = page(
        [
            ("Title", (50, 50, 300, 64)), ("Text", (50, 100, 300, 112)),
            ("Title", (50, 150, 300, 162)), ("Text", (50, 200, 300, 212)),
        ],
        [
            line("1 Aims", 50, 50, size=14), line("To read.", 50, 101),
            line("1.1 Means", 50, 150, size=12), line("By eyes, 2.", 50, 201),
        ],
    )  # fmt: skip
    found = list(chunks(build_document([content])))
    assert [(c["text"], c["headings"]) for c in found] == [
        ("To read.", ["1 Aims"]), ("By eyes, 2.", ["1 Aims", "1.1 Means"])
    ]  # fmt: skip
    assert found[0]["bbox"] == [50, 100, 250, 12] and found[0]["page"] == 1
    assert [c["tokens"] for c in found] == [3, 5]
    assert count_tokens("版面 ab, c") == 5


@pytest.mark.parametrize("text", ["# no heading", "- no item", "1. no item", "*a* _b_ `c` [d]"])
def test_markup_in_the_text_is_text(text):
    assert escape(text) != text and escape(text).replace("\\", "") == text


def test_few_escapes():
    for text in ("snake_case_name (a) - b", "3.5 > 2", "a + b = c", "C# and F#x", "10 % of $"[:-2]):
        assert escape(text) == text


def test_roles_of_common_data_sets():
    for names, expected in (
        ("Title title Section-header paragraph_title", "heading"),
        ("Figure Picture image", "picture"),
        ("Table table", "table"),
        ("Figure_caption Table_caption Caption", "caption"),
        ("Header Footer Page-header Page-footer", "furniture"),
        ("Equation Formula", "formula"),
        ("List List-item", "list"),
        ("Reference References", "reference"),
        ("Footnote footnote", "footnote"),
        ("Text paragraph 正文", "text"),
    ):
        assert {role(name) for name in names.split()} == {expected}
    assert role("Figure caption") == "caption" and role("Table of contents") == "contents"
