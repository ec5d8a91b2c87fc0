"""The standard classes in many dresses: preprints, conference papers, chapters of books."""

from __future__ import annotations

import random

from pagegen.latex.body import Body, Look
from pagegen.latex.document import (
    Document,
    Make,
    abstract,
    abstract_label,
    address,
    finished,
    joined,
    names,
    short,
    thanks,
    title,
)
from pagegen.latex.macros import FONTS, PACKAGES, THEOREMS
from pagegen.latex.words import colour, escaped

FONT_NAMES = ["cm", "cm", "lm", "times", "oldtimes", "palatino", "charter", "newcent", "utopia"]
FONT_NAMES += ["sans", "bookman"]
HEADING_STYLES = {
    "sans": (r"\sffamily\bfseries", r"\normalsize\sffamily\bfseries"),
    "small": (r"\normalsize\bfseries", r"\normalsize\bfseries"),
    "center": (r"\centering\scshape", r"\normalsize\centering\scshape"),
    "bold": (r"\large\bfseries", r"\normalsize\bfseries"),
}
"""Commands for sections and for subsections."""
CAPTION_STYLES = [
    "font=small",
    "font=small,labelfont=bf",
    "labelfont=bf",
    "font=footnotesize,font+=it",
    "font=small,justification=centering",
    "font=small,labelsep=period",
    "font=sf",
]


def article(r: random.Random, make: Make) -> Document:
    """A paper, or a chapter of a report; sometimes pages from its middle."""
    size = r.choice([10, 10, 11, 11, 12])
    two = r.random() < 0.3
    paper = r.choice(["a4paper", "letterpaper"])
    font = r.choice(FONT_NAMES)
    if two:
        size = min(size, 11)
    margin = r.uniform(0.65, 0.9) if two else r.uniform(0.8, 1.4)
    gutter = r.uniform(0.22, 0.35)
    text = (8.27 if paper == "a4paper" else 8.5) - 2 * margin
    width = 72.27 * ((text - gutter) / 2 if two else text)
    spread = 1.0 if two else r.choice([1, 1, 1, 1.1, 1.25, 1.5, 1.9])
    length = int(text * 8.9 * 72.27 * 72.27 / (size * 0.47 * size * 1.2 * spread))
    book = not two and r.random() < 0.15
    cites = r.choice(["number", "number", "name"])
    look = Look(2 if two else 1, width, length, cites=cites, caption_above=r.random() < 0.7)
    body = make(look)
    kind = "report" if book else "article"
    options = f"{size}pt,{paper}" + (",twocolumn" if two else "")
    if r.random() < 0.06:
        options += ",fleqn"
    preamble = [rf"\documentclass[{options}]{{{kind}}}", PACKAGES, FONTS[font], THEOREMS]
    top, bottom = r.uniform(0.7, 1.1), r.uniform(0.8, 1.2)
    preamble.append(
        rf"\usepackage[margin={margin:.2f}in,top={top:.2f}in,bottom={bottom:.2f}in,"
        rf"columnsep={gutter:.2f}in,includehead={r.choice(['true', 'false'])}]{{geometry}}"
    )
    if spread > 1:
        preamble.append(rf"\linespread{{{spread}}}")
    preamble += _running_heads(body)
    if r.random() < 0.25:
        preamble.append(r"\setlength\parindent{0pt}\setlength\parskip{6pt plus 2pt}")
    preamble += _styles(body, book)
    if cites == "name":
        preamble.append(r"\usepackage{natbib}")
    titled = r.random() < 0.85
    if book:
        head = rf"\setcounter{{chapter}}{{{r.randint(0, 6)}}}"
        head += rf"\def\headmark{{{colour(body.region('Section header'))}}}"
        head += rf"\chapter{{{escaped(body.prose.title())}}}"
    elif titled:
        head = _title_block(body, two)
    else:
        head = (
            rf"\setcounter{{page}}{{{r.randint(2, 60)}}}\setcounter{{section}}{{{r.randint(0, 5)}}}"
        )
        head += rf"\setcounter{{equation}}{{{r.randint(0, 60)}}}"
    return finished(preamble, head, body, kind + ("2" if two else ""))


def _running_heads(body: Body) -> list[str]:
    r = body.rng
    form = r.choice(["plain", "plain", "plain", "fancy", "fancy", "none", "myheadings"])
    if form == "none":
        return [r"\pagestyle{empty}"]
    if form == "myheadings":
        words = short(escaped(body.prose.running_head()), 60)
        return [rf"\pagestyle{{myheadings}}\markright{{{words}}}"]
    if form == "plain":
        return []
    words = short(escaped(body.prose.running_head()), 70)
    where = r.choice("LCR")
    other = "L" if where == "R" else "R"
    number = r.choice([r"\fancyfoot[C]", rf"\fancyhead[{other}]", r"\fancyfoot[R]"])
    font = r.choice(["", "", r"\itshape ", r"\small "])
    rule = r.choice([0, 0.4, 0.4, 0.8])
    return [
        r"\usepackage{fancyhdr}\pagestyle{fancy}\fancyhf{}",
        rf"\fancyhead[{where}]{{{font}{words}}}{number}{{\thepage}}",
        rf"\renewcommand\headrulewidth{{{rule}pt}}\setlength\headheight{{14pt}}",
    ]


def _styles(body: Body, book: bool) -> list[str]:
    """Looks of titles and captions."""
    r = body.rng
    styles = []
    look = r.choice(["", "", "", *HEADING_STYLES])
    if look and not book:
        section, subsection = HEADING_STYLES[look]
        styles.append(
            r"\makeatletter\renewcommand\section{\@startsection{section}{1}{0pt}"
            rf"{{-2.2ex plus -1ex}}{{1.2ex}}{{{section}}}}}"
            r"\renewcommand\subsection{\@startsection{subsection}{2}{0pt}"
            rf"{{-1.8ex plus -.5ex}}{{1ex}}{{{subsection}}}}}\makeatother"
        )
    if r.random() < 0.4:
        styles.append(rf"\usepackage[{r.choice(CAPTION_STYLES)}]{{caption}}")
    return styles


def _title_block(body: Body, two: bool) -> str:
    """Title, authors (in a row or beside each other), date, abstract."""
    r = body.rng
    addresses = [body.marked("Text", address(body)) for _ in range(r.choice((1, 1, 2)))]
    if r.random() < 0.6:
        slant = r.choice(["", r"\itshape ", r"\small ", r"\small\itshape "])
        lines = [rf"\parbox{{0.8\textwidth}}{{\centering{slant} {one}}}" for one in addresses]
        author = body.marked("Text", joined(names(body))) + r"\\[4pt] " + r"\\ ".join(lines)
    else:
        people = []
        for name in names(body)[: 2 if two else 3]:
            parts = address(body).split(", ")
            rows = [name, parts[0], parts[1]]
            mark = colour(body.region("Text"))
            if r.random() < 0.5:
                rows.append(r"\texttt{" + name.split()[-1].strip("'").lower() + "@example.org}")
            people.append(r"\\ ".join(mark + row for row in rows))
        author = r" \and ".join(people)
    month = r.choice(["May", "March", "June"])
    day = f"{month} {r.randint(1, 28)}, 20{r.randint(10, 22)}"
    date = r.choice(["", body.marked("Text", day)])
    note = thanks(body)
    words = title(body)
    if r.random() < 0.3:
        words += note
    if not two and r.random() < 0.15:
        report = r.choice(["YITP", "CERN-TH", "IFT", "MIT-CTP"])
        report = body.marked("Text", f"{report}-{r.randint(10, 21)}-{r.randint(1, 99)}")
        words = rf"\hbox to\textwidth{{\hfil\normalsize {report}}}\vskip1.5em {words}"
    head = rf"\title{{{words}}}\author{{{author}}}\date{{{date}}}"
    summary = abstract(body)
    if not two:
        return rf"{head}\maketitle {abstract_label(body)}{summary}"
    if r.random() < 0.4:
        over = rf"\maketitle{abstract_label(body)}{summary}\vskip 2em"
        return rf"{head}\twocolumn[{{\begin{{@twocolumnfalse}}{over}\end{{@twocolumnfalse}}}}]"
    return rf"{head}\maketitle\def\headmark{{{colour(body.region('Section header'))}}}{summary}"
