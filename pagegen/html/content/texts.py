"""Real sentences: paragraphs, headings and list items of the machine's free documents.

Debian's handbook, the help of GNOME and other `*-doc` packages come in many languages. They are
read once a language and kept as a JSON file in the cache folder; nothing of them is in this
package, and a machine without them has made-up sentences of dictionary words.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import dataclass, field
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path

from lmv3det.files import atomic_write
from pagegen.html.content.cache import cache_folder

PLACES = {
    "": (
        "/usr/share/doc/debian-handbook/html/{long}/*.html",
        "/usr/share/help/{short}/gnome-help/*.page",
        "/usr/share/help/{short}/system-admin-guide/*.page",
        "/usr/share/debian-reference/*.{dotted}.html",
    ),
    "en": (
        "/usr/share/doc/debian-policy/policy.html/*.html",
        "/usr/share/doc/developers-reference/*.html",
        "/usr/share/doc/debian/FAQ/*.en.html",
    ),
}
LONG = {
    "en": "en-US", "de": "de-DE", "fr": "fr-FR", "es": "es-ES", "it": "it-IT", "nl": "nl-NL",
    "pt": "pt-BR", "pl": "pl-PL", "cs": "cs-CZ", "sv": "sv-SE", "da": "da-DK", "hu": "hu-HU",
    "ro": "ro-RO", "tr": "tr-TR", "vi": "vi-VN", "ru": "ru-RU", "uk": "uk-UA", "bg": "bg-BG",
    "el": "el-GR", "ar": "ar-MA", "he": "he-IL", "zh": "zh-CN", "ja": "ja-JP", "ko": "ko-KR",
}  # fmt: skip
SHORT = {"en": "C", "pt": "pt_BR", "zh": "zh_CN"}
_PARTS = {"p": "paragraphs", "li": "items", "h1": "titles", "h2": "titles", "h3": "titles",
          "h4": "titles", "title": "titles", "dt": "titles", "item": "items"}  # fmt: skip
_LEFT_OUT = {"pre", "script", "style", "table", "code", "screen", "nav", "info", "dl"}


@dataclass
class Texts:
    """Texts of a language.

    Attributes:
        paragraphs: of 40 letters and more.
        titles: headings.
        items: entries of lists.
    """

    paragraphs: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    """Texts of one file."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._open: list[tuple[str, list[str]]] = []
        self._out = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _LEFT_OUT:
            self._out += 1
        kind = _PARTS.get(tag)
        if tag == "div" and ("class", "para") in attrs:
            kind = "paragraphs"
        if tag in _PARTS or tag == "div":
            self._open.append((kind or "", []))

    def handle_endtag(self, tag: str) -> None:
        if tag in _LEFT_OUT:
            self._out = max(0, self._out - 1)
        if (tag in _PARTS or tag == "div") and self._open:
            kind, parts = self._open.pop()
            text = re.sub(r"\s+", " ", "".join(parts)).strip()
            if kind and text:
                self.found.append((kind, text))

    def handle_data(self, data: str) -> None:
        if self._open and not self._out:
            self._open[-1][1].append(data)


def _files(language: str) -> list[Path]:
    long, short = LONG.get(language, language), SHORT.get(language, language)
    dotted = long.lower() if language == "zh" else language
    patterns = PLACES[""] + PLACES.get(language, ())
    places = [p.format(long=long, short=short, dotted=dotted)[1:] for p in patterns]
    return [path for place in places for path in sorted(Path("/").glob(place))]


def _read(files: list[Path]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {"paragraphs": {}, "titles": {}, "items": {}}
    for path in files:
        reader = _Reader()
        reader.feed(path.read_text(encoding="utf-8", errors="ignore"))
        for kind, text in reader.found:
            low, high = {"titles": (3, 90), "paragraphs": (30, 1500), "items": (8, 400)}[kind]
            if kind == "titles":
                text = re.sub(
                    r"^[\divxA-C.]+[.)]\s+|^(Chapter|Appendix) \S+ |[¶]|^\d+\s+", "", text
                )
            if low <= len(text) <= high and "://" not in text:
                found[kind][text] = None
    return {kind: list(texts) for kind, texts in found.items()}


@lru_cache(maxsize=64)
def texts_of(language: str) -> Texts | None:
    """Texts of a language, or None where the machine has too few."""
    files = _files(language)
    if not files:
        return None
    sign = hashlib.sha1("2".join(f"{f}{f.stat().st_size}" for f in files).encode()).hexdigest()[:12]
    path = cache_folder() / "texts" / f"{language}-{sign}.json"
    if path.exists():
        read = json.loads(path.read_text(encoding="utf-8"))
    else:
        read = _read(files)
        if language != "en":
            # What is not translated yet stands there in English.
            english = texts_of("en")
            known = set(english.paragraphs + english.titles + english.items) if english else set()
            read = {kind: [t for t in texts if t not in known] for kind, texts in read.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(read, ensure_ascii=False).encode())
    texts = Texts(**read)
    return texts if len(texts.paragraphs) >= 100 else None


_STOP = re.compile(r"(?<=[.!?])\s+(?=\S)|(?<=[。！？])")


def sentences(rng: random.Random, texts: Texts, length: int) -> str:
    """Running sentences of about ``length`` letters, from somewhere in the texts."""
    i = rng.randrange(len(texts.paragraphs))
    out: list[str] = []
    used = 0
    parts = _STOP.split(texts.paragraphs[i])
    k = rng.randrange(len(parts))
    while used < length:
        if k >= len(parts):
            i, k = (i + 1) % len(texts.paragraphs), 0
            parts = _STOP.split(texts.paragraphs[i])
        if used and used + len(parts[k]) > 1.5 * length:
            break
        out.append(parts[k])
        used += len(parts[k]) + 1
        k += 1
    return " ".join(out)
