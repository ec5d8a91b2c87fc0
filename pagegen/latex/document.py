"""A whole document: what its class wants before the body, the body, the references."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from pagegen.latex.body import Body, Look
from pagegen.latex.macros import MARKS
from pagegen.latex.words import GREY, colour, escaped

Make = Callable[[Look], Body]
"""Makes the writer of a body for a class's look."""


@dataclass(frozen=True)
class Document:
    """A document's source and what its marks mean.

    Attributes:
        source: LaTeX.
        body: the writer, with the regions.
        kind: name of the class; a 2 behind it for two columns where a class has both.
    """

    source: str
    body: Body
    kind: str


def names(body: Body) -> list[str]:
    """Authors, one to seven."""
    return [escaped(body.prose.person()) for _ in range(body.rng.choice((1, 2, 2, 3, 3, 4, 5, 7)))]


def joined(people: list[str]) -> str:
    """Names with commas and an "and"."""
    return people[0] if len(people) == 1 else ", ".join(people[:-1]) + " and " + people[-1]


def address(body: Body) -> str:
    """An institute's address."""
    return escaped(body.prose.affiliation())


def title(body: Body) -> str:
    """The paper's title in its region."""
    return body.marked("Title", escaped(body.prose.title()))


def thanks(body: Body) -> str:
    """A footnote to the title or an author."""
    return rf"\thanks{{{colour(body.note_code())}{body.words(body.prose.footnote())}}}"


def abstract(body: Body) -> str:
    """The abstract's environment; the word above it is the class's."""
    code = body.region("Text", flows=True)
    text = body.text(body.rng.randint(350, 1300), code)
    group = rf"\leavevmode\begingroup{colour(code)}{text}\endgroup "
    return rf"\begin{{abstract}}{group}\end{{abstract}}"


def abstract_after_label(body: Body, low: int, high: int) -> str:
    """An abstract whose word stands in its first line: one region."""
    code = body.region("Text", flows=True)
    text = body.text(body.rng.randint(low, high), code)
    return (
        rf"\def\abstractname{{{colour(code)}Abstract}}"
        rf"\begin{{abstract}}{colour(code)}{text}\end{{abstract}}"
    )


def abstract_label(body: Body) -> str:
    """The class's word above the abstract as a region of its own."""
    return rf"\def\abstractname{{{colour(body.region('Section header'))}Abstract}}"


def keywords(body: Body) -> str:
    """Keywords without their label."""
    return escaped(body.prose.keywords()[1])


def short(text: str, most: int) -> str:
    """The first letters of LaTeX words, for a running head."""
    return text[:most].rstrip("\\")


def _stamp(body: Body) -> str:
    """The archive's stamp, turned, in the first page's left margin."""
    r = body.rng
    area = r.choice(["cs.CV", "math.AP", "hep-th", "astro-ph.GA", "cond-mat.str-el", "quant-ph"])
    month = r.choice(["Jan", "Mar", "May", "Jul", "Sep", "Nov"])
    text = f"arXiv:{r.randint(10, 21)}{r.randint(1, 12):02d}.{r.randint(1, 19999):05d}"
    text += f"v{r.randint(1, 3)}~~[{area}]~~{r.randint(1, 28)} {month} 20{r.randint(10, 21)}"
    return (
        rf"\AddToHook{{shipout/firstpage}}{{\put(-50,-490){{\rotatebox{{90}}{{\normalfont\Large"
        rf"{colour(body.ignored(), GREY)}{text}}}}}}}"
    )


def finished(preamble: list[str], head: str, body: Body, kind: str) -> Document:
    """The document with ``head`` as its title, and a body of some pages."""
    r: random.Random = body.rng
    pages = r.choice([3, 5, 7, 9])
    after = []
    if r.random() < 0.2:
        after.append(_stamp(body))
    if body.look.columns == 1 and r.random() < 0.08:
        number = rf"\normalfont\tiny{colour(body.ignored())}"
        preamble = [*preamble, r"\usepackage{lineno}"]
        after.append(rf"\def\linenumberfont{{{number}}}\linenumbers")
    text = body.fill(pages)
    end = body.references(r.choice([8, 15, 25, 40])) if r.random() < 0.85 else ""
    if end and r.random() < 0.35:
        extra = body.heading(words="Acknowledgements", star=True) + body.paragraph()
        end = extra + end if r.random() < 0.8 else end + extra
    if r.random() < 0.2:
        end = body.back_matter() + end
    start = [r"\begin{document}\makeatletter", head, r"\makeatother"]
    parts = [*preamble, MARKS, *after, *start, text, end, r"\end{document}", ""]
    return Document("\n".join(parts), body, kind)
