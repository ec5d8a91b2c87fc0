"""Running text from lines: divided words, spaces, marks of lists."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace

from lmv3det.documents.lines import Line, Span, merge_spans
from lmv3det.ocr.engine import join_words

HYPHENS = "-\u2010\u00ad"
"""What divides a word at the end of a line: hyphen-minus, hyphen, soft hyphen."""
LEAST_PART = 4
"""Letters of both parts of a divided word that stand in the document as words of their own, from
which on the hyphen is one that is always written."""
_WIDE = "\u3000-\u9fff\uff00-\uffef"
_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")

BULLETS = "•○■▪◦·●►▶‣⁃➢➤✓✔∙□❑"
"""Signs that stand before the items of lists alone."""
_BULLET = re.compile(rf"^([{BULLETS}]\s*|[-–—*∗]\s+)(?=\S)")
_NUMBER = re.compile(r"^(\(?(?:\d{1,3}|[a-z]|[ivx]{1,5})[.)]|\[\d{1,4}\])\s+(?=\S)")


def vocabulary(lines: Iterable[str]) -> Counter[str]:
    """The words that a document writes within its lines, in lower case, those with a hyphen too.

    The parts of words that are divided at the ends of lines are not among them.
    """
    found: Counter[str] = Counter()
    tail = False
    for line in lines:
        words = [match.group().casefold().replace("\u2010", "-") for match in _WORD.finditer(line)]
        divided = line.rstrip()[-1:] in tuple(HYPHENS)
        inner = words[1 if tail else 0 : len(words) - 1 if divided and words else None]
        found.update(inner)
        tail = divided
    return found


def joint(before: str, after: str, known: Container[str] = ()) -> tuple[int, str]:
    """How a line is joined to the text before it.

    Args:
        before: the text, of which the end is looked at.
        after: the line.
        known: words of the document, in lower case.

    Returns:
        How many characters are taken from the end of the text, and what comes between.
    """
    if not before or not after:
        return 0, ""
    if before[-1] in HYPHENS and after[0].isalnum():
        return _at_hyphen(before, after, known)
    if re.fullmatch(rf"[{_WIDE}]{{2}}", before[-1] + after[0]):
        return 0, ""
    return 0, " "


def _at_hyphen(before: str, after: str, known: Container[str]) -> tuple[int, str]:
    head = re.search(r"[\w\u0300-\u036f-]*$", before[:-1])
    tail = re.match(r"[^\W\d_]+", after)
    first = head.group().casefold() if head else ""
    last = tail.group().casefold() if tail else ""
    if not first or unicodedata.category(before[-2])[0] in "ZP":
        return 0, " "  # a dash
    if before[-1] == "\u00ad":
        return 1, ""
    if f"{first}-{last}" in known:
        return 0, ""
    if last and first + last in known:
        return 1, ""
    letter = before[-2]
    if unicodedata.category(letter)[0] == "M":  # an accent of its own
        letter = before[-3:-2] or letter
    # Chinese has no hyphens, and in Hebrew and Arabic they join words.
    if unicodedata.east_asian_width(letter) == "W" or unicodedata.bidirectional(letter) not in (
        "L",
        "EN",
    ):
        return 0, " "
    divided = letter.isalpha() and letter == letter.lower() and after[0] == after[0].lower()
    if not divided or not last:
        return 0, ""  # X-ray, GPT-4
    compound = min(len(first), len(last)) >= LEAST_PART and first in known and last in known
    return (0, "") if compound else (1, "")


def join_lines(lines: Sequence[str], known: Container[str] = ()) -> str:
    """Lines as one text: no space between Chinese characters, and none within divided words.

    Args:
        lines: in the order of reading.
        known: words of the document, in lower case.
    """
    parts: list[str] = []
    end = ""  # of what is there: looking at all of it again for each line takes quadratic time
    spaced = False
    for line in map(str.strip, lines):
        if not line:
            continue
        cut, between = joint(end, line, known)
        if cut:
            parts[-1] = parts[-1][:-cut]
        parts += [between, line]
        spaced = spaced or between == " "
        end = (end + between + line)[-40:]
    text = "".join(parts)
    return join_words([text]) if spaced else text


def join_spans(parts: Iterable[Sequence[Span]], known: Container[str] = ()) -> list[Span]:
    """As `join_lines`, of lines in pieces of one style."""
    spans: list[Span] = []
    end = ""
    for part in parts:
        own = _stripped(part)
        if not own:
            continue
        after = "".join(span.text for span in own)
        cut, between = joint(end, after, known)
        if cut and spans:
            spans[-1] = replace(spans[-1], text=spans[-1].text[:-cut])
        if between:
            same = spans[-1].style == own[0].style
            spans.append(Span(between, spans[-1].style) if same else Span(between))
        spans += own
        end = (end[: len(end) - cut] + between + after)[-40:]
    return merge_spans(spans)


def _stripped(spans: Sequence[Span]) -> list[Span]:
    """Spans without space at both ends."""
    own = [span for span in spans if span.text]
    while own and not own[0].text.strip():
        own = own[1:]
    while own and not own[-1].text.strip():
        own = own[:-1]
    if own:
        own[0] = replace(own[0], text=own[0].text.lstrip())
        own[-1] = replace(own[-1], text=own[-1].text.rstrip())
    return own


def running(lines: Sequence[Line], known: Container[str] = ()) -> list[Span]:
    """The text of lines, in pieces of one style."""
    return join_spans([line.styled() for line in lines], known)


def plain(spans: Iterable[Span]) -> str:
    """The text of spans."""
    return "".join(span.text for span in spans)


def without_start(spans: Sequence[Span], count: int) -> list[Span]:
    """Spans without their first characters."""
    left = list(spans)
    while left and count >= len(left[0].text):
        count -= len(left[0].text)
        left = left[1:]
    if left and count:
        left[0] = replace(left[0], text=left[0].text[count:])
    return left


def list_mark(text: str) -> tuple[str, int]:
    """What an item of a list begins with.

    Returns:
        `-` for a bullet, the number or letter with its point or bracket, or an empty string; and
        how many characters it takes, with the space behind.
    """
    match = _BULLET.match(text)
    if match:
        return "-", match.end()
    match = _NUMBER.match(text)
    return (match[1], match.end()) if match else ("", 0)


def is_bullet(text: str) -> bool:
    """Whether a text begins with a sign that stands before items of lists alone."""
    return bool(text) and text[0] in BULLETS and bool(text[1:].strip())


def count_words(text: str) -> int:
    """The words of a text, parted by spaces; a sign alone is none."""
    return sum(any(letter.isalnum() for letter in word) for word in text.split())
