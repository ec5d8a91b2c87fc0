"""A document in pieces for retrieval: JSON lines."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from lmv3det.documents.markdown import inline, part_markdown
from lmv3det.documents.parts import Part
from lmv3det.documents.text import plain
from lmv3det.documents.whole import Document

_TOKEN = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]|[^\W_]+|[^\w\s]|_", re.UNICODE
)


def chunks(document: Document) -> Iterator[dict[str, Any]]:
    """The parts of a document, one after another: a paragraph, a list, a table, a listing.

    Yields:
        text (Markdown, without the picture), kind, headings (those above it, the outermost first),
        page (from 1), bbox ([x, y, w, h], pixels of that page), tokens. A heading is in the path
        of what follows, and a chunk of its own only where nothing follows it.
    """
    path: list[Part] = []
    waiting: Part | None = None
    for part in document.parts:
        if part.kind == "heading":
            if waiting is not None and part.level <= waiting.level:
                yield _chunk(waiting, path[:-1])
            path = [above for above in path if above.level < part.level] + [part]
            waiting = part
            continue
        waiting = None
        chunk = _chunk(part, path)
        if chunk["text"]:
            yield chunk
    if waiting is not None:
        yield _chunk(waiting, path[:-1])


def _chunk(part: Part, path: list[Part]) -> dict[str, Any]:
    text = _text(part)
    x0, y0, x1, y1 = part.box
    return {
        "text": text,
        "kind": part.kind,
        "headings": [plain(above.spans) for above in path],
        "page": part.page,
        "bbox": [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
        "tokens": count_tokens(text),
    }


def _text(part: Part) -> str:
    if part.kind in ("picture", "formula"):
        return "\n\n".join(filter(None, [*map(inline, part.captions), inline(part.spans)]))
    if part.kind == "heading":
        return plain(part.spans)
    return part_markdown(dataclasses.replace(part, picture=""))


def count_tokens(text: str) -> int:
    """Words, numbers and signs, a Chinese or Japanese character each. Tokenizers of language models
    divide rare words, and so count more."""
    return len(_TOKEN.findall(text))
