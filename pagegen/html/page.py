"""A page of any kind as HTML."""

from __future__ import annotations

import random
from collections.abc import Callable

from pagegen.html.blocks import extras, furniture
from pagegen.html.content.dictionaries import languages
from pagegen.html.content.pictures import Pictures
from pagegen.html.content.texts import texts_of
from pagegen.html.look import Look
from pagegen.html.writer import Writer

CSS = """*{box-sizing:border-box}body{margin:0;text-rendering:geometricPrecision;
-webkit-print-color-adjust:exact}
.pg{position:relative;overflow:hidden;break-after:page;contain:strict;display:flex;flex-direction:column}
.pg p,.pg h1,.pg h2,.pg h3,.pg h4{margin:0;break-inside:auto;orphans:2;widows:2}
.flow{flex:1 1 0;min-height:0;overflow:hidden;column-fill:auto}
.flow h1,.flow h2,.flow h3,.flow h4{break-after:avoid;break-inside:avoid}
.notes{line-height:1.2}sup{font-size:.65em;line-height:0}a{color:#1a4fa0;text-decoration:none}
math{font-family:"STIX Two Math","STIX Math","Latin Modern Math","Asana Math",math}
td,th{vertical-align:inherit;text-align:start;hyphens:manual}"""

Kind = Callable[[random.Random, str, Pictures], "tuple[Writer, str]"]


def finish(w: Writer, body: str, *, head: bool = True, over: str = "", css: str = "") -> str:
    """The page around its running body: head, notes and foot."""
    look, r = w.look, w.rng
    top, foot = furniture.running(w) if head else ("", "")
    m = look.margin
    notes = ""
    if w.notes:
        line = f"border-top:1px solid {look.ink};" if r.random() < 0.8 else ""
        width = r.choice([25, 35, 100])
        notes = (
            f'<div class="notes" style="margin-top:.8em;'
            f'font-size:{r.choice([0.65, 0.75, 0.8, 0.9])}em">'
            f'<div style="{line}width:{width}%;height:.4em"></div>{"".join(w.notes)}</div>'
        )
    gap = look.size * r.uniform(0.8, 1.6)
    if head and r.random() < 0.05:
        over += extras.turn(w, w.words.title(2, 5))
    if r.random() < 0.015:
        over = extras.watermark(w) + over
    if r.random() < 0.01:
        over += extras.stamp(w)
    pad_top = max(m[0] * (0.5 if top else 1), 14)
    pad_foot = max(m[2] * (0.45 if foot else 1), 14)
    rule = "column-rule:1px solid #999;" if look.rule and look.columns > 1 else ""
    headings = {"bar": f"border-inline-start:.3em solid {look.accent};padding-inline-start:.4em;",
                "under": f"border-bottom:1px solid {look.accent};padding-bottom:.1em;",
                "italic": "font-style:italic;"
                          "font-weight:normal;", "plain": "font-weight:normal;"}  # fmt: skip
    name = f"k{r.getrandbits(60):x}"
    style = (
        f".{name} h1,.{name} h2,.{name} h3,.{name} "
        f"h4{{font-family:'{look.head}';color:{look.accent};"
        f"line-height:1.2;text-indent:0;text-align:start;margin:{r.choice([0.6, 0.9, 1.3])}em 0 "
        f"{r.choice([0.2, 0.4, 0.6])}em;{headings.get(look.heading_form, '')}}}"
        f".{name} .flow p{{text-indent:{look.indent:.1f}px;margin-bottom:{look.skip:.1f}px}}"
        f".{name} .list p{{margin-bottom:0}}{css}"
    )
    direction = "rtl" if look.rtl else "ltr"
    return (
        f"<style>{style}</style>"
        f'<section class="pg {name}" lang="{look.language}" dir="{direction}" style="page:@PAGE@;'
        f"width:{look.width}px;height:{look.height}px;background:{look.ground};color:{look.ink};"
        f"font:{look.size:.2f}px/{look.leading} '{look.body}';text-align:{look.align};hyphens:auto;"
        f'padding:{pad_top:.0f}px {m[1]:.0f}px {pad_foot:.0f}px {m[3]:.0f}px">{over}'
        f'{top}<div class="flow clip" style="margin-top:{gap if top else 0:.0f}px;'
        f'columns:{look.columns};column-gap:{look.gap:.1f}px;{rule}">{body}</div>'
        f'{notes}<div style="height:{gap if foot else 0:.0f}px"></div>{foot}</section>'
    )


def draw_language(rng: random.Random) -> str:
    """A page's language: English in a third, Chinese in a tenth, else any that the machine has."""
    roll = rng.random()
    if roll < 0.33:
        return "en"
    if roll < 0.4:
        return "zh"
    if roll < 0.43:
        asked = rng.choice(["ja", "ko"])
        return asked if texts_of(asked) is not None else "zh"
    return rng.choice(languages())


def write_page(rng: random.Random, pictures: Pictures, kind: str = "") -> tuple[str, Look, str]:
    """A page of a kind (else any): its HTML, looks and kind."""
    from pagegen.html.kinds import KINDS, SHARES

    kind = kind or rng.choices(list(KINDS), [SHARES[k] for k in KINDS])[0]
    w, html = KINDS[kind](rng, draw_language(rng), pictures)
    return html, w.look, kind
