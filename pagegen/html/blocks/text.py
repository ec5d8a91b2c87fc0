"""Running text: paragraphs, headings, lists, notes, references, contents, code, quotations."""

from __future__ import annotations

import re

from pagegen.html.blocks import math
from pagegen.html.writer import Writer, numeral

_SYLLABLE = re.compile(
    r"(?<=\w\w)([aeiouyäöüéèàáíóúìòаеёиоуыэюяіїαεηιουωάέήίόύώ])"
    r"([bcdfghjklmnpqrstvwxzбвгджзйклмнпрстфхцчшщβγδζθκλμνξπρστφχψ]"
    r"[aeiouyäöüéèàáíóúìòаеёиоуыэюяіїαεηιουωάέήίόύώ]\w)"
)
"""Where a word may break, about: a vowel, then a consonant and a vowel."""


def inline(w: Writer, text: str) -> str:
    """Words with some bold, slanted or linked in them, and marks of notes."""
    r = w.rng
    if w.hyphens and len(text) > 60:
        text = _SYLLABLE.sub("\\1\u00ad\\2", text)
    parts = text.split(" ")
    if w.math and len(parts) > 6 and r.random() < w.math:
        i = r.randrange(1, len(parts) - 1)
        formula = math.small(r)
        return f"{w.text(' '.join(parts[:i]))} {formula} {inline(w, ' '.join(parts[i:]))}"
    if len(parts) > 12 and r.random() < 0.06:
        k = r.randint(1, 4)
        return f"<b>{w.text(' '.join(parts[:k]))}{r.choice(['.', ':', ''])}</b> " + w.text(
            " ".join(parts[k:])
        )
    if len(parts) > 8 and r.random() < 0.3:
        i = r.randrange(len(parts) - 4)
        k = i + r.randint(1, 4)
        tag = r.choice(["b", "i", "i", "a", "u"])
        inner = w.text(" ".join(parts[i:k]))
        return f"{w.text(' '.join(parts[:i]))} <{tag}>{inner}</{tag}> {w.text(' '.join(parts[k:]))}"
    return w.text(text)


def paragraph(
    w: Writer,
    length: int | None = None,
    *,
    style: str = "",
    first: bool = False,
    note: bool = False,
) -> str:
    """A paragraph: one Text."""
    r = w.rng
    if length is None:
        length = r.choice([60, 120, 200, 300, 400, 600, 900])
    inner = inline(w, w.words.paragraph(length))
    if note:
        inner += f"<sup>{footnote(w)}</sup>"
    if first:
        style += ";text-indent:0"
    return w.mark("Text", inner, "p", style)


def footnote(w: Writer) -> str:
    """Add a footnote to the page's foot; returns its sign."""
    number = str(w.next("note"))
    r = w.rng
    text = inline(w, w.words.paragraph(r.choice([20, 50, 100, 200, 300])))
    w.notes.append(w.mark("Footnote", f"<sup>{number}</sup> {text}", "div"))
    return number


def heading(
    w: Writer,
    level: int = 1,
    *,
    text: str = "",
    category: str = "Section header",
    scale: float = 0.0,
    style: str = "",
) -> str:
    """A heading: one Section header."""
    look, r = w.look, w.rng
    words = text or w.words.title(1, r.choice([3, 5, 9]))
    form = look.heading_form
    if form == "upper":
        words = words.upper()
    lead = ""
    if look.heading_numbers and category == "Section header":
        number = w.next("section") if level == 1 else w.numbers["section"]
        n = look.heading_numbers
        lead = f"{n} {number}" if n in ("§", "Art.") else numeral(n, number)
        if level > 1:
            lead = f"{number}.{r.randint(1, 9)}"
        lead += r.choice([" ", "  ", "\u2003"])
    scale = scale or max(1.0, look.heading_scale * (1.0 if level == 1 else 0.85))
    inner = w.text(lead + words)
    return w.mark(category, inner, f"h{min(level, 4)}", f"font-size:{scale:.2f}em;{style}")


def title(w: Writer, scale: float = 2.0, style: str = "", text: str = "") -> str:
    """The title of a document."""
    return heading(
        w, 1, category="Title", scale=scale, style=style, text=text or w.words.title(2, 10)
    )


def items(
    w: Writer,
    count: int,
    *,
    ordered: bool = False,
    length: int = 0,
    deep: bool = True,
    first: int = 1,
) -> str:
    """A list, every item one List item with its sign."""
    r, look = w.rng, w.look
    length = length or r.choice([15, 40, 80, 160, 300])
    gap = r.choice([0, 0.1, 0.3, 0.6])
    hang = r.choice([1.2, 1.6, 2.0, 2.4])
    out = []
    for i in range(count):
        sign = numeral(look.numbers, first + i) if ordered else look.bullet
        text = (
            w.words.phrase(2, 8)
            if length < 30
            else w.words.paragraph(int(length * r.uniform(0.5, 1.5)))
        )
        out.append(_item(w, sign, inline(w, text), hang, gap))
        if deep and r.random() < 0.15:
            inner = "".join(
                _item(
                    w,
                    r.choice(["–", "○"]) if not ordered else numeral("a)", k + 1),
                    w.text(w.words.phrase(2, 9)),
                    hang * 0.9,
                    gap,
                )
                for k in range(r.randint(2, 4))
            )
            out.append(f'<div style="margin-inline-start:{hang}em">{inner}</div>')
    return f'<div class="list">{"".join(out)}</div>'


def _item(w: Writer, sign: str, inner: str, hang: float, gap: float) -> str:
    hang = max(hang, 0.55 * len(sign) + 0.5)
    lead = (
        f'<span style="display:inline-block;min-width:{hang:.2f}em;text-indent:0">'
        f"{w.text(sign)}</span>"
    )
    return w.mark(
        "List item",
        lead + inner,
        "p",
        f"margin:{gap}em 0;padding-inline-start:{hang:.2f}em;text-indent:-{hang:.2f}em",
    )


def references(w: Writer, count: int) -> str:
    """A list of references: one Reference a column."""
    r = w.rng
    mark = r.choice(["[1]", "1.", "", "", "(1)"])
    first = r.choice([1, 1, r.randint(2, 40)])
    rows = []
    for i in range(count):
        sign = numeral(mark, first + i) if mark else ""
        people = ", ".join(w.words.name() for _ in range(r.randint(1, 4)))
        text = (
            f"{people} ({r.randint(1950, 2026)}). <i>{w.text(w.words.title(4, 10))}</i>. "
            f"{w.text(w.words.company())}, {r.randint(1, 80)}({r.randint(1, 12)}), "
            f"{r.randint(1, 300)}–{r.randint(301, 900)}."
        )
        rows.append(
            f'<p style="padding-inline-start:2em;text-indent:-2em;margin:{r.choice([0, 0.2])}em 0">'
            f"{w.text(sign)} {text}</p>"
        )
    return w.mark("Reference", "".join(rows), "div", f"font-size:{r.choice([0.8, 0.9, 1.0])}em")


def contents(w: Writer, count: int) -> str:
    """Lines of a table of contents: one Table of contents a column."""
    r = w.rng
    leader = r.choice(["dotted", "dotted", "solid", "none"])
    page, chapter = r.randint(1, 9), r.randint(1, 3)
    gap = r.choice([0.1, 0.3, 0.6, 1.0])
    section = 0
    numbered = r.random() < 0.7
    rows = []
    for _ in range(count):
        deep = r.random() < 0.6 and section < 9
        if deep:
            section += 1
        else:
            chapter, section = chapter + 1, 0
        page += r.randint(0, 8)
        number = (
            (f"{chapter}.{section}" if section else f"{chapter}") + "\u2003" if numbered else ""
        )
        line = (
            f'<span style="flex:0 1 auto">{w.text(number + w.words.title(1, 7))}</span>'
            f'<span style="flex:1;min-width:1em;border-bottom:1px {leader} #666;margin:0 '
            f'.3em .3em">'
            f"</span><span>{page}</span>"
        )
        weight = "" if deep else "font-weight:bold;"
        rows.append(
            f'<div style="display:flex;align-items:flex-end;{weight}margin:{gap}em 0;'
            f'padding-inline-start:{1.5 if deep else 0}em;break-inside:avoid">{line}</div>'
        )
    return w.mark("Table of contents", "".join(rows))


def code(w: Writer) -> str:
    """Lines of a program or a console: one Code."""
    r = w.rng
    words = (
        [x.lower() for x in (w.words.word() for _ in range(12))]
        if not w.words.cjk
        else ["value", "row", "size", "name"]
    )
    rows, depth = [], 0
    for _ in range(r.randint(3, 16)):
        a, b, n = r.choice(words), r.choice(words), r.randint(0, 99)
        line = r.choice(
            [
                f"def {a}({b}):",
                f"if {a} == {n}:",
                f"{a} = {b}[{n}]",
                f"return {a}",
                f"$ {a} --{b}",
                f"for {a} in {b}:",
                f'print("{a} {b}")',
                f"# {a} {b}",
                f"{a}.{b}({n});",
                f"<{a}>{b}</{a}>",
                f"import {a}",
                f"{a}: {n}",
                "}",
                f"while ({a} < {n}) {{",
            ]
        )
        rows.append(" " * (2 * depth) + line)
        depth = min(4, depth + 1) if line[-1] in ":{" else max(0, depth - r.randint(0, 1))
    return listing(w, "\n".join(rows))


def listing(w: Writer, text: str) -> str:
    """Text in lines of a typewriter's type, on a ground or in a frame in some: one Code."""
    r = w.rng
    box = r.choice(
        [
            "",
            "",
            f"background:{w.look.tint};padding:.6em",
            "border:1px solid #999;padding:.5em",
            "border-left:3px solid #999;padding-left:.8em",
        ]
    )
    inner = w.mark(
        "Code",
        w.text(text),
        "div",
        f"font-family:'{w.look.mono}',monospace;white-space:pre-wrap;text-align:left",
        'dir="ltr" data-f="one"',
    )
    box += f";font-size:{r.choice([0.75, 0.85, 0.9])}em;margin:.7em 0;break-inside:avoid"
    return f'<div style="{box}">{inner}</div>'


def box(w: Writer, inner: str) -> str:
    """Blocks on a coloured ground or in a frame."""
    r, look = w.rng, w.look
    form = r.choice(["tint", "frame", "bar", "dark", "tintframe"])
    css = {
        "tint": f"background:{look.tint}",
        "frame": f"border:{r.choice([1, 2])}px solid {look.accent}",
        "bar": f"border-inline-start:5px solid {look.accent}",
        "dark": f"background:{look.accent};color:#fff",
        "tintframe": f"background:{look.tint};border:1px solid {look.accent}",
    }[form]
    round_ = f"border-radius:{r.choice([0, 0, 4, 10])}px"
    return (
        f'<div class="box" style="{css};{round_};padding:{r.uniform(0.5, 1.2):.2f}em;'
        f'margin:.8em 0;break-inside:avoid">{inner}</div>'
    )


def quotation(w: Writer) -> str:
    """A pull quote in large type, or a paragraph set in."""
    r, look = w.rng, w.look
    if r.random() < 0.5:
        return w.mark(
            "Text",
            w.text("“" + w.words.sentence() + "”"),
            "p",
            f"font-size:{r.choice([1.3, 1.6, 2.0])}em;line-height:1.25;text-indent:0;"
            f"color:{look.accent};font-family:'{look.head}';"
            f"text-align:{r.choice(['center', 'start'])};"
            f"margin:.6em {r.choice([0, 1])}em",
        )
    return paragraph(w, r.choice([100, 200, 300]), style="margin:.6em 2em;font-size:.93em")
