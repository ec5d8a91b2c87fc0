"""A document as Markdown (CommonMark, with GitHub's tables and footnotes)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from urllib.parse import quote

from lmv3det.documents.lines import PLAIN, Span, Style, merge_spans
from lmv3det.documents.parts import Item, Part
from lmv3det.documents.tables import Table
from lmv3det.documents.text import plain
from lmv3det.documents.whole import Document


def markdown(document: Document, page_marks: bool = True) -> str:
    """A document as Markdown.

    Headings have their levels; lists their bullets or numbers, and lists within lists; a reference
    is an item of a list. Tables are tables, with their picture before them; the text in a figure
    stands in a comment behind it, that of a formula is the alternative text of its picture.

    Args:
        document: to write.
        page_marks: whether `<!-- page 3 -->` stands where a page begins.
    """
    written: list[str] = []
    page = 0
    for part in document.parts:
        if page_marks and part.page != page:
            written.append(f"<!-- page {part.page} -->")
            page = part.page
        written += [text for text in _part(part) if text]
    return "\n\n".join(written) + "\n"


def part_markdown(part: Part) -> str:
    """A part alone."""
    return "\n\n".join(text for text in _part(part) if text)


def _part(part: Part) -> Iterator[str]:
    captions = [f"*{escape(plain(caption))}*" for caption in part.captions]
    if part.captions_first:
        yield from captions
    if part.kind == "heading":
        text = inline(_without_common(part.spans))
        yield f"{'#' * max(part.level, 1)} {text}" if text else ""
    elif part.kind == "list":
        yield _list(part.items)
    elif part.kind == "code":
        yield fenced(part.code)
    elif part.kind == "footnote" and part.label:
        yield f"[^{part.label}]: {inline(part.spans)}"
    elif part.kind == "picture":
        yield from _picture(part, plain(part.captions[0]) if captions else part.category)
        hidden = comment(plain(part.spans))
        if hidden:
            yield hidden if part.picture else inline(part.spans)
    elif part.kind == "table":
        yield from _picture(part, plain(part.captions[0]) if captions else part.category)
        yield pipe_table(part.table) if part.table else inline(part.spans)
    elif part.kind == "formula" and part.picture:
        yield from _picture(part, plain(part.spans) or part.category)
    else:
        yield inline(part.spans)
    if not part.captions_first:
        yield from captions


def _picture(part: Part, alternative: str) -> Iterator[str]:
    if part.picture:
        yield f"![{escape(alternative)}]({picture_link(part.picture)})"


def comment(text: str) -> str:
    """Text that is read by programs alone; empty for none."""
    text = " ".join(text.split())
    # A comment cannot hold what ends it.
    return f"<!-- {text.replace('--', '- -').replace('-->', '- ->')} -->" if text else ""


def picture_link(picture: str) -> str:
    """A picture as the link to it."""
    return picture if picture.startswith("data:image/") else quote(os.fsencode(picture))


def _list(items: Sequence[Item]) -> str:
    rows = []
    widths: list[int] = []  # of the marks of the lists that are open
    for item in items:
        mark = _mark(item.mark)
        depth = min(item.depth, len(widths))
        indent = sum(widths[:depth])
        widths = [*widths[:depth], len(mark) + 1]
        text = inline(item.spans)
        if mark == "-" and item.mark != "-":
            text = f"{escape(item.mark)} {text}"
        rows.append(f"{' ' * indent}{mark} {text}".rstrip())
    return "\n".join(rows)


def _mark(mark: str) -> str:
    """The mark of an item, where Markdown knows it: `1.` or `1)`."""
    return mark if re.fullmatch(r"\d{1,9}[.)]", mark) else "-"


def fenced(code: str) -> str:
    """Code between fences that are longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{code}\n{fence}"


def pipe_table(table: Table) -> str:
    """A table of pipes: the text of a merged cell stands in its first place."""
    rows = [
        ["" if cell is None else inline(cell.spans).replace("\n", " ") for cell in row]
        for row in table.grid()
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, f"|{'---|' * table.columns}")
    return "\n".join(lines)


_MARKS: tuple[tuple[Callable[[Style], bool], str], ...] = (
    (lambda style: style.bold, "**"),
    (lambda style: style.italic, "*"),
)


def _without_common(spans: Sequence[Span]) -> list[Span]:
    """The spans of a heading without what all of its letters are: bold, or leaning."""
    letters = [span.style for span in spans if span.text.strip()]
    italic = all(style.italic for style in letters)
    return [
        Span(s.text, replace(s.style, bold=False, italic=s.style.italic and not italic))
        for s in spans
    ]


def inline(spans: Sequence[Span]) -> str:
    """Spans as Markdown in one line."""
    own = merge_spans(
        [Span("".join(c if c.isprintable() else " " for c in s.text), s.style) for s in spans]
    )
    text = "".join(_styled(span) for span in own if span.text)
    return escape_start(" ".join(text.split()))


def _styled(span: Span) -> str:
    style = span.style
    if style.note:
        return f"[^{style.note}]"
    core = span.text.strip()
    if not core or style == PLAIN:
        return escape_inline(span.text)
    before = span.text[: len(span.text) - len(span.text.lstrip())]
    after = span.text[len(span.text.rstrip()) :]
    text = escape_inline(core)
    if style.mono and not style.script and not style.link and "`" not in core:
        text = f"`{core}`"
    elif any(c.isalnum() for c in core):
        marks = "".join(mark for has, mark in _MARKS if has(style))
        text = f"{marks}{text}{marks[::-1]}"
        if style.script:
            tag = "sup" if style.script == "super" else "sub"
            text = f"<{tag}>{text}</{tag}>"
    if style.link:
        text = f"[{text}](<{style.link.replace('>', '%3E').replace('<', '%3C')}>)"
    return before + text + after


def escape(line: str) -> str:
    """Text of which Markdown reads nothing as markup, in one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    return escape_start(escape_inline(line))


def escape_inline(text: str) -> str:
    """Text without markup within a line: only what would be read as such is escaped."""
    text = re.sub(r"([\\`*<\[\]|$~])", r"\\\1", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # within a word it marks nothing
    return re.sub(r"&(?=#?\w{1,31};)", r"\\&", text)  # an entity


def escape_start(line: str) -> str:
    """A line that neither begins nor ends with what makes it another block."""
    if re.fullmatch(r"(?:- ?){3,}|=+|-+|\++", line):  # a rule, or a heading's underline
        return f"\\{line}"
    line = re.sub(r"^(#{1,6}(?=\s|$)|[-+](?=\s)|={3}|>)", r"\\\1", line)
    line = re.sub(r"(^|\s)(#+)$", r"\1\\\2", line)  # would close a heading
    return re.sub(r"^(\d{1,9})([.)])(?=\s|$)", r"\1\\\2", line)
