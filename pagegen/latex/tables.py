"""Made-up tables as LaTeX: numbers, or cells of running text."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from pagegen.english import EnglishProse
from pagegen.latex.formulas import Formulas
from pagegen.latex.words import escaped

END = r"\\" + "\n"
FORMS = ["booktabs", "booktabs", "grid", "lines", "double", "bare"]
"""Where the rules are."""


@dataclass
class Tables:
    """Writes tables of one paper.

    Attributes:
        rng: where all chance comes from.
        prose: the paper's words.
        formulas: its formulas.
        words: a text as LaTeX.
        form: of ``FORMS``: most of the paper's tables have it.
    """

    rng: random.Random
    prose: EnglishProse
    formulas: Formulas
    words: Callable[[str], str]
    form: str

    def tabular(self, room: float) -> str:
        """A table for a column ``room`` points wide; wider ones are made to fit."""
        r = self.rng
        form = self.form if r.random() < 0.8 else r.choice(["booktabs", "grid", "lines"])
        if r.random() < (0.35 if room > 300 else 0.15):
            return self._of_text(room, form)
        columns = max(2, min(r.randint(2, 9), int(room / 48)))
        kinds = ["int", "float", "float", "pm", "percent", "sign"]
        kinds = ["head", *(r.choice(kinds) for _ in range(columns - 1))]
        spec = ["l", *r.choice("lccr") * (columns - 1)]
        bold = r.random() < 0.4
        heads = []
        if columns > 4 and r.random() < 0.25:
            half = (columns - 1) // 2
            left, right = (escaped(self.prose.noun().capitalize()) for _ in range(2))
            heads.append(
                rf"& \multicolumn{{{half}}}{{c}}{{{left}}} & "
                rf"\multicolumn{{{columns - 1 - half}}}{{c}}{{{right}}}"
            )
        heads.append(_row([self._cell("top") for _ in range(columns)], bold))
        rows = []
        for _ in range(r.randint(2, 14)):
            cells = [self._cell(kind) for kind in kinds]
            rows.append(_row(cells, r.random() < 0.08))
        stretch = r.choice(["1", "1", "1.15", "1.3"])
        gap = r.choice(["6pt", "6pt", "4pt", "3pt"]) if columns < 7 else "3pt"
        return self._ruled(form, spec, heads, rows, stretch, gap)

    def _of_text(self, room: float, form: str) -> str:
        """A table whose cells are sentences of one or several lines."""
        r = self.rng
        columns = r.randint(2, 3) if room < 300 else r.randint(3, 5)
        first = r.choice([0.16, 0.22, 0.3])
        shares = [first, *[(1 - first) / (columns - 1)] * (columns - 1)]
        inner = room - columns * 12 - 4
        spec = [rf">{{\raggedright\arraybackslash}}p{{{inner * share:.0f}pt}}" for share in shares]
        longest = r.choice([15, 40, 80, 140])
        rows: list[str] = []
        height, most = 0.0, r.choice([120, 220, 330, 430])
        while height < most:
            texts = [self.prose.row_head()]
            for _ in range(columns - 1):
                text = self.prose.list_item() if longest > 30 else self.prose.phrase(article=False)
                while len(text) < longest * r.uniform(0.2, 1.0):
                    text += " " + self.prose.sentence()
                texts.append(text)
            rows.append(_row([self.words(text) for text in texts], False))
            widths = [max(1.0, inner * share / 4.6) for share in shares]
            lines = max(1 + len(t) // w for t, w in zip(texts, widths, strict=True))
            height += lines * 10.5 + 2
        heads = [_row([self._cell("top") for _ in range(columns)], r.random() < 0.6)]
        return self._ruled(form, spec, heads, rows, r.choice(["1", "1.1", "1.25"]), "6pt")

    def _ruled(
        self, form: str, spec: list[str], heads: list[str], rows: list[str], stretch: str, gap: str
    ) -> str:
        """The table's environment with its rules."""
        top = middle = bottom = r"\hline "
        columns, each = "".join(spec), ""
        if form == "booktabs":
            top, middle, bottom = r"\toprule ", r"\midrule ", r"\bottomrule "
        elif form == "bare":
            top = middle = bottom = ""
        elif form == "double":
            top = bottom = r"\hline\hline "
            columns = spec[0] + "|" + "".join(spec[1:])
        elif form == "grid":
            columns = "|" + "|".join(spec) + "|"
            each = r"\hline " if self.rng.random() < 0.7 else ""
        inner = top + END.join(heads) + END + middle + (END + each).join(rows) + END + bottom
        table = rf"\begin{{tabular}}{{{columns}}}{inner}\end{{tabular}}"
        return rf"\def\arraystretch{{{stretch}}}\tabcolsep{gap} \fitbox{{{table}}}"

    def _cell(self, kind: str) -> str:
        r = self.rng
        if kind == "head":
            return escaped(self.prose.row_head())
        if kind == "top":
            if r.random() < 0.2:
                return f"${self.formulas.variable()}$"
            return escaped(self.prose.cell_head())
        if kind == "int":
            return str(r.randint(0, 9999 if r.random() < 0.3 else 99))
        if kind == "pm":
            return rf"{r.uniform(0, 99):.1f} $\pm$ {r.uniform(0, 9):.1f}"
        if kind == "percent":
            return rf"{r.uniform(0, 100):.1f}\%"
        if kind == "sign":
            return r.choice([r"$\checkmark$", "yes", "no", "--", "--"])
        most, digits = r.choice([(1, 3), (1, 2), (99, 1), (99, 2)])
        return f"${r.uniform(-most if r.random() < 0.1 else 0, most):.{digits}f}$"


def _row(cells: list[str], bold: bool) -> str:
    return " & ".join(rf"\textbf{{{cell}}}" if bold else cell for cell in cells)
