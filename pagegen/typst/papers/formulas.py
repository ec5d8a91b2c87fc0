"""Made-up formulas as long as they are asked for: typst's notation with an estimated width."""

from __future__ import annotations

import random

from pagegen.text import spaced
from pagegen.typst.formulas import VARIABLES

Piece = tuple[str, float]
"""Typst code and its width in ems, about."""
INDICES = spaced("i j k n m t 0 1 2 mu nu i j alpha beta max min eff i,j k+1 n-1 mu nu")
FUNCTIONS = spaced("exp log sin cos tanh det tr min max f g F phi psi Gamma")
FIELDS = spaced("x t y r bold(x) bold(r) bold(k) theta omega s")
CAPITALS = spaced("A B C D E F G H K L M N P Q R S T U V W X Z Gamma Delta Lambda Sigma Phi Psi")
RELATIONS = spaced("= = = = = lt.eq gt.eq approx ~ := equiv prop -> < >")


def _index(text: str) -> str:
    """An index as typst wants it: words of letters as text, commas kept from parting arguments."""
    if text in ("max", "min", "eff"):
        return f'("{text}")'
    return "(" + text.replace(",", " ") + ")"


class LongFormulas:
    """Pieces of formulas with their widths.

    Args:
        rng: where all chance comes from.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def letter(self) -> Piece:
        """A letter with its marks."""
        r = self.rng
        form = r.random()
        name, width = (
            (r.choice(CAPITALS), 0.75) if r.random() < 0.35 else (r.choice(VARIABLES), 0.6)
        )
        if form < 0.08:
            name = f"{r.choice(['hat', 'tilde', 'overline', 'dot', 'bold', 'cal'])}({name})"
        if r.random() < 0.4:
            name, width = f"{name}_{_index(r.choice(INDICES))}", width + 0.45
        if r.random() < 0.18:
            name, width = f"{name}^{r.choice(['2', '3', 'n', '*', '(-1)', 'dagger'])}", width + 0.3
        return name, width

    def applied(self) -> Piece:
        """A function of something."""
        r = self.rng
        name, width = (r.choice(FUNCTIONS), 1.2) if r.random() < 0.5 else self.letter()
        inner, room = r.choice(FIELDS), 0.6
        if r.random() < 0.35:
            inner, room = f"{inner}\\, {r.choice(FIELDS)}", 1.5
        return f"{name} ({inner})", width + room + 0.8

    def fraction(self, depth: int) -> Piece:
        """A fraction."""
        over, a = self.terms(self.rng.uniform(0.6, 4.0), depth + 1)
        under, b = self.terms(self.rng.uniform(0.6, 4.0), depth + 1)
        return f"frac({over}, {under})", max(a, b) + 0.25

    def derivative(self) -> Piece:
        """A derivative of a letter."""
        r = self.rng
        d = r.choice(["partial", "dif", "partial"])
        power = r.choice(["", "", "^2"])
        name, width = self.letter()
        by = r.choice(["x", "t", "y", "r"])
        return f"frac({d}{power} {name}, {d} {by}{power})", width + 1.0

    def group(self, depth: int) -> Piece:
        """Terms in brackets, some raised."""
        r = self.rng
        inner, width = self.terms(r.uniform(1.5, 6), depth + 1)
        left, right = r.choice([("(", ")"), ("(", ")"), ("[", "]"), ("(", ")")])
        raised = r.choice(["", "", "^2", "^(1 slash 2)", "^n"])
        return f"lr({left} {inner} {right}){raised}", width + 1.0 + 0.5 * bool(raised)

    def operator(self, depth: int) -> Piece:
        """A sum, product, integral or limit over a term."""
        r = self.rng
        sign = r.choice(["sum", "sum", "product", "integral", "integral", "integral.double", "max"])
        low = r.choice(["i=1", "k=0", "n", "j", "Omega", "0", "-oo", "t=1", "i<j"])
        high = r.choice(["n", "N", "oo", "T", ""])
        top = f"^({high})" if high and sign != "max" else ""
        inner, width = self.terms(r.uniform(1.5, 5), depth + 1)
        tail = f" dif {r.choice('xtyrk')}" if sign.startswith("integral") else ""
        return f"{sign}_({low}){top} {inner}{tail}", width + 2.2 + bool(tail)

    def bracket(self, depth: int) -> Piece:
        """A mean, a norm, an expectation, a root."""
        r = self.rng
        inner, width = self.terms(r.uniform(1, 4), depth + 1)
        form = r.choice(["norm", "abs", "mean", "E", "root", "bra"])
        code = {
            "norm": f"norm({inner})_2",
            "abs": f"abs({inner})",
            "mean": f"chevron.l {inner} chevron.r",
            "E": f"EE lr([ {inner} ])",
            "root": f"sqrt({inner})",
            "bra": f"chevron.l psi bar.v {inner} bar.v phi chevron.r",
        }[form]
        return code, width + {"E": 1.8, "bra": 3.0}.get(form, 1.1)

    def matrix(self) -> Piece:
        """A matrix or cases."""
        r = self.rng
        rows, columns = r.randint(2, 4), r.randint(1, 4)
        cells = "; ".join(", ".join(self.letter()[0] for _ in range(columns)) for _ in range(rows))
        return f"mat({cells})", 1.8 * columns + 1

    def term(self, depth: int) -> Piece:
        """Any piece; fewer nested ones the deeper it stands."""
        r = self.rng
        roll = r.random() + 0.3 * depth
        if roll < 0.14:
            return self.fraction(depth)
        if roll < 0.22:
            return self.group(depth)
        if roll < 0.34:
            return self.operator(depth)
        if roll < 0.42:
            return self.bracket(depth)
        if roll < 0.47:
            return self.derivative()
        if roll < 0.49 and depth == 0:
            return self.matrix()
        if r.random() < 0.3:
            return self.applied()
        return self.letter()

    def terms(self, room: float, depth: int = 0) -> Piece:
        """Terms of about ``room`` ems together."""
        r = self.rng
        code, width = self.term(depth)
        while width < room:
            sign = r.choice(["+", "-", "+", "", "", "dot.op" if r.random() < 0.2 else "+"])
            more, add = self.term(depth)
            if width + add > room * 1.2 + 0.8:
                more, add = self.letter()
            code, width = f"{code} {sign} {more}", width + add + (1.0 if sign else 0.15)
        return code, width

    def side(self) -> Piece:
        """What stands left of the sign."""
        r = self.rng
        roll = r.random()
        if roll < 0.4:
            return self.letter()
        if roll < 0.7:
            return self.applied()
        if roll < 0.85:
            return self.derivative()
        return self.terms(r.uniform(1, 4), 1)

    def relation(self) -> str:
        """A relation sign."""
        return self.rng.choice(RELATIONS)
