"""Document classes of publishers, and how each of them takes a paper's title."""

from __future__ import annotations

import random
from collections.abc import Callable

from pagegen.latex.article import article
from pagegen.latex.body import Look
from pagegen.latex.document import (
    Document,
    Make,
    abstract,
    abstract_after_label,
    abstract_label,
    address,
    finished,
    joined,
    keywords,
    names,
    short,
    thanks,
    title,
)
from pagegen.latex.macros import FONTS, PACKAGES, THEOREMS
from pagegen.latex.words import colour, escaped


def ieee(r: random.Random, make: Make) -> Document:
    """IEEE transactions and conferences."""
    if r.random() < 0.5:
        options = ["journal", "journal", "journal,10pt", "journal,onecolumn,draftcls,12pt"]
    else:
        options = ["conference", "conference,a4paper"]
    option = r.choice(options)
    one = "onecolumn" in option
    body = make(Look(1, 470.0, 2200) if one else Look(2, 252.0, 6300))
    # The class's own description lists want to know their widest label.
    lists = r"\let\description\LaTeXdescription\let\enddescription\endLaTeXdescription"
    preamble = [rf"\documentclass[{option}]{{IEEEtran}}", lists, PACKAGES, THEOREMS]
    people = names(body)
    running = ""
    if option.startswith("journal"):
        note = thanks(body)
        author = body.marked("Text", joined(people)) + note
        mark = "JOURNAL OF CLASS FILES"
        if r.random() < 0.5:
            mark = escaped(body.prose.running_head()).upper()
        if r.random() < 0.8:
            running = rf"\markboth{{{mark}}}{{{mark}}}"
    else:
        blocks = []
        for name in people[:3]:
            mark = colour(body.region("Text"))
            place = address(body).split(", ")
            lines = r"\\ ".join(f"{{{mark}{line}}}" for line in [*place[:2], place[-1]])
            blocks.append(rf"\IEEEauthorblockN{{{{{mark}{name}}}}}\IEEEauthorblockA{{{lines}}}")
        author = r" \and ".join(blocks)
    head = rf"\title{{{title(body)}}}\author{{{author}}}{running}\maketitle"
    head += abstract_after_label(body, 500, 1200)
    if r.random() < 0.7:
        mark = colour(body.region("Text"))
        head += rf"\def\IEEEkeywordsname{{{mark}Index Terms}}"
        head += rf"\begin{{IEEEkeywords}}{mark}{keywords(body)}\end{{IEEEkeywords}}"
    return finished(preamble, head, body, "ieee")


def revtex(r: random.Random, make: Make) -> Document:
    """American Physical Society."""
    one = r.random() < 0.4
    journal = r.choice(["prl", "prb", "prd", "pra", "pre"])
    body = make(Look(1, 470.0, 2200) if one else Look(2, 246.0, 5800))
    grouped = r.choice([False, True])
    options = ["aps", journal, "preprint" if one else "reprint", "nofootinbib"]
    options += ["groupedaddress" if grouped else "superscriptaddress", "amsmath", "amssymb"]
    if r.random() < 0.3:
        options.append("12pt" if one else "10pt")
    preamble = [rf"\documentclass[{','.join(options)}]{{revtex4-2}}", PACKAGES, THEOREMS]
    head = [rf"\title{{{title(body)}}}"]
    people = names(body)
    author, place = body.region("Text"), body.region("Text")
    for i, name in enumerate(people):
        head.append(rf"\author{{{{{colour(author)}{name}}}}}")
        if i == len(people) - 1 or r.random() < 0.3:
            head.append(rf"\affiliation{{{{{colour(place)}{address(body)}}}}}")
            if grouped:
                author, place = body.region("Text"), body.region("Text")
    if one:
        head.append(abstract_label(body))
    if r.random() < 0.6:
        head.append(rf"\date{{{body.marked('Text', 'May 4, 2019')}}}")
    head.append(rf"{abstract(body)}\maketitle")
    return finished(preamble, "".join(head), body, "revtex")


def elsevier(r: random.Random, make: Make) -> Document:
    """Elsevier: manuscripts and final pages."""
    forms = ["preprint,12pt", "preprint,review,12pt", "final,5p,times,twocolumn"]
    form = r.choice([*forms, "final,3p,times", "5p,twocolumn,10pt", "3p"])
    two = "5p" in form
    length = 2300 if "review" in form else 3200 if "12pt" in form else 5500 if two else 4000
    body = make(Look(2, 250.0, length) if two else Look(1, 380.0, length))
    preamble = [rf"\documentclass[{form}]{{elsarticle}}", PACKAGES, THEOREMS]
    preamble.append(rf"\journal{{{escaped(body.prose.zipf(body.prose.journals))}}}")
    head = [rf"\abstracttitle{{{body.marked('Section header', 'Abstract')}}}\begin{{frontmatter}}"]
    head.append(rf"\title{{{title(body)}}}")
    author, place = colour(body.region("Text")), colour(body.region("Text"))
    people = names(body)
    places = 2 if len(people) > 2 else 1
    head += [rf"\author[a{i % places}]{{{{{author}{name}}}}}" for i, name in enumerate(people)]
    head += [rf"\address[a{i}]{{{{{place}{address(body)}}}}}" for i in range(places)]
    code = body.region("Text")
    text = body.text(r.randint(500, 1300), code)
    head.append(rf"\begin{{abstract}}{{{colour(code)}{text}}}\end{{abstract}}")
    if r.random() < 0.7:
        words = body.marked("Text", keywords(body))
        head.append(rf"\begin{{keyword}}{words}\end{{keyword}}")
    head.append(r"\end{frontmatter}")
    return finished(preamble, "".join(head), body, "elsevier")


def ams(r: random.Random, make: Make) -> Document:
    """American Mathematical Society."""
    size = r.choice([10, 11, 12])
    body = make(Look(1, 360.0, 3300 if size == 10 else 2700, subsections=False))
    body.theorem = True
    body.equations = max(body.equations, 0.25)
    preamble = [rf"\documentclass[{size}pt]{{amsart}}", PACKAGES]
    if r.random() < 0.5:
        preamble.append(rf"\usepackage[margin={r.uniform(1, 1.4):.2f}in]{{geometry}}")
    preamble.append(FONTS[r.choice(["cm", "cm", "lm", "times", "palatino"])])
    preamble.append(THEOREMS)
    people = names(body)[:3]
    words = escaped(body.prose.title())
    head = [rf"\title[{short(words, 50)}]{{{body.marked('Title', words)}}}"]
    author, place = colour(body.region("Text")), colour(body.region("Text"))
    head += [rf"\author[{name}]{{{{{author}{name}}}}}" for name in people]
    head.append(rf"\address{{{place}{address(body)}}}")
    head.append(rf"{abstract_after_label(body, 300, 900)}\maketitle")
    return finished(preamble, "".join(head), body, "ams")


def springer(r: random.Random, make: Make) -> Document:
    """Lecture Notes in Computer Science."""
    body = make(Look(1, 347.0, 2900))
    options = r.choice(["", "runningheads", "runningheads,a4paper"])
    theorems = THEOREMS.replace("[section]", "")
    preamble = [rf"\documentclass[{options}]{{llncs}}", PACKAGES, theorems]
    people = names(body)
    head = rf"\title{{{title(body)}}}\author{{{body.marked('Text', joined(people))}}}"
    head += rf"\institute{{{body.marked('Text', address(body))}}}"
    head += rf"\authorrunning{{{people[0]} et al.}}"
    head += rf"\titlerunning{{{short(escaped(body.prose.title()), 45)}}}\maketitle"
    head += abstract_after_label(body, 500, 1000)
    return finished(preamble, head, body, "springer")


def mnras(r: random.Random, make: Make) -> Document:
    """Monthly Notices of the Royal Astronomical Society."""
    body = make(Look(2, 240.0, 6300, cites="name", placement=False))
    preamble = [r"\documentclass[fleqn,usenatbib]{mnras}"]
    preamble += [FONTS[r.choice(["times", "times", "lm"])], PACKAGES, THEOREMS]
    people = names(body)
    words = escaped(body.prose.title())
    head = rf"\title[{short(words, 40)}]{{{body.marked('Title', words)}}}"
    author, place = body.marked("Text", joined(people)), body.marked("Text", address(body))
    head += rf"\author[{people[0].split()[-1]} et al.]{{{author}\\ {place}}}"
    head += rf"\date{{{body.marked('Text', body.prose.received())}}}\pubyear{{2018}}\maketitle"
    code = body.region("Text", flows=True)
    head += rf"\def\headmark{{{colour(body.region('Section header'))}}}"
    text = body.text(r.randint(600, 1300), code)
    head += rf"\begin{{abstract}}{colour(code)}{text}\end{{abstract}}"
    mark = colour(body.region("Text"))
    head += rf"\def\headmark{{{mark}}}\begin{{keywords}}{mark}{keywords(body)}\end{{keywords}}"
    return finished(preamble, head, body, "mnras")


CLASSES: dict[str, tuple[Callable[[random.Random, Make], Document], float]] = {
    "article": (article, 6.5),
    "ieee": (ieee, 1.8),
    "revtex": (revtex, 2.4),
    "elsevier": (elsevier, 1.6),
    "ams": (ams, 1.5),
    "springer": (springer, 0.8),
    "mnras": (mnras, 0.9),
}
"""Each class's writer and how often it is drawn."""
