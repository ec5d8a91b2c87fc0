"""Made-up prose: what English and Chinese share, and paragraphs from a user's corpus.

Inline formulas stand in a text between ``MATH_START`` and ``MATH_END``, in typst's notation.
"""

from __future__ import annotations

import hashlib
import random
import re
from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lmv3det.errors import InputError

MATH_START, MATH_END = "\x01", "\x02"
CJK = re.compile(r"[\u3400-\u9fff]")


def spaced(text: str) -> list[str]:
    """The words of a text that spaces part."""
    return text.split()


def barred(text: str) -> list[str]:
    """The phrases of a text that upright bars part; line breaks in it count as spaces."""
    return [" ".join(part.split()) for part in text.split("|")]


@lru_cache(maxsize=256)
def _zipf_sums(count: int) -> tuple[float, ...]:
    total, sums = 0.0, []
    for rank in range(count):
        total += 1.0 / (rank + 2.5)
        sums.append(total)
    return tuple(sums)


@dataclass(frozen=True)
class Corpus:
    """A user's paragraphs, apart by language.

    Attributes:
        english: paragraphs of at least 40 characters with few Chinese characters.
        chinese: paragraphs of at least 20 characters, a fifth or more of them Chinese.
        digest: SHA-256 of the file.
    """

    english: tuple[str, ...]
    chinese: tuple[str, ...]
    digest: str

    @classmethod
    def read(cls, path: Path, language: str) -> Corpus:
        """Read a UTF-8 text file, a paragraph a line.

        Raises:
            InputError: the file is missing, not UTF-8, or has no paragraph in a language asked.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"corpus {path}: cannot be read ({error.strerror})") from error
        try:
            lines = data.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(
                f"corpus {path}: byte {error.start} is not UTF-8; save the file as UTF-8"
            ) from error
        english, chinese = [], []
        for line in lines:
            line = " ".join("".join(c for c in line if c.isprintable()).split())
            share = len(CJK.findall(line)) / max(len(line), 1)
            if share > 0.2 and len(line) >= 20:
                chinese.append(line)
            elif share < 0.02 and len(line) >= 40:
                english.append(line)
        for name, found in (("en", english), ("zh", chinese)):
            if language in (name, "mixed") and not found:
                what = "English" if name == "en" else "Chinese"
                raise InputError(
                    f"corpus {path}: no {what} paragraph of some length in its {len(lines)} lines; "
                    f"give a paragraph a line, or ask for the other --language"
                )
        return cls(tuple(english), tuple(chinese), hashlib.sha256(data).hexdigest())


class Prose(ABC):
    """The text of one made-up paper.

    Args:
        rng: where all chance comes from.
        paragraphs: a corpus to take running text from; empty: the text is made up.
    """

    language: str
    figure_word: str
    table_word: str
    foreign_share = 0.0
    inline: Callable[[], str] | None = None
    """Makes inline formulas, in typst's notation; a fixed list serves without it."""

    def __init__(self, rng: random.Random, paragraphs: Sequence[str] = ()) -> None:
        self.rng = rng
        self.paragraphs = paragraphs
        self.math_share = rng.choice([0.0, 0.05, 0.15, 0.3])
        self.cite_style = rng.choice(["number", "number", "name"])
        self.reference_style = rng.choice(["plain", "physics", "authoryear", "apa", "plain"])
        self.headline_case = rng.random() < 0.5
        self._start()
        self._labels()

    @abstractmethod
    def _start(self) -> None:
        """Choose this paper's field and words."""

    @abstractmethod
    def _labels(self) -> None:
        """Choose how this paper spells its figures' and tables' labels."""

    def chance(self, share: float) -> bool:
        """True in ``share`` of the calls."""
        return self.rng.random() < share

    def zipf(self, words: Sequence[str]) -> str:
        """A word, the earlier the likelier: about 1 / rank, as in real text."""
        sums = _zipf_sums(len(words))
        return words[bisect(sums, self.rng.random() * sums[-1])]

    @abstractmethod
    def sentence(self) -> str:
        """One sentence, with its full stop."""

    def paragraph(self, length: int) -> str:
        """Whole sentences of about ``length`` characters together."""
        if self.paragraphs:
            return self._from_corpus(length)
        glue = "" if self.language == "zh" else " "
        parts: list[str] = []
        size = 0
        while not parts or size < length * 0.85:
            parts.append(self.sentence())
            size += len(parts[-1])
        return glue.join(parts)

    def _from_corpus(self, length: int) -> str:
        glue = "" if self.language == "zh" else " "
        start = self.rng.randrange(len(self.paragraphs))
        text = self.paragraphs[start]
        step = 1
        while len(text) < length * 0.7 and step < 20:
            text += glue + self.paragraphs[(start + step) % len(self.paragraphs)]
            step += 1
        if len(text) > length * 1.2:
            ends = [m.end() for m in re.finditer(r"[.!?](?=\s)|[。！？]", text)]
            fitting = [e for e in ends if e <= length * 1.2]
            text = text[: fitting[-1] if fitting else (ends[0] if ends else len(text))]
        return text.strip()

    @abstractmethod
    def title(self) -> str:
        """The title of a paper."""

    @abstractmethod
    def heading(self) -> str:
        """A section's title, without its number."""

    @abstractmethod
    def caption(self, kind: str) -> str:
        """First sentence of a caption, after its label. ``kind`` is ``figure`` or ``table``."""

    @abstractmethod
    def caption_label(self, kind: str, number: str) -> str:
        """A caption's label, in this paper's spelling."""

    @abstractmethod
    def person(self, *, short: bool = False) -> str:
        """An author's name."""

    @abstractmethod
    def affiliation(self) -> str:
        """An institute's address."""

    @abstractmethod
    def abstract_label(self) -> str:
        """The word before an abstract."""

    @abstractmethod
    def keywords(self) -> tuple[str, str]:
        """Label and text of the keywords."""

    @abstractmethod
    def received(self) -> str:
        """Dates of an article's history."""

    @abstractmethod
    def reference(self) -> str:
        """One entry of a reference list, without its mark."""

    @abstractmethod
    def list_item(self) -> str:
        """One item of a list in the text."""

    @abstractmethod
    def item_sentence(self) -> str:
        """A sentence that continues a list's item."""

    @abstractmethod
    def running_head(self) -> str:
        """The words of a page's head."""

    @abstractmethod
    def sure_running_head(self) -> str:
        """A running head that its first words give away."""

    @abstractmethod
    def foot(self) -> str:
        """The words at a page's foot."""

    @abstractmethod
    def footnote(self) -> str:
        """A footnote's text."""

    @abstractmethod
    def cell_head(self) -> str:
        """The head of a table's column."""

    @abstractmethod
    def row_head(self) -> str:
        """The head of a table's row."""

    @abstractmethod
    def figure_word_label(self) -> str:
        """A word or two as they stand on an axis, in a legend or in a diagram's box."""

    @abstractmethod
    def references_title(self) -> str:
        """The title above a reference list."""
