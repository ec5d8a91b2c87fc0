"""Made-up display formulas in typst's notation."""

from __future__ import annotations

import random

from pagegen.text import spaced
from pagegen.typst.figures import quoted

VARIABLES = spaced(
    """x y z u v w t s r p q a b c k m n f g h E T V L H
    alpha beta gamma theta lambda mu rho sigma phi psi omega tau"""
)


class Formulas:
    """Made-up display formulas in typst's notation."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def variable(self) -> str:
        """A letter, often with an index."""
        r = self.rng
        letter = r.choice(VARIABLES)
        mark = r.random()
        if mark < 0.35:
            return f"{letter}_{r.choice(['i', 'j', 'k', '0', 'n', 't', '1', '2'])}"
        if mark < 0.45:
            return f"{letter}^{r.choice(['2', '3', 'n', '*'])}"
        if mark < 0.5:
            return f"{r.choice(['hat', 'tilde', 'overline', 'bold'])}({letter})"
        return letter

    def term(self, depth: int = 0) -> str:
        """A term: a product, a fraction, a root, a function."""
        r = self.rng
        kind = r.random() + 0.25 * depth
        if kind < 0.22:
            return f"frac({self.sum(depth + 1)}, {self.sum(depth + 1)})"
        if kind < 0.3:
            return f"sqrt({self.sum(depth + 1)})"
        if kind < 0.4:
            return f"{r.choice(['exp', 'log', 'sin', 'cos', 'f', 'g', 'F'])}({self.sum(depth + 1)})"
        if kind < 0.5:
            return f"({self.sum(depth + 1)})^{r.choice(['2', '(-1)', 'n', '(1 slash 2)'])}"
        if kind < 0.6:
            return f"{self.variable()} {self.variable()}"
        return self.variable()

    def sum(self, depth: int = 0) -> str:
        """Terms with signs between."""
        r = self.rng
        count = r.choice((1, 2, 2, 3)) if depth < 2 else r.choice((1, 1, 2))
        text = self.term(depth)
        for _ in range(count - 1):
            text += f" {r.choice(['+', '-', '+', 'dot.op'])} {self.term(depth)}"
        return text

    def display(self, wide: bool) -> str:
        """One formula, with its relation sign."""
        left, sign, right, end = self.parts(wide)
        return f"{left} {sign} {right}{end}"

    def parts(self, wide: bool) -> tuple[str, str, str, str]:
        """A formula's left side, its relation sign, its right side and the mark at its end."""
        r = self.rng
        left = r.choice(
            [
                self.variable(),
                f"{self.variable()}({r.choice(['x', 't', 'x, y', 'bold(r)'])})",
                f"frac(dif {self.variable()}, dif t)",
                f"frac(partial u, partial {r.choice('xyt')})",
                "EE[X]",
                f"nabla dot.op bold({r.choice('uvBE')})",
            ]
        )
        sign = r.choice(["=", "=", "=", "=", "lt.eq", "approx", ":=", "prop"])
        kind = r.random()
        if kind < 0.4:
            right = self.sum(0 if wide else 1)
        elif kind < 0.58:
            low, high = r.choice([("i=1", "n"), ("k=0", "oo"), ("j in cal(N)", ""), ("t=1", "T")])
            top = f"^({high})" if high else ""
            right = f"sum_({low}){top} {self.term(1)} {self.variable()}"
        elif kind < 0.74:
            low, high = r.choice(
                [("0", "oo"), ("Omega", ""), ("-oo", "oo"), ("a", "b"), ("0", "t")]
            )
            top = f"^({high})" if high else ""
            right = f"integral_({low}){top} {self.term(1)} dif {r.choice('xyt')}"
        elif kind < 0.84:
            rows = r.choice((2, 2, 3))
            cells = "; ".join(", ".join(self.variable() for _ in range(rows)) for _ in range(rows))
            right = f"mat({cells})"
        elif kind < 0.92:
            right = (
                f"cases({self.sum(1)} & {quoted(' if ')} {self.variable()} > 0, "
                f"{self.variable()} & {quoted(' otherwise')})"
            )
        else:
            right = (
                f"arg min_({self.variable()}) lr(norm({self.sum(1)}))^2 + lambda {self.variable()}"
            )
        return left, sign, right, r.choice([",", ".", "", ""])
