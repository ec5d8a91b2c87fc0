"""What varies from page to page: paper, columns, type, and how each kind of block is set."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pagegen.marks import BLACK, Colour

LATIN_SERIFS = ["New Computer Modern", "Libertinus Serif", "STIXGeneral", "Source Serif Pro"]
SANS = "Source Sans Pro"
CHINESE_SERIF, CHINESE_SANS = "Noto Serif SC", "Noto Sans SC"
PAPERS = [
    (595.3, 841.9),
    (595.3, 841.9),
    (612.0, 792.0),
    (612.0, 792.0),
    (595.0, 793.0),
    (567.0, 794.0),
    (540.0, 740.0),
    (439.4, 666.1),
]


@dataclass(frozen=True)
class Style:
    """One page's looks. Lengths are points."""

    language: str
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    columns: int
    gutter: float
    fonts: tuple[str, ...]
    head_fonts: tuple[str, ...]
    size: float
    leading: float
    paragraph_skip: float
    indent: float
    justify: bool
    heading_form: str
    heading_weight: str
    heading_align: str
    heading_colour: Colour
    heading_scale: float
    caption_scale: float
    caption_bold: bool
    caption_italic: bool
    caption_separator: str
    caption_align: str
    header_form: str
    footer_form: str
    table_form: str
    equation_left: bool
    reference_mark: str

    @property
    def body_width(self) -> float:
        """Width between the margins."""
        return self.width - self.left - self.right

    @property
    def body_height(self) -> float:
        """Height between the margins."""
        return self.height - self.top - self.bottom

    @property
    def column_width(self) -> float:
        """Width of one column."""
        return (self.body_width - self.gutter * (self.columns - 1)) / self.columns

    @property
    def line(self) -> float:
        """Distance of two base lines."""
        return self.size * (1.0 if self.language == "zh" else 0.72) + self.leading

    def lines_of(self, characters: float, width: float | None = None) -> float:
        """Lines that so many characters fill, about."""
        em = self.size * (1.0 if self.language == "zh" else 0.47)
        return max(1.0, characters * em / (width or self.column_width))


def draw_style(rng: random.Random, language: str) -> Style:
    """A style for a page in ``language``, ``en`` or ``zh``."""
    r = rng
    width, height = r.choice(PAPERS)
    small = width < 500
    columns = r.choices((1, 2, 3), (50, 50, 0) if small else (34, 51, 15))[0]
    if small:
        columns = 1
    size = {
        1: r.choice([9.5, 10, 10.5, 11, 12]),
        2: r.choice([8.5, 9, 9.5, 10]),
        3: r.choice([7.5, 8, 8.5]),
    }[columns]
    if small:
        size = min(size, 10.0)
    margin = {1: r.uniform(0.1, 0.19), 2: r.uniform(0.07, 0.12), 3: r.uniform(0.06, 0.09)}[columns]
    left = width * margin
    right = left * r.choice([1.0, 1.0, r.uniform(0.8, 1.25)])
    serif = r.choice(LATIN_SERIFS)
    if language == "zh":
        body = [
            r.choice([serif, "STIXGeneral"]),
            r.choices((CHINESE_SERIF, CHINESE_SANS), (88, 12))[0],
        ]
        head = [r.choice([body[0], SANS]), r.choices((CHINESE_SANS, CHINESE_SERIF), (75, 25))[0]]
    else:
        body = [serif if r.random() < 0.9 else SANS]
        head = body if r.random() < 0.65 else [SANS]
    indented = r.random() < (0.95 if language == "zh" else 0.7)
    leading = size * (r.uniform(0.45, 0.85) if language == "zh" else r.uniform(0.42, 0.72))
    if columns == 1 and language == "en" and r.random() < 0.1:
        leading = size * r.uniform(1.0, 1.4)
    return Style(
        language=language,
        width=width,
        height=height,
        left=left,
        right=right,
        top=height * r.uniform(0.075, 0.12),
        bottom=height * r.uniform(0.075, 0.12),
        columns=columns,
        gutter=size * r.uniform(1.4, 3.0),
        fonts=tuple(body),
        head_fonts=tuple(head),
        size=size,
        leading=leading,
        paragraph_skip=leading if indented else leading + size * r.uniform(0.4, 0.9),
        indent=(2.0 if language == "zh" else r.choice([1.0, 1.5, 2.0])) * size if indented else 0.0,
        justify=r.random() < 0.87,
        heading_form=r.choice(
            ["1", "1.", "1", "一、", "", "一、"]
            if language == "zh"
            else ["1", "1.", "1", "I.", "", "", "upper"]
        ),
        heading_weight=r.choice(["bold", "bold", "bold", "regular"]),
        heading_align=r.choice(["left", "left", "left", "center"]),
        heading_colour=r.choice([BLACK] * 7 + [(0x10, 0x30, 0x80), (0x90, 0x10, 0x20)]),
        heading_scale=r.choice([1.0, 1.05, 1.1, 1.2, 1.3]),
        caption_scale=r.choice([0.85, 0.88, 0.9, 0.92, 1.0]),
        caption_bold=r.random() < 0.5,
        caption_italic=r.random() < 0.12,
        caption_separator=r.choice([". ", ": ", ". ", " ", " – "]) if language == "en" else "　",
        caption_align=r.choice(["left", "center"]) if language == "en" else "center",
        header_form=r.choice(["pair", "middle", "outer", "rule", "pair-rule", "none", "number"]),
        footer_form=r.choice(["number", "number", "dash", "none", "pair", "text"]),
        table_form=r.choice(["booktabs", "booktabs", "ruled", "rows", "plain", "striped"]),
        equation_left=r.random() < 0.12,
        reference_mark=r.choice(["[1]", "[1]", "1.", "none", "(1)"]),
    )
