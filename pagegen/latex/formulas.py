"""Made-up formulas in LaTeX's notation."""

from __future__ import annotations

import random
import re

from pagegen.text import spaced

LATIN = list("xyzuvwtsrpqabckmnfghETVLHXYSABGMNPQR")
GREEK = spaced(r"\alpha \beta \gamma \theta \lambda \mu \rho \sigma \phi \psi \omega \tau \epsilon")
GREEK += spaced(r"\eta \kappa \nu \xi \chi \delta \Gamma \Omega \Lambda \Phi \Psi \Delta \varphi")
SCRIPT = [rf"\mathcal{{{c}}}" for c in "LHFNOPSDB"] + [rf"\mathbb{{{c}}}" for c in "RECZ"]
BOLD = [rf"\mathbf{{{c}}}" for c in "xykqrvwAWBEu"]
FUNCTIONS = spaced(r"\exp \log \sin \cos \tanh \ln \det \max f g F P \Phi")
RELATIONS = spaced(r"= = = = = \leq \geq \approx \equiv \sim \propto")
SUBSCRIPTS = spaced(r"i j k 0 n t 1 2 ij \mu \mathrm{eff} \max k+1")
SUPERSCRIPTS = spaced(r"2 3 n * \dagger (k) \prime -1 \mu \top")
BOUNDS = [("0", r"\infty"), (r"\Omega", ""), (r"-\infty", r"\infty"), ("a", "b"), ("0", "t")]
RANGES = [("i=1", "n"), ("k=0", r"\infty"), (r"j \in \mathcal{N}", ""), ("t=1", "T"), ("i<j", "")]
SIGNS = ["+", "-", "+", r"\cdot"]
ARGUMENTS = ["x", "t", "x, y", r"\mathbf{r}", "k"]
ROWS = r"\\" + "\n"


class Formulas:
    """Inline and display formulas of one made-up paper."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        # A paper has its favourite letters.
        self.letters = rng.sample(LATIN, 9) + rng.sample(GREEK, 7) + rng.sample(SCRIPT, 2)
        self.letters += rng.sample(BOLD, rng.choice([0, 1, 3]))

    def variable(self) -> str:
        """A letter, often with an index or an accent."""
        r = self.rng
        letter = r.choice(self.letters)
        mark = r.random()
        if mark < 0.3:
            return f"{letter}_{{{r.choice(SUBSCRIPTS)}}}"
        if mark < 0.42:
            return f"{letter}^{{{r.choice(SUPERSCRIPTS)}}}"
        if mark < 0.5:
            return f"{letter}_{{{r.choice(SUBSCRIPTS)}}}^{{{r.choice(SUPERSCRIPTS)}}}"
        if mark < 0.58:
            return rf"\{r.choice(['hat', 'tilde', 'bar', 'dot', 'vec'])}{{{letter}}}"
        return letter

    def inline(self) -> str:
        """A short formula for running text."""
        r = self.rng
        kind = r.random()
        if kind < 0.45:
            return self.variable()
        if kind < 0.65:
            value = r.choice([str(r.randint(0, 64)), f"{r.random():.2f}", r"\infty", "0", "1"])
            return f"{self.variable()} {r.choice(RELATIONS)} {value}"
        if kind < 0.75:
            return f"{self.variable()}({self.variable()})"
        if kind < 0.85:
            return rf"{self.variable()} \in {r.choice(SCRIPT)}"
        if kind < 0.93:
            return f"{self.variable()} {r.choice(RELATIONS)} {self.variable()}/{self.variable()}"
        return rf"{r.choice('ij')} = 1, \dots, {r.choice('nNkm')}"

    def term(self, depth: int) -> str:
        """A product, a fraction, a root, a function, a bracket or a letter."""
        r = self.rng
        kind = r.random() + 0.25 * depth
        if kind < 0.2:
            return rf"\frac{{{self.sum(depth + 1)}}}{{{self.sum(depth + 1)}}}"
        if kind < 0.26:
            return rf"\sqrt{{{self.sum(depth + 1)}}}"
        if kind < 0.4:
            return rf"{r.choice(FUNCTIONS)}\left({self.sum(depth + 1)}\right)"
        if kind < 0.48:
            power = r.choice(["^2", "^{-1}", "", "^n", "^{1/2}"])
            pair = r.choice([("(", ")"), ("[", "]"), ("|", "|"), (r"\langle", r"\rangle")])
            return rf"\left{pair[0]} {self.sum(depth + 1)} \right{pair[1]}{power}"
        if kind < 0.56:
            return rf"\partial_{{{r.choice('xytz')}}} {self.variable()}"
        if kind < 0.75:
            return f"{self.variable()} {self.variable()}"
        return self.variable()

    def sum(self, depth: int) -> str:
        """Terms with signs between."""
        r = self.rng
        count = r.choice((1, 2, 2, 3)) if depth < 2 else r.choice((1, 1, 2))
        text = self.term(depth)
        for _ in range(count - 1):
            text += f" {r.choice(SIGNS)} {self.term(depth)}"
        return text

    def left(self) -> str:
        """What a display formula says something about."""
        r = self.rng
        return r.choice(
            [
                self.variable(),
                self.variable(),
                f"{self.variable()}({r.choice(ARGUMENTS)})",
                rf"\frac{{d {self.variable()}}}{{dt}}",
                rf"\frac{{\partial {self.variable()}}}{{\partial {r.choice('xyt')}}}",
                rf"\mathbb{{E}}[{self.variable()}]",
                rf"\nabla \cdot \mathbf{{{r.choice('uvBE')}}}",
                rf"\left\| {self.variable()} - {self.variable()} \right\|_2",
            ]
        )

    def right(self, depth: int) -> str:
        """The longer side of a formula; the greater ``depth``, the shorter."""
        r = self.rng
        kind = r.random()
        if kind < 0.42:
            return self.sum(depth)
        if kind < 0.62:
            low, high = r.choice(RANGES)
            top = f"^{{{high}}}" if high else ""
            sign = r.choice([r"\sum", r"\sum", r"\sum", r"\prod"])
            return rf"{sign}_{{{low}}}{top} {self.term(1)} {self.variable()}"
        if kind < 0.78:
            low, high = r.choice(BOUNDS)
            top = f"^{{{high}}}" if high else ""
            return rf"\int_{{{low}}}{top} {self.term(1)} \, d{r.choice('xyt')}"
        if kind < 0.85:
            size = r.choice((2, 2, 3))
            rows = ROWS.join(" & ".join(self.variable() for _ in range(size)) for _ in range(size))
            name = r.choice(["pmatrix", "bmatrix"])
            return rf"\begin{{{name}}}{rows}\end{{{name}}}"
        if kind < 0.92:
            first = rf"{self.sum(1)} & \text{{if }} {self.variable()} > 0,"
            return (
                rf"\begin{{cases}}{first}{ROWS}{self.variable()} & \text{{otherwise}}\end{{cases}}"
            )
        under = r.choice([r"\arg\min", r"\max", r"\inf", r"\lim"])
        return rf"\mathop{{{under}}}_{{{self.variable()}}} {self.sum(1)}"

    def line(self, room: float, align: str = "") -> str:
        """A formula of one line that fills a good part of ``room`` letters and fits."""
        r = self.rng
        goal = room * r.uniform(0.25, 0.85)
        best = ""
        for _ in range(8):
            relation = f"{align[:1]}{r.choice(RELATIONS)}{align[1:]}"
            text = f"{self.left()} {relation} {self.right(r.choice((0, 1)))}"
            while length(text) < goal and r.random() < 0.8:
                link = r.choice([r"=", r"+", r"-", r"\leq", r", \quad", r"\approx", r"+", r"="])
                text += f" {link} {self.right(1)}"
            if not best or abs(length(text) - goal) < abs(length(best) - goal):
                best = text
            if 0.7 * goal < length(best) < room:
                break
        return best

    def display(self, room: float) -> str:
        """A display environment for a column that has room for so many letters."""
        r = self.rng
        star = "*" if r.random() < 0.3 else ""
        end = r.choice([",", ".", "", ""])
        kind = r.random()
        if kind < 0.72:
            body = self.line(room)
            return rf"\begin{{equation{star}}}{body}{end}\end{{equation{star}}}"
        count = r.choice((2, 2, 3, 4))
        if kind < 0.76:
            rows = [self.line(room * 0.8, "&&") for _ in range(count)]
            return rf"\begin{{eqnarray{star}}}{ROWS.join(rows)}{end}\end{{eqnarray{star}}}"
        if kind < 0.8:
            body = rf"{self.line(room)} \\ + {self.sum(0)}{end}"
            return rf"\begin{{multline{star}}}{body}\end{{multline{star}}}"
        if kind < 0.9:
            rows = [self.line(room * 0.8, "&") for _ in range(count)]
            if r.random() < 0.4:
                rows = rows[:1] + [f"&{r.choice(RELATIONS)} {self.right(1)}" for _ in rows[1:]]
            if not star and r.random() < 0.4:
                rows[:-1] = [row + r" \nonumber " for row in rows[:-1]]
            return rf"\begin{{align{star}}}{ROWS.join(rows)}{end}\end{{align{star}}}"
        rows = [self.line(room) for _ in range(count)]
        return rf"\begin{{gather{star}}}{ROWS.join(rows)}{end}\end{{gather{star}}}"


def length(latex: str) -> int:
    """About how many letters wide a formula is."""
    latex = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", lambda m: max(m[1], m[2], key=len), latex)
    latex = re.sub(
        r"\\(left|right|mathrm|mathcal|mathbb|mathbf|hat|tilde|bar|dot|vec)\b", "", latex
    )
    latex = re.sub(r"\\[a-zA-Z]+", "m", latex)
    return len(re.findall(r"[^{}_^&\s]", latex))
