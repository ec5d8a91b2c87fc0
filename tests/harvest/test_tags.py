"""Tags of pages whose tree is known, and trees that are made to do harm."""

from __future__ import annotations

import numpy as np
import pypdfium2 as pdfium
import pytest

from lmv3det.harvest import read_labels
from lmv3det.harvest.tags import RoleMap
from tests.harvest.tagged_pdf import simple, tagged


def labels(path, untagged=0.02):
    with pdfium.PdfDocument(path) as document:
        page = document[0]
        image = np.array(page.render(scale=1).to_pil().convert("RGB"))
        return read_labels(page, image, 1.0, RoleMap(document), untagged)


def kinds(path):
    return [(region.kind, region.rows[0].text) for region in labels(path).regions]


def test_a_chain_of_the_role_map_is_followed_to_its_end(tmp_path):
    elements = {
        20: b"/S/Document/P 6 0 R/K[21 0 R 22 0 R]",
        21: b"/S/My#20Style/P 20 0 R/K 0",
        22: b"/S/Other/P 20 0 R/K 1",
    }
    roles = b"/My#20Style/Middle/Middle/Last/Last/H2/Other/Quote9/Quote9/P"
    path = tagged(tmp_path / "a.pdf", elements, [21, 22], roles=roles)
    found = labels(path)
    assert [(r.kind, r.level) for r in found.regions] == [("Section header", 2), ("Text", 0)]
    assert found.reasons == []


@pytest.mark.parametrize("roles", [b"", b"/Odd/Even/Even/Odd"])
def test_a_tag_that_nobody_knows_leaves_the_page_out(tmp_path, roles):
    elements = {20: b"/S/Document/P 6 0 R/K 21 0 R", 21: b"/S/Odd/P 20 0 R/K 0"}
    path = tagged(tmp_path / "a.pdf", elements, [21], roles=roles)
    assert labels(path).reasons == ["unknown tags: Odd"]


def test_items_stand_apart_and_nested_ones_too(tmp_path):
    elements = {
        20: b"/S/L/P 6 0 R/K[21 0 R 22 0 R]",
        21: b"/S/LI/P 20 0 R/K[23 0 R 24 0 R]",
        23: b"/S/LBody/P 21 0 R/K 0",
        24: b"/S/L/P 21 0 R/K 25 0 R",
        25: b"/S/LI/P 24 0 R/K 26 0 R",
        26: b"/S/P/P 25 0 R/K 1",
        22: b"/S/LI/P 20 0 R/K 2",
    }
    path = tagged(tmp_path / "a.pdf", elements, [23, 26, 22])
    assert kinds(path) == [("List item", f"words of line {number}") for number in range(3)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("Table 3: words", "Table caption"), ("Abb. 3: Worte", "Figure caption"),
     ("words", "Table caption")],
)  # fmt: skip
def test_captions_are_told_by_words_then_by_what_stands_near(tmp_path, text, kind):
    elements = {
        20: b"/S/Document/P 6 0 R/K[21 0 R 22 0 R]",
        21: b"/S/Caption/P 20 0 R/K 0",
        22: b"/S/Table/P 20 0 R/K[23 0 R 24 0 R]",
        23: b"/S/TR/P 22 0 R/K[25 0 R 26 0 R]",
        25: b"/S/TD/P 23 0 R/K 1",
        26: b"/S/TD/P 23 0 R/K 2",
        24: b"/S/TR/P 22 0 R/K 27 0 R",
        27: b"/S/TD/P 24 0 R/K 3",
    }
    path = tagged(tmp_path / "a.pdf", elements, [21, 25, 26, 27], [text, "a", "b", "c"])
    assert [region.kind for region in labels(path).regions] == [kind, "Table"]


def test_heads_and_feet_are_told_by_their_place(tmp_path):
    head = "/Artifact BMC BT /F 9 Tf 72 820 Td (A running head) Tj ET EMC\n"
    foot = "/Artifact BMC BT /F 9 Tf 290 20 Td (17) Tj ET EMC\n"
    path = tagged(
        tmp_path / "a.pdf", {20: b"/S/P/P 6 0 R/K 0"}, [20], ["x" * 60], extra=head + foot
    )
    found = labels(path)
    assert [(r.kind, r.rows[0].text) for r in found.regions[1:]] == [
        ("Header", "A running head"), ("Footer", "17"),
    ]  # fmt: skip
    assert found.untagged == 0


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("BT /F 12 Tf 72 400 Td (text that nobody has tagged) Tj ET\n", "untagged text"),
        ("q 200 0 0 150 72 300 cm 0 0 1 1 re f Q\n", "untagged drawing"),
        ("BT 3 Tr /F 12 Tf 72 400 Td (text that is there and not drawn) Tj ET\n", "hidden text"),
    ],
)
def test_pages_that_cannot_be_trusted_say_why(tmp_path, extra, reason):
    path = tagged(tmp_path / "a.pdf", {20: b"/S/P/P 6 0 R/K 0"}, [20], extra=extra)
    (why,) = labels(path).reasons
    assert why.startswith(reason)


def test_an_empty_figure_leaves_the_page_out(tmp_path):
    elements = {
        20: b"/S/Document/P 6 0 R/K[21 0 R 22 0 R]",
        21: b"/S/P/P 20 0 R/K 0",
        22: b"/S/Figure/P 20 0 R/K 1",
    }
    path = tagged(tmp_path / "a.pdf", elements, [21, 22], ["some words"])
    assert labels(path).reasons == ["empty figure: 1"]


def test_regions_that_overlap_leave_the_page_out(tmp_path):
    elements = {
        20: b"/S/Document/P 6 0 R/K[21 0 R 22 0 R]",
        21: b"/S/P/P 20 0 R/K 0",
        22: b"/S/P/P 20 0 R/K 1",
    }
    over = "/P <</MCID 1>> BDC BT /F 12 Tf 74 699 Td (words over words) Tj ET EMC\n"
    path = tagged(tmp_path / "a.pdf", elements, [21, 22], ["words below"], extra=over)
    (why,) = labels(path).reasons
    assert why.startswith("overlapping regions: 1, such as Text and Text")


def test_an_id_that_the_tree_does_not_have_is_untagged_text(tmp_path):
    path = tagged(tmp_path / "a.pdf", {20: b"/S/P/P 6 0 R/K 0"}, [20], ["words", "others"])
    (why,) = labels(path).reasons
    assert why == "untagged text: 55% of the letters"


def test_code_beside_text_of_no_paragraph_is_part_of_it(tmp_path):
    elements = {
        20: b"/S/Document/P 6 0 R/K[21 0 R 24 0 R]",
        21: b"/S/Div/P 20 0 R/K[22 0 R 1]",
        22: b"/S/Code/P 21 0 R/K 0",
        24: b"/S/Div/P 20 0 R/K 25 0 R",
        25: b"/S/Code/P 24 0 R/K 2",
    }
    path = tagged(tmp_path / "a.pdf", elements, [22, 21, 25])
    assert [kind for kind, _ in kinds(path)] == ["Text", "Text", "Code"]  # two lines, and one


def hostile_trees():
    deep = {20: b"/S/Document/P 6 0 R/K 21 0 R"}
    for number in range(21, 221):
        deep[number] = b"/S/Sect/P %d 0 R/K %d 0 R" % (number - 1, number + 1)
    deep[221] = b"/S/P/P 220 0 R/K 0"
    wide = {20: b"/S/Document/P 6 0 R/K[%s]" % (b"21 0 R " * 30_000), 21: b"/S/P/P 20 0 R/K 0"}
    return {
        "a cycle of parents": (
            {20: b"/S/Sect/P 21 0 R/K 21 0 R", 21: b"/S/Sect/P 20 0 R/K[20 0 R 22 0 R]",
             22: b"/S/P/P 21 0 R/K[0 20 0 R 21 0 R]"}, [22]),
        "its own parent": ({20: b"/S/P/P 20 0 R/K[0 20 0 R]"}, [20]),
        "deep": (deep, [221]),
        "one element many times": (wide, [21]),
        "no such elements": ({20: b"/S/P/P 6 0 R/K 0"}, [99]),
        "an id beyond all": ({20: b"/S/P/P 6 0 R/K[0 2147483647 -5 99999999999]"}, [20]),
        "no type": ({20: b"/P 6 0 R/K 0"}, [20]),
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile_trees())
def test_hostile_trees_give_regions_or_a_reason(tmp_path, name):
    elements, owners = hostile_trees()[name]
    found = labels(tagged(tmp_path / "a.pdf", elements, owners))
    assert [region.kind for region in found.regions] == ["Text"] or found.reasons


def test_a_plain_page_is_trusted(tmp_path):
    found = labels(simple(tmp_path / "a.pdf"))
    assert found.reasons == []
    assert [(r.kind, r.level) for r in found.regions] == [
        ("Section header", 1), ("Text", 0), ("Text", 0),
    ]  # fmt: skip
