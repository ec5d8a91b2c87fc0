"""A font for every letter: text is cut into runs, each with the first font that has its letters.

DejaVu Sans (Latin, Greek, Cyrillic, Arabic, signs) and STIX (mathematical letters) come with
matplotlib. Chinese, Japanese and Korean letters, and whatever else is asked for, are looked for
in the system's fonts and in installed font packages.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from lmv3det.errors import printable

log = logging.getLogger(__name__)

_PACKAGES = ("cvttf_NotoSansCJK_Regular", "pylopdf_fonts_zh_cn")
"""Packages that hold fonts (the extras `fonts` and `synthetic`)."""
_PREFERRED = (
    "NotoSansCJK-Regular*",
    "NotoSansCJK*-Regular*",
    "NotoSansSC*",
    "NotoSansKR*",
    "SourceHanSans*",
    "wqy-*",
    "DroidSansFallback*",
    "msyh*",
    "simhei*",
    "malgun*",
    "PingFang*",
    "STHeiti*",
    "AppleSDGothicNeo*",
    "Nanum*",
    "NotoSans*-Regular*",
)
"""Sans-serif fonts with many letters, the best first; after them others are tried."""
_MAX_OTHERS = 500
_SUFFIXES = (".ttf", ".ttc", ".otf")


def runs(text: str) -> list[tuple[str, Path]]:
    """A text in parts, each with a font that has its letters.

    Line breaks and control characters are escaped. Letters that no font has are in DejaVu Sans,
    which draws a box for them; a warning says so once.
    """
    return [
        ("".join(part), path) for path, part in itertools.groupby(printable(text), key=font_path)
    ]


@functools.lru_cache(maxsize=4096)
def font_path(letter: str) -> Path:
    """The first font that has a letter; DejaVu Sans where none has."""
    for path in itertools.chain(_bundled(), _found()):
        if ord(letter) in _letters(path):
            return path
    _warn(letter)
    return _bundled()[0]


@functools.lru_cache(maxsize=64)
def font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """A font for Pillow, of a size in pixels."""
    return ImageFont.truetype(str(path), size)


def properties(texts: list[str]) -> FontProperties:
    """Fonts for matplotlib that together have the letters of some texts."""
    paths = dict.fromkeys([_bundled()[0], *(path for text in texts for _, path in runs(text))])
    return FontProperties(family=[_family(path) for path in paths])


@functools.lru_cache(maxsize=64)
def _family(path: Path) -> str:
    fontManager.addfont(path)
    return FontProperties(fname=path).get_name()


@functools.lru_cache(maxsize=1)
def _bundled() -> tuple[Path, Path]:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return folder / "DejaVuSans.ttf", folder / "STIXGeneral.ttf"


def _found() -> Iterator[Path]:
    """Fonts of this machine, the preferred first, each once."""
    yield from _preferred()
    yield from _others()


@functools.lru_cache(maxsize=1)
def _preferred() -> tuple[Path, ...]:
    files = _files()
    return tuple(
        dict.fromkeys(path for pattern in _PREFERRED for path in files if path.match(pattern))
    )


@functools.lru_cache(maxsize=1)
def _others() -> tuple[Path, ...]:
    preferred = set(_preferred())
    return tuple(path for path in _files() if path not in preferred)[:_MAX_OTHERS]


@functools.lru_cache(maxsize=1)
def _files() -> tuple[Path, ...]:
    """All font files in the folders where fonts are, sorted within each folder."""
    folders = [Path.home() / ".local/share/fonts", Path.home() / ".fonts"]
    if sys.platform == "win32":
        folders.append(Path("C:/Windows/Fonts"))
    elif sys.platform == "darwin":
        folders += [Path("/System/Library/Fonts"), Path("/Library/Fonts")]
    else:
        folders += [Path("/usr/local/share/fonts"), Path("/usr/share/fonts")]
    for name in _PACKAGES:
        package = importlib.util.find_spec(name)
        if package is not None and package.submodule_search_locations:
            folders += [Path(folder) for folder in package.submodule_search_locations]
    return tuple(
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    )


@functools.lru_cache(maxsize=1024)
def _letters(path: Path) -> frozenset[int]:
    """The code points that a font has letters for; none where it is damaged."""
    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


_warned: set[str] = set()


def _warn(letter: str) -> None:
    if not _warned:
        log.warning(
            "no font on this machine has the letter %r: drawings show a box in its place; install "
            "fonts-noto-cjk, or the extra [fonts] of this package",
            letter,
        )
    _warned.add(letter)
