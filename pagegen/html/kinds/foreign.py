"""Pages whose words and structure are those of free HTML documents, in looks of ours."""

from __future__ import annotations

import random
import re
from html import unescape
from pathlib import Path

from pagegen.html.blocks import tables, text
from pagegen.html.content import foreign
from pagegen.html.content.pictures import Pictures
from pagegen.html.kinds.running import report
from pagegen.html.look import draw_look
from pagegen.html.page import finish
from pagegen.html.writer import Writer

Made = tuple[Writer, str]


def document(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a free document; a report where the machine has none."""
    r = rng
    blocks = foreign.passage(r)
    if not blocks:
        return report(r, language, pictures)
    words = " ".join(inner for _, inner in blocks)
    look = draw_look(r, _language(words), papers=("a4", "a4", "letter", "b5"), colourful=0.5,
                     columns=(1, 1, 1, 2))  # fmt: skip
    w = Writer(r, look, pictures)
    form = r.choice(["grid", "rows", "head", "striped", "none", "book"])
    parts = [_block(w, kind, inner, form) for kind, inner in blocks]
    return w, finish(w, "".join(parts))


_LETTERS = (
    ("ja", "\u3040-\u30ff"), ("zh", "\u4e00-\u9fff"), ("ko", "\uac00-\ud7af"),
    ("ru", "\u0400-\u04ff"), ("el", "\u0370-\u03ff"), ("ar", "\u0600-\u06ff"),
    ("he", "\u0590-\u05ff"),
)  # fmt: skip


def _language(words: str) -> str:
    """A language of the script that most of the words are in."""
    for language, letters in _LETTERS:
        if len(re.findall(f"[{letters}]", words)) > 0.12 * len(words):
            return language
    return "en"


def _block(w: Writer, kind: str, inner: str, form: str) -> str:
    look, r = w.look, w.rng
    if kind == "Figure":
        width = look.column_width * 0.9
        label = tables.caption(w, "figure") if r.random() < 0.5 else ""
        picture = (
            f'<img data-r="Figure" src="{Path(inner).as_uri()}" style="display:block;'
            f"max-width:{width:.0f}px;max-height:{look.body_height * 0.4:.0f}px;min-width:8px;"
            f'min-height:8px;margin-inline:auto">'
        )
        return f'<div style="break-inside:avoid;margin:.8em 0">{picture}{label}</div>'
    if kind == "Table":
        if "<td>" not in inner or inner.count("<tr>") < 3:
            return ""
        return _table(w, inner, form)
    if kind.startswith("List item"):
        _, sign, deep = kind.split("/")
        sign = look.bullet if sign == "•" else sign
        hang = max(1.4, 0.6 * len(sign) + 0.6)
        return w.mark(
            "List item",
            f'<span style="display:inline-block;min-width:{hang}em;text-indent:0">'
            f'{sign}</span>{inner}',
            "p",
            f"padding-inline-start:{hang}em;text-indent:-{hang}em;"
            f"margin-inline-start:{hang * (min(int(deep), 3) - 1):.1f}em",
        )  # fmt: skip
    if kind in ("Title", "Section header"):
        scale = 1.8 if kind == "Title" else look.heading_scale
        return w.mark(kind, inner, "h1" if kind == "Title" else "h2", f"font-size:{scale}em")
    if kind == "Code":
        return text.listing(w, unescape(re.sub(r"<[^>]+>", "", inner)))
    if kind.endswith("caption"):
        return w.mark(kind, inner, "div", f"font-size:{look.caption_scale}em;margin:.4em 0")
    return w.mark("Text", inner, "p")


def _table(w: Writer, inner: str, form: str) -> str:
    """A table's rows in looks of ours."""
    look = w.look
    cell = f"padding:{w.rng.choice([0.1, 0.3])}em {w.rng.choice([0.3, 0.6])}em;"
    line = w.rng.choice(["#000", "#999", look.accent])
    cell += {"grid": f"border:1px solid {line}", "rows": f"border-bottom:1px solid {line}"}.get(
        form, "")  # fmt: skip
    head = cell + (f";border-bottom:1px solid {line}" if form in ("head", "book") else "")
    html = inner.replace("<td>", f'<td style="{cell}">').replace("<th>", f'<th style="{head}">')
    if form == "striped":
        rows = html.split("<tr>")
        html = rows[0] + "".join(
            f'<tr style="background:{look.tint}">{row}' if i % 2 else f"<tr>{row}"
            for i, row in enumerate(rows[1:])
        )
    width = "width:100%;" if w.rng.random() < 0.5 else "margin:.6em auto;"
    return w.mark("Table", html, "table",
                  f"{width}border-collapse:collapse;font-size:{w.rng.choice([0.75, 0.85, 1])}em;"
                  f"line-height:1.25;overflow-wrap:anywhere")  # fmt: skip


KINDS = {"document": document}
SHARES = {"document": 16}
