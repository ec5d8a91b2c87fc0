"""Text as training varies it: missing, unread, or with lines lost."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lmv3det.structures import Sample


@dataclass(frozen=True)
class TextNoise:
    """Takes text away from a page, so that one model learns to do with words, with boxes alone,
    and without both.

    Attributes:
        page_dropout: probability that all lines go.
        word_dropout: probability that the lines of a page that keeps them lose their words, which
            become empty strings.
        line_dropout: the fraction of lines that go from any other page is drawn from 0 to this.
    """

    page_dropout: float = 0.0
    word_dropout: float = 0.0
    line_dropout: float = 0.0

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """The page with the text that is left; every draw comes from `generator`."""
        if not (self.page_dropout or self.word_dropout or self.line_dropout):
            return sample
        page, word, fraction = generator.random(3)
        if page < self.page_dropout:
            return replace(sample, line_boxes=np.zeros((0, 4)), lines=[])
        lines = [""] * len(sample.lines) if word < self.word_dropout else sample.lines
        kept = generator.random(len(lines)) >= fraction * self.line_dropout
        return replace(
            sample,
            line_boxes=sample.line_boxes[kept],
            lines=[line for line, keep in zip(lines, kept, strict=True) if keep],
        )
