"""The looks of kinds of papers: what is fixed in each kind and what varies within it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pagegen.marks import BLACK, Colour
from pagegen.style import CHINESE_SANS, CHINESE_SERIF, SANS, Style, draw_style

ROMAN, TIMES, LIBERTINE, SERIF = (
    "New Computer Modern",
    "STIXGeneral",
    "Libertinus Serif",
    "Source Serif Pro",
)
DEJAVU_SANS, DEJAVU_SERIF = "DejaVu Sans", "DejaVu Serif"


@dataclass(frozen=True)
class PaperStyle(Style):
    """A page's looks, with what the older settings do not vary.

    Attributes:
        family: the kind of paper.
        caption_sans: captions in the face of the headings.
        equation_number: form of a formula's number; 1 stands for it, S for the section's.
        equation_number_left: it stands on the left.
        equation_share: how many formulas have a number.
        math: how much of the page is formulas, 0 to 1.
        list_gap: space between a list's items in parts of the type size; items far apart are
            regions of their own.
        line_numbers: lines are numbered in the margin, as for review.
        links: how citations look: plain, coloured, boxed or raised.
        link_colour: of coloured ones.
        run_in: how many paragraphs start with a heading in their line.
        caption_own_line: a caption's label stands on a line of its own.
        small_capitals: headings are set in them.
        stamp: a mark of an archive stands upright in the left margin.
    """

    family: str = ""
    caption_sans: bool = False
    equation_number: str = "(1)"
    equation_number_left: bool = False
    equation_share: float = 0.7
    math: float = 0.1
    list_gap: float = 0.0
    line_numbers: bool = False
    links: str = "plain"
    link_colour: Colour = BLACK
    run_in: float = 0.0
    caption_own_line: bool = False
    small_capitals: bool = False
    stamp: bool = False


Over = dict[str, Any]


def _leading(size: float, baseline: float) -> float:
    """Typst's leading for lines ``baseline`` points apart."""
    return baseline - 0.72 * size


def _margins(width: float, text: float, shift: float = 0.0) -> Over:
    side = (width - text) / 2
    return {"left": side + shift, "right": side - shift}


def _article(r: random.Random) -> Over:
    """LaTeX's article, amsart, a thesis: one narrow column, large margins."""
    width, height = r.choice([(612.0, 792.0), (595.3, 841.9)])
    size = r.choice([10.0, 10.0, 11.0, 12.0])
    text = {10.0: 345.0, 11.0: 360.0, 12.0: 390.0}[size] * r.choice([1.0, 1.0, 1.0, 1.1, 1.25])
    face = r.choice([ROMAN, ROMAN, ROMAN, ROMAN, TIMES, LIBERTINE])
    ams = r.random() < 0.35
    return {
        "family": "article", "width": width, "height": height, "columns": 1, "size": size,
        **_margins(width, text, r.choice([0, 0, 0, 12, -12])),
        "top": height * r.uniform(0.1, 0.17), "bottom": height * r.uniform(0.12, 0.2),
        "fonts": (face,), "head_fonts": (face,), "justify": True,
        "leading": _leading(size, size * r.choice([1.2, 1.2, 1.22, 1.3, 1.5])),
        "heading_align": "center" if ams else "left",
        "heading_form": r.choice(["1", "1", "1.", ""]),
        "heading_weight": "regular" if ams and r.random() < 0.5 else "bold",
        "heading_scale": r.choice([1.0, 1.2, 1.44]), "heading_colour": BLACK,
        "header_form": r.choice(["middle", "pair"]) if ams else r.choice(["none", "none", "pair"]),
        "footer_form": r.choice(["none", "number"]) if ams else "number",
        "caption_scale": r.choice([0.9, 1.0, 1.0]), "caption_bold": r.random() < 0.2,
        "table_form": r.choice(["booktabs", "double", "bars", "grid", "lines"]),
        "equation_number": r.choice(["(1)", "(1)", "(S.1)"]),
        "equation_number_left": ams and r.random() < 0.4,
        "math": r.choice([0.05, 0.2, 0.4, 0.6]), "reference_mark": r.choice(["[1]", "[1]", "none"]),
        "stamp": r.random() < 0.1,
    }  # fmt: skip


def _preprint(r: random.Random) -> Over:
    """A manuscript: one wide column, often with much space between the lines."""
    width, height = r.choice([(612.0, 792.0), (595.3, 841.9)])
    size = r.choice([11.0, 12.0, 12.0])
    face = r.choice([ROMAN, ROMAN, TIMES, TIMES, TIMES, LIBERTINE, DEJAVU_SERIF, SANS])
    side = width * r.uniform(0.1, 0.15)
    spread = r.choice([1.2, 1.3, 1.5, 1.8, 2.0, 2.0])
    return {
        "family": "preprint", "width": width, "height": height, "columns": 1, "size": size,
        "left": side, "right": side, "top": height * r.uniform(0.08, 0.13),
        "bottom": height * r.uniform(0.08, 0.13), "fonts": (face,), "head_fonts": (face,),
        "leading": _leading(size, size * spread), "justify": r.random() < 0.75,
        "header_form": r.choice(["none", "none", "number", "pair"]),
        "footer_form": r.choice(["number", "number", "none"]), "heading_colour": BLACK,
        "caption_scale": r.choice([0.9, 1.0]), "math": r.choice([0.0, 0.1, 0.3, 0.5]),
        "line_numbers": r.random() < 0.15,
        "table_form": r.choice(["booktabs", "grid", "double", "lines", "plain"]),
    }  # fmt: skip


def _physics(r: random.Random) -> Over:
    """Two columns as in physics journals: small margins, centred headings."""
    width, height = r.choice([(612.0, 792.0), (612.0, 792.0), (595.3, 841.9)])
    size = r.choice([9.5, 10.0, 10.0])
    face = r.choice([ROMAN, ROMAN, TIMES])
    return {
        "family": "physics", "width": width, "height": height, "columns": 2, "size": size,
        **_margins(width, width * r.uniform(0.81, 0.85)), "gutter": r.uniform(15, 20),
        "top": height * r.uniform(0.065, 0.1), "bottom": height * r.uniform(0.06, 0.11),
        "fonts": (face,), "head_fonts": (face,), "leading": _leading(size, size * 1.18),
        "justify": True, "indent": size, "heading_align": "center", "heading_colour": BLACK,
        "heading_form": r.choice(["I.", "I.", "upper"]), "heading_scale": r.choice([0.9, 1.0]),
        "heading_weight": r.choice(["bold", "bold", "regular"]), "caption_scale": 0.9,
        "caption_bold": False, "caption_align": "left", "caption_separator": ". ",
        "header_form": r.choice(["number", "none", "pair"]), "footer_form": "none",
        "table_form": r.choice(["double", "double", "lines", "bars"]), "reference_mark": "[1]",
        "math": r.choice([0.1, 0.2, 0.35]), "stamp": r.random() < 0.15,
    }  # fmt: skip


def _engineering(r: random.Random) -> Over:
    """Two columns in Times as at conferences of engineering."""
    width, height = r.choice([(612.0, 792.0), (612.0, 792.0), (595.3, 841.9)])
    size = r.choice([9.5, 10.0, 10.0, 11.0])
    face = r.choice([TIMES, TIMES, TIMES, ROMAN, LIBERTINE])
    return {
        "family": "engineering", "width": width, "height": height, "columns": 2, "size": size,
        **_margins(width, width * r.uniform(0.81, 0.86)), "gutter": r.uniform(12, 24),
        "top": height * r.uniform(0.06, 0.1), "bottom": height * r.uniform(0.06, 0.1),
        "fonts": (face,), "head_fonts": (face,), "leading": _leading(size, size * 1.16),
        "justify": True, "heading_align": r.choice(["center", "left"]), "heading_colour": BLACK,
        "heading_form": r.choice(["I.", "1", "1.", "upper"]),
        "heading_scale": r.choice([1.0, 1.1, 1.2]), "caption_scale": r.choice([0.8, 0.9, 1.0]),
        "caption_bold": r.random() < 0.2, "caption_align": r.choice(["left", "center"]),
        "header_form": r.choice(["none", "none", "pair", "number"]),
        "footer_form": r.choice(["none", "number"]),
        "table_form": r.choice(["booktabs", "grid", "bars", "lines"]),
        "reference_mark": r.choice(["[1]", "[1]", "none"]), "math": r.choice([0.02, 0.1, 0.25]),
    }  # fmt: skip


def _medicine(r: random.Random) -> Over:
    """Two columns of a journal of medicine or biology: a running head with a rule, colours."""
    width, height = r.choice([(595.3, 793.7), (595.3, 793.7), (612.0, 792.0), (595.3, 841.9)])
    size = r.choice([8.5, 9.0, 9.5, 10.0])
    face = r.choice([TIMES, TIMES, SERIF, LIBERTINE, SANS, DEJAVU_SANS])
    size = min(size, 8.5) if face == DEJAVU_SANS else size
    head = r.choice([face, SANS, SANS, DEJAVU_SANS])
    return {
        "family": "medicine", "width": width, "height": height, "columns": 2, "size": size,
        **_margins(width, width * r.uniform(0.78, 0.88)), "gutter": r.uniform(12, 24),
        "top": height * r.uniform(0.08, 0.11), "bottom": height * r.uniform(0.05, 0.09),
        "fonts": (face,), "head_fonts": (head,), "justify": r.random() < 0.9,
        "leading": _leading(size, size * r.uniform(1.18, 1.35)),
        "heading_align": "left", "heading_form": r.choice(["", "", "1", "1.", "upper"]),
        "heading_weight": "bold", "heading_scale": r.choice([1.0, 1.1, 1.25]),
        "heading_colour": r.choice(
            [BLACK, BLACK, (0x10, 0x40, 0x80), (0x90, 0x20, 0x20), (0x40, 0x40, 0x40)]
        ),
        "header_form": r.choice(["pair", "pair", "pair-rule", "outer", "middle"]),
        "footer_form": r.choice(["none", "none", "text", "pair", "number"]),
        "caption_sans": r.random() < 0.5, "caption_bold": True, "caption_align": "left",
        "caption_scale": r.choice([0.8, 0.85, 0.9]),
        "table_form": r.choice(["lines", "booktabs", "plain", "shaded", "banded", "rows"]),
        "reference_mark": "1.", "math": 0.0 if r.random() < 0.8 else 0.1,
    }  # fmt: skip


def _open_access(r: random.Random) -> Over:
    """One wide column of an open-access journal, with a broad left margin at times."""
    width, height = 595.3, r.choice([841.9, 841.9, 793.7])
    size = r.choice([9.5, 10.0, 10.5])
    face = r.choice([LIBERTINE, LIBERTINE, TIMES, SERIF, SANS])
    wide = r.random() < 0.4
    side = width * r.uniform(0.08, 0.14)
    return {
        "family": "open access", "width": width, "height": height, "columns": 1, "size": size,
        "left": width * r.uniform(0.26, 0.32) if wide else side,
        "right": width * r.uniform(0.06, 0.09) if wide else side,
        "top": height * r.uniform(0.09, 0.12), "bottom": height * r.uniform(0.08, 0.13),
        "fonts": (face,), "head_fonts": (r.choice([face, SANS]),), "justify": r.random() < 0.9,
        "leading": _leading(size, size * r.uniform(1.25, 1.45)), "heading_align": "left",
        "heading_form": r.choice(["1.", "1.", "", "1"]), "heading_scale": r.choice([1.0, 1.1, 1.3]),
        "header_form": r.choice(["pair", "pair-rule", "outer"]),
        "footer_form": r.choice(["none", "pair", "text"]), "caption_scale": r.choice([0.85, 0.9]),
        "caption_bold": True, "caption_align": r.choice(["left", "center"]),
        "table_form": r.choice(["booktabs", "lines", "shaded", "rows"]),
        "math": r.choice([0.0, 0.05, 0.2]),
    }  # fmt: skip


def _house(r: random.Random) -> Over:
    """Two columns of a large publisher: headings at the left, a running head in the middle."""
    width, height = r.choice([(544.3, 742.7), (595.3, 793.7), (595.3, 841.9)])
    size = r.choice([8.0, 8.5, 9.0])
    face = r.choice([TIMES, TIMES, LIBERTINE, ROMAN, SERIF])
    return {
        "family": "house", "width": width, "height": height, "columns": 2, "size": size,
        **_margins(width, width * r.uniform(0.84, 0.88)), "gutter": r.uniform(14, 24),
        "top": height * r.uniform(0.07, 0.1), "bottom": height * r.uniform(0.05, 0.09),
        "fonts": (face,), "head_fonts": (face,), "justify": True,
        "leading": _leading(size, size * r.uniform(1.17, 1.3)), "heading_align": "left",
        "heading_form": r.choice(["1.", "1.", "1", ""]), "heading_scale": 1.0,
        "header_form": r.choice(["pair", "middle", "pair-rule"]),
        "footer_form": r.choice(["none", "number", "text"]),
        "caption_scale": r.choice([0.85, 0.9]), "caption_align": r.choice(["left", "center"]),
        "table_form": r.choice(["lines", "lines", "booktabs", "plain"]),
        "reference_mark": r.choice(["[1]", "none", "1."]), "math": r.choice([0.0, 0.05, 0.2]),
    }  # fmt: skip


def _report(r: random.Random) -> Over:
    """A report or a manual: sans serif, large coloured headings, no indents."""
    width, height = r.choice([(595.3, 841.9), (595.3, 841.9), (612.0, 792.0), (516.0, 729.0)])
    columns = r.choice([1, 1, 2])
    size = r.choice([9.0, 10.0, 11.0]) if columns == 1 else r.choice([8.5, 9.0, 9.5])
    face = r.choice([SANS, SANS, DEJAVU_SANS, SERIF, DEJAVU_SERIF])
    size = size * 0.9 if face in (DEJAVU_SANS, DEJAVU_SERIF) else size
    colours = [(0x10, 0x50, 0x90), (0x00, 0x70, 0x70), (0xA0, 0x20, 0x30), (0x40, 0x40, 0x40)]
    return {
        "family": "report", "width": width, "height": height, "columns": columns, "size": size,
        "left": width * r.uniform(0.08, 0.2), "right": width * r.uniform(0.07, 0.14),
        "top": height * r.uniform(0.07, 0.13), "bottom": height * r.uniform(0.07, 0.12),
        "gutter": r.uniform(16, 28), "fonts": (face,), "head_fonts": (r.choice([face, SANS]),),
        "leading": _leading(size, size * r.uniform(1.25, 1.6)), "justify": r.random() < 0.4,
        "heading_align": "left", "heading_form": r.choice(["", "", "1", "1."]),
        "heading_weight": "bold", "heading_scale": r.choice([1.2, 1.4, 1.7, 2.0]),
        "heading_colour": r.choice(colours), "caption_align": "left", "caption_sans": True,
        "table_form": r.choice(["shaded", "banded", "rows", "grid"]),
        "header_form": r.choice(["none", "outer", "pair", "rule"]),
        "footer_form": r.choice(["number", "pair", "text"]), "math": 0.0,
    }  # fmt: skip


def _free(r: random.Random) -> Over:
    """Whatever the older settings draw: one to three columns."""
    return {"family": "free", "math": r.choice([0.0, 0.1, 0.3])}


def _chinese_journal(r: random.Random) -> Over:
    """A Chinese journal: two columns, a running head over a rule."""
    width, height = r.choice([(595.3, 841.9), (595.3, 841.9), (581.0, 799.0)])
    size = r.choice([9.0, 9.0, 10.5])
    return {
        "family": "chinese journal", "width": width, "height": height, "columns": 2, "size": size,
        **_margins(width, width * r.uniform(0.78, 0.86)), "gutter": size * 2,
        "top": height * r.uniform(0.08, 0.12), "bottom": height * r.uniform(0.06, 0.11),
        "leading": size * r.uniform(0.4, 0.75), "justify": True, "indent": 2 * size,
        "heading_align": "left", "heading_form": r.choice(["1", "1", "1.", "一、"]),
        "heading_scale": r.choice([1.0, 1.15, 1.3]), "heading_colour": BLACK,
        "header_form": r.choice(["middle", "rule", "pair-rule", "pair-rule", "pair"]),
        "footer_form": r.choice(["none", "none", "number", "text", "pair"]),
        "caption_scale": r.choice([0.83, 0.9, 1.0]),
        "table_form": r.choice(["booktabs", "booktabs", "booktabs", "grid", "bars"]),
        "math": r.choice([0.02, 0.1, 0.25]), "reference_mark": "[1]",
    }  # fmt: skip


def _chinese_thesis(r: random.Random) -> Over:
    """A Chinese thesis or report: one column, large type."""
    width, height = 595.3, 841.9
    size = r.choice([10.5, 12.0, 12.0])
    side = width * r.uniform(0.11, 0.16)
    return {
        "family": "chinese thesis", "width": width, "height": height, "columns": 1, "size": size,
        "left": side, "right": side, "top": height * r.uniform(0.1, 0.14),
        "bottom": height * r.uniform(0.09, 0.13), "leading": size * r.uniform(0.6, 1.0),
        "indent": 2 * size, "heading_align": r.choice(["left", "center"]),
        "heading_scale": r.choice([1.15, 1.3, 1.5]), "heading_colour": BLACK,
        "header_form": r.choice(["rule", "rule", "middle", "none"]),
        "footer_form": r.choice(["number", "dash", "none"]), "math": r.choice([0.0, 0.1, 0.3]),
        "table_form": r.choice(["grid", "booktabs", "grid", "rows"]),
    }  # fmt: skip


FAMILIES: dict[str, list[tuple[int, Callable[[random.Random], Over]]]] = {
    "en": [
        (33, _article), (19, _preprint), (12, _physics), (11, _engineering), (15, _medicine),
        (8, _open_access), (7, _house), (5, _report), (4, _free),
    ],
    "zh": [(60, _chinese_journal), (25, _chinese_thesis), (15, _free)],
}  # fmt: skip


def draw_paper_style(rng: random.Random, language: str) -> PaperStyle:
    """A style for a page in ``language``, ``en`` or ``zh``."""
    r = rng
    base = dict(vars(draw_style(r, language)))
    weights, families = zip(*FAMILIES[language], strict=True)
    over = r.choices(families, weights)[0](r)
    base.update(over)
    if language == "zh":
        latin = r.choice([TIMES, TIMES, ROMAN, LIBERTINE])
        base["fonts"] = (latin, r.choices((CHINESE_SERIF, CHINESE_SANS), (90, 10))[0])
        base["head_fonts"] = (r.choice([latin, SANS]), r.choice([CHINESE_SANS, CHINESE_SERIF]))
        base["caption_sans"] = r.random() < 0.3
    size, leading = base["size"], base["leading"]
    indented = language == "zh" or r.random() < (0.1 if over["family"] == "report" else 0.75)
    base["indent"] = (2.0 if language == "zh" else r.choice([1.0, 1.5, 2.0])) * size
    if not indented:
        base["indent"] = 0.0
    base["paragraph_skip"] = leading + (0.0 if indented else size * r.uniform(0.35, 0.9))
    base["list_gap"] = r.choice([0.0, 0.0, 0.3, 0.8])
    base["equation_share"] = r.choice([0.95, 0.8, 0.5])
    latex = over["family"] in ("article", "preprint", "physics", "engineering")
    forms = ["plain", "plain", "plain", "coloured", "coloured", "boxed" if latex else "raised"]
    base["links"] = r.choice(forms)
    base["link_colour"] = r.choice([(0, 0, 0xF0), (0x10, 0x40, 0xA0), (0, 0x80, 0), (0xD0, 0, 0)])
    base["small_capitals"] = language == "en" and latex and r.random() < 0.2
    base["run_in"] = r.choice([0.0, 0.0, 0.0, 0.1, 0.3])
    base["caption_own_line"] = r.random() < 0.08
    if language == "en" and r.random() < 0.15:
        base["caption_separator"] = " | "
    return PaperStyle(**base)
