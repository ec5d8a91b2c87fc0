"""What varies from page to page: paper, columns, type, colours and how each block is set."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pagegen.html.fonts import OF_LANGUAGE, draw_family

MM = 96 / 25.4
PAPERS = {
    "a4": (210, 297), "letter": (216, 279), "a5": (148, 210), "b5": (176, 250), "legal": (216, 356),
    "tabloid": (279, 420), "digest": (140, 216), "slide169": (254, 143), "slide43": (254, 190),
    "a4l": (297, 210), "square": (210, 210), "dl": (100, 210), "a3": (297, 420),
}  # fmt: skip
ACCENTS = [
    "#003366", "#1a5276", "#7b241c", "#145a32", "#b9770e", "#4a235a", "#c0392b", "#0e6655",
    "#21618c", "#d35400", "#2c3e50", "#8e1b4f", "#006699", "#5b7f00", "#333333",
]  # fmt: skip
TINTS = ["#eef3f8", "#f4f1ea", "#eaf4ee", "#fdf2e3", "#f2f2f2", "#f6eaf0", "#e8eef0", "#fffbe6"]


@dataclass
class Look:
    """One page's looks. Lengths are CSS pixels."""

    language: str
    width: float
    height: float
    margin: tuple[float, float, float, float]
    columns: int
    gap: float
    body: str
    head: str
    mono: str
    size: float
    leading: float
    align: str
    indent: float
    skip: float
    ink: str
    accent: str
    tint: str
    ground: str
    heading_form: str
    heading_numbers: str
    heading_scale: float
    caption_scale: float
    caption_form: str
    bullet: str
    numbers: str
    table: str
    rule: bool

    @property
    def rtl(self) -> bool:
        """Written from right to left."""
        return self.language in ("ar", "he")

    @property
    def column_width(self) -> float:
        """Width of one column."""
        inner = self.width - self.margin[1] - self.margin[3]
        return (inner - self.gap * (self.columns - 1)) / self.columns

    @property
    def body_height(self) -> float:
        """Height between the margins."""
        return self.height - self.margin[0] - self.margin[2]


def draw_look(
    rng: random.Random,
    language: str,
    *,
    papers: tuple[str, ...] = ("a4", "a4", "letter"),
    columns: tuple[int, ...] = (1,),
    sizes: tuple[float, ...] = (9, 10, 10.5, 11, 12),
    faces: tuple[str, ...] = ("serif", "sans"),
    margins: tuple[float, float] = (0.08, 0.15),
    colourful: float = 0.4,
) -> Look:
    """Looks of a page; ``sizes`` are points, ``margins`` parts of the width."""
    r = rng
    width, height = (x * MM for x in PAPERS[r.choice(papers)])
    script = OF_LANGUAGE.get(language, "latin")
    face = r.choice(faces)
    body = draw_family(r, script, "mono" if r.random() < 0.025 else face)
    head = body if r.random() < 0.4 else draw_family(r, script, r.choice(["serif", "sans", "sans"]))
    if r.random() < 0.06:
        head = draw_family(r, script, "show")
    mono = draw_family(r, "latin", "mono")
    size = r.choice(sizes) * 4 / 3
    count = r.choice(columns)
    side = width * r.uniform(*margins)
    other = side * r.choice([1, 1, r.uniform(0.7, 1.4)])
    top, bottom = height * r.uniform(0.06, 0.12), height * r.uniform(0.06, 0.12)
    indented = r.random() < 0.4
    leading = r.choice([1.15, 1.2, 1.25, 1.3, 1.4, 1.5, 1.6])
    colours = r.random() < colourful
    ground = "#ffffff"
    if r.random() < 0.06 and colours:
        ground = r.choice(TINTS)
    return Look(
        language=language,
        width=round(width),
        height=round(height),
        margin=(top, other, bottom, side),
        columns=count,
        gap=size * r.uniform(1.2, 2.8),
        body=body,
        head=head,
        mono=mono,
        size=size,
        leading=leading,
        align=r.choice(["justify", "justify", "start"]),
        indent=size * r.choice([1, 1.5, 2]) if indented else 0.0,
        skip=0.0 if indented and r.random() < 0.8 else size * r.uniform(0.3, 1.0),
        ink=r.choice(["#000", "#000", "#000", "#222", "#333", "#444"]),
        accent=r.choice(ACCENTS) if colours else "#000",
        tint=r.choice(TINTS),
        ground=ground,
        heading_form=r.choice(["bold", "bold", "bold", "plain", "italic", "bar", "under", "upper"]),
        heading_numbers=r.choice(["", "", "1", "1.", "I.", "A.", "§", "Art."]),
        heading_scale=r.choice([1.0, 1.1, 1.2, 1.35, 1.5, 1.8]),
        caption_scale=r.choice([0.75, 0.8, 0.85, 0.9, 1.0]),
        caption_form=r.choice(["bold", "italic", "plain", "label", "label", "colour"]),
        bullet=r.choice(["•", "•", "–", "■", "▪", "○", "✓", "►", "-", "*", "◆"]),
        numbers=r.choice(["1.", "1.", "1)", "(1)", "a)", "(a)", "i.", "A.", "1"]),
        table=r.choice(["grid", "rows", "book", "none", "striped", "head", "columns", "none"]),
        rule=r.random() < 0.3,
    )
