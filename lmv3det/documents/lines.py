"""Text lines with what is known of their letters, and how lines become running text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Box = tuple[float, float, float, float]
"""x0 y0 x1 y1, pixels of the page, y downwards."""
Script = Literal["", "super", "sub"]


@dataclass(frozen=True)
class Style:
    """How letters are set.

    Attributes:
        bold: heavier than the text.
        italic: leaning.
        mono: in a font whose letters are all equally wide.
        script: `super` or `sub` for small raised or lowered letters.
        link: address that the letters lead to; empty for none.
        note: label of the footnote that they are the mark of; empty for none.
    """

    bold: bool = False
    italic: bool = False
    mono: bool = False
    script: Script = ""
    link: str = ""
    note: str = ""


PLAIN = Style()


@dataclass(frozen=True)
class Span:
    """A piece of text in one style."""

    text: str
    style: Style = PLAIN


@dataclass(frozen=True)
class Word:
    """A word and where it stands."""

    text: str
    box: Box


@dataclass
class Line:
    """A text line.

    Attributes:
        text: in the order of reading.
        box: where it stands.
        size: of its letters, pixels: that of the font, or the height of the box where there is
            none.
        spans: the text again, in pieces of one style; empty where nothing is known.
        words: its words; empty where their places are not known.
    """

    text: str
    box: Box
    size: float = 0.0
    spans: list[Span] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)

    @property
    def height(self) -> float:
        """Pixels."""
        return self.box[3] - self.box[1]

    def styled(self) -> list[Span]:
        """The spans, of which one plain one is made where nothing is known."""
        return self.spans or [Span(self.text)]

    @property
    def bold(self) -> bool:
        """Whether most of its letters are bold."""
        return _mostly(self, "bold")

    @property
    def mono(self) -> bool:
        """Whether most of its letters are equally wide."""
        return _mostly(self, "mono")


def _mostly(line: Line, style: str) -> bool:
    own = sum(len(span.text.strip()) for span in line.spans if getattr(span.style, style))
    return 2 * own > sum(len(span.text.strip()) for span in line.spans)


def plain_lines(boxes: np.ndarray, texts: Sequence[str]) -> list[Line]:
    """Lines of which boxes and texts are all that is known.

    Args:
        boxes: L×4, x0 y0 x1 y1.
        texts: L strings.
    """
    found = []
    for box, text in zip(np.asarray(boxes, dtype=np.float64).tolist(), texts, strict=True):
        x0, y0, x1, y1 = box
        found.append(Line(text, (x0, y0, x1, y1), min(y1 - y0, x1 - x0)))
    return found


def enclosing(boxes: Sequence[Box]) -> Box:
    """The box round boxes, of which there is one or more."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def merge_spans(spans: Sequence[Span]) -> list[Span]:
    """Spans with neighbours of one style joined."""
    groups = itertools.groupby((s for s in spans if s.text), key=lambda span: span.style)
    return [Span("".join(span.text for span in own), style) for style, own in groups]


def spans_to_json(spans: Sequence[Span]) -> list[Any]:
    """Spans as JSON holds them."""
    return [
        [span.text, {key: value for key, value in vars(span.style).items() if value}]
        for span in spans
    ]


def spans_from_json(entry: Sequence[Any]) -> list[Span]:
    """The spans of `spans_to_json`."""
    return [Span(text, Style(**style)) for text, style in entry]


def line_to_json(line: Line) -> dict[str, Any]:
    """A line as JSON holds it, without its words."""
    box = [round(value, 2) for value in line.box]
    entry: dict[str, Any] = {"text": line.text, "box": box, "size": round(line.size, 2)}
    if line.spans:
        entry["spans"] = spans_to_json(line.spans)
    return entry


def line_from_json(entry: dict[str, Any]) -> Line:
    """The line of `line_to_json`."""
    x0, y0, x1, y1 = entry["box"]
    spans = spans_from_json(entry.get("spans", ()))
    return Line(entry["text"], (x0, y0, x1, y1), entry["size"], spans)
