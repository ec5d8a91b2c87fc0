"""Measures of a document against the PDF that it was made of: pure functions over text.

Shapes: N true words, M words of the document.
"""

from __future__ import annotations

import html
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np

_WIDE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff"
_WORD = re.compile(rf"[{_WIDE}]|\d+|[^\W\d_{_WIDE}]+")
_DIVIDED = re.compile(r"[\x02\ufffe\u00ad-]\s*[\r\n]+\s*(?=[^\W\d_])")
_DIVIDER = "\ue000"
"""Stands in true text for a word that is divided at the end of a line."""


def words(text: str) -> list[str]:
    """The words of plain text: letters in lower case, numbers, and Chinese characters one by one.

    Letters and digits are parted: the mark of a footnote stands close to a word."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def true_text(text: str) -> str:
    """Text of a PDF's layer with the places marked where a word is divided at a line's end."""
    return _DIVIDED.sub(_DIVIDER, text)


def kept_of(true: str, found: Sequence[str]) -> tuple[list[str], list[str]]:
    """The true words, and those that are missing from a document.

    A word divided at a line's end counts as kept whether it is written as one word or as two, as a
    text layer does not say which is right.

    Args:
        true: as `true_text` gives it.
        found: words of the document.
    """
    left = Counter(found)
    every: list[str] = []
    missing: list[str] = []
    later: list[tuple[str, list[str]]] = []
    for token in unicodedata.normalize("NFKC", true).split():
        parts = words(token.replace(_DIVIDER, " "))
        joined = words(token.replace(_DIVIDER, ""))
        if _DIVIDER in token:
            later.append(("\0".join(joined), parts))
            continue
        every += parts
        for word in parts:
            missing += _take(left, word)
    for whole, parts in later:
        joined = whole.split("\0") if whole else []
        if all(left[word] > 0 for word in joined):
            parts = joined
        every += parts
        for word in parts:
            missing += _take(left, word)
    return every, missing


def _take(left: Counter[str], word: str) -> list[str]:
    if left[word] > 0:
        left[word] -= 1
        return []
    return [word]


_BLOCKS = r"br|p|td|th|tr|li|table|thead|tbody|div|h\d|figcaption"
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)


def plain_text(markdown: str) -> str:
    """Markdown, with HTML in it, as text: link targets, tags and marks are taken away, alternative
    texts and what stands in comments stay."""
    text = re.sub(r"<!--\s*page \d+\s*-->", " ", markdown)
    text = _without_repeated(text)
    # What stands in code, or is escaped, is no tag.
    text = re.sub(r"`+[^`\n]*`+", lambda match: match[0].replace("<", " ").replace(">", " "), text)
    text = re.sub(r"\\<", " ", text)
    text = _COMMENT.sub(r" \1 ", text)
    text = re.sub(r'<img\b[^>]*?alt="([^"]*)"[^>]*>', r" \1 ", text)
    text = re.sub(r"!\[((?:[^\]\\]|\\.)*)\]\((?:[^()]|\([^()]*\))*\)", r" \1 ", text)
    text = re.sub(r"(?<!\\)\[((?:[^\]\\]|\\.)*)\]\((?:[^()\s]|\([^()]*\))*\)", r"\1", text)
    text = re.sub(
        r"</?(?:br|p|td|th|tr|li|table|thead|tbody|div|h\d|figcaption)\b[^>]*>", " ", text
    )
    text = re.sub(r"</?[a-zA-Z][^>]*>", "", text)
    text = re.sub(r"\\(?=[^\w\s])", "", html.unescape(text))
    return re.sub(r"[*`~#]+", "", text.replace("|", " "))


def _without_repeated(markdown: str) -> str:
    """Markdown without the alternative texts that are captions of the same page too."""
    found = []
    for match in re.finditer(r"!\[((?:[^\]\\]|\\.)*)\]", markdown):
        if f"\n*{match[1]}*\n" in markdown:
            found.append(match.span(1))
    for start, end in reversed(found):
        markdown = markdown[:start] + markdown[end:]
    return markdown


def order_similarity(true: Sequence[str], found: Sequence[str]) -> float:
    """1 less the edit distance of two sequences of words over the length of the longer one.

    (Levenshtein, 1966; a row of the table at a time, so that memory is linear.)
    """
    if not true or not found:
        return float(not true and not found)
    numbers: dict[str, int] = {}
    first = np.array([numbers.setdefault(word, len(numbers)) for word in true])
    second = np.array([numbers.setdefault(word, len(numbers)) for word in found])
    steps = np.arange(len(second) + 1)
    row = steps.copy()
    for number, word in enumerate(first.tolist(), start=1):
        best = np.minimum(row[1:] + 1, row[:-1] + (second != word))
        best = np.concatenate([[number], best]) - steps
        row = np.minimum.accumulate(best) + steps
    return 1 - int(row[-1]) / max(len(first), len(second))


def markdown_headings(markdown: str) -> list[tuple[int, str]]:
    """(level, text) of the headings, those in code fences left out."""
    found, fence = [], ""
    for line in markdown.splitlines():
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark:
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        match = re.match(r"(#{1,6})\s+(.*)", line)
        if match and not fence:
            found.append((len(match[1]), plain_text(match[2]).strip()))
    return found


@dataclass
class HeadingScore:
    """How headings agree with a PDF's outline.

    Attributes:
        true: entries of the outline.
        found: those that a heading says.
        headings: of the document.
        pairs: neighbouring entries that were both found.
        right: those of them whose levels differ in the same direction.
    """

    true: int = 0
    found: int = 0
    headings: int = 0
    pairs: int = 0
    right: int = 0


def score_headings(
    outline: Sequence[tuple[int, str]], headings: Sequence[tuple[int, str]]
) -> HeadingScore:
    """Compare headings with an outline; numbers before a title are as good as none.

    Args:
        outline: (level, title).
        headings: likewise, of the document.
    """
    score = HeadingScore(true=len(outline), headings=len(headings))
    left = [(level, _title(text)) for level, text in headings]
    before: tuple[int, int] | None = None
    for level, text in outline:
        match = next((k for k, (_, other) in enumerate(left) if other == _title(text)), None)
        if match is None:
            before = None
            continue
        score.found += 1
        own = left.pop(match)[0]
        if before:
            score.pairs += 1
            score.right += bool(np.sign(level - before[0]) == np.sign(own - before[1]))
        before = level, own
    return score


def _title(text: str) -> str:
    text = re.sub(r"^\s*(?:chapter|appendix|section)?\s*(?:\d+|[A-Z])(?:\.\d+)*[.:]?\s+", "", text,
                  flags=re.IGNORECASE)  # fmt: skip
    return "".join(words(text))


Grid = list[list[str]]


def tables_of(markdown: str) -> list[Grid]:
    """The tables of a document, those of pipes and those of HTML: rows of texts."""
    parser = _Tables()
    parser.feed(markdown)
    tables, rows = parser.tables, []
    for line in [*markdown.splitlines(), ""]:
        if line.strip().startswith("|"):
            cells = [plain_text(c).strip() for c in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
            if not all(re.fullmatch(r":?-+:?", cell) for cell in cells) or not cells:
                rows.append(cells)
        elif rows:
            tables.append(rows)
            rows = []
    return tables


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: list[Grid] = []
        self.open = False

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append("")
            self.open = True

    def handle_endtag(self, tag: str) -> None:
        self.open = self.open and tag not in ("td", "th", "table")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.tables[-1][-1][-1] += data


def neighbours(grid: Iterable[Sequence[str]]) -> Counter[tuple[str, str, str]]:
    """The pairs of cells beside and below one another, empty cells skipped (Göbel et al., 2013,
    ICDAR table competition)."""
    rows = [["".join(words(cell)) for cell in row] for row in grid]
    rows = [row for row in rows if any(row)]
    found: Counter[tuple[str, str, str]] = Counter()
    columns = [list(column) for column in zip(*_padded(rows), strict=True)]
    for kind, lines in (("beside", rows), ("below", columns)):
        for line in lines:
            full = [cell for cell in line if cell]
            found.update((kind, a, b) for a, b in itertools.pairwise(full))
    return found


def _padded(rows: Sequence[list[str]]) -> list[list[str]]:
    width = max(map(len, rows), default=0)
    return [row + [""] * (width - len(row)) for row in rows]


def table_f1(true: Grid, tables: Iterable[Grid]) -> float:
    """F1 of the neighbours of a table against the best of those found."""
    wanted = neighbours(true)
    best = 0.0
    for table in tables:
        own = neighbours(table)
        shared = (wanted & own).total()
        if shared:
            best = max(best, 2 * shared / (wanted.total() + own.total()))
    return best
