"""The OCR file of a page: read, check, write.

`{"bbox": [[x, y, w, h], …], "words": ["…", …], "W": int, "H": int}`, pixels of the original page,
UTF-8, one entry for each line of text. `"image": {"name": "train/a.png", "sha256": "…", "page": 1}`
says whose text it is; files without it are taken as they are.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lmv3det.errors import InputError
from lmv3det.files import content_hash, is_int, is_number, is_unicode, replacing

MARGIN = 0.02
"""A box may stick out of the page by this fraction of its width or height; it is then clamped."""
SPECIFIC = 4
"""Folders above a page whose names an OCR folder may repeat."""
_NOISE = 1e-6


@dataclass(frozen=True)
class Source:
    """The image or PDF page that a text is of.

    Attributes:
        name: of its file, with that of the folder.
        sha256: of the file's content.
        page: in the file, from 1.
    """

    name: str
    sha256: str
    page: int = 1

    @classmethod
    def of(cls, path: str | os.PathLike, number: int = 0, sha256: str | None = None) -> Source:
        """The source that a page is.

        Args:
            path: of an image or PDF.
            number: of the page, from 0.
            sha256: of the file's content; None: it is read.

        Raises:
            OSError: it cannot be read.
        """
        name = Path(os.path.abspath(path)).parts[-2:]
        return cls("/".join(name), sha256 or content_hash(path), number + 1)


@dataclass
class OcrPage:
    """The text lines of a page.

    Attributes:
        boxes: L×4 float64 x0 y0 x1 y1, pixels of the original page.
        lines: the L strings.
        width: of the original page, pixels; 0 when a malformed file was skipped whole.
        height: likewise.
        clamped: how many boxes stuck out of the page a little and were cut.
        skipped: how many malformed entries were left out.
        issues: what was wrong with them.
        source: whose text it is, where that is known.
    """

    boxes: np.ndarray
    lines: list[str] = field(default_factory=list)
    width: int = 0
    height: int = 0
    clamped: int = 0
    skipped: int = 0
    issues: list[str] = field(default_factory=list)
    source: Source | None = None


def ocr_path(
    folder: str | os.PathLike,
    image_file: str | os.PathLike,
    images: str | os.PathLike | None = None,
) -> Path:
    """Where a page's OCR lies: the first file of its names in `ocr_folders`.

    Args:
        folder: of the OCR files.
        image_file: relative to the folder of the images.
        images: that folder, which the OCR folder may have a folder of the same name for.

    Returns:
        `<image name>.json` (`a.png.json`, which tells it from `a.jpg`) or `<stem>.json`; where
        neither is there, the latter in the last of the folders.
    """
    image = Path(image_file)
    within = Path(folder)
    for within in ocr_folders(folder, image.parent, images):
        for name in (f"{image.name}.json", f"{image.stem}.json"):
            if os.path.isfile(within / name):
                return within / name
    return within / f"{image.stem}.json"


def ocr_folders(
    folder: str | os.PathLike, parent: str | os.PathLike, images: str | os.PathLike | None = None
) -> list[Path]:
    """The folders in which the OCR files of a folder's pages may lie, the most specific first.

    `pages/OCR` may have the text of `pages/train/a.png` as `pages/OCR/train/a.json`, as
    `lmv3det ocr` writes it where it reads several folders, or as `pages/OCR/a.json`.

    Args:
        folder: of the OCR files.
        parent: sub-folder of the pages, relative to the images.
        images: folder of the images; None: only the sub-folder is looked for.

    Returns:
        Those that exist; `folder` alone where none does. `folder` itself is not among them where
        it has the sub-folder, whose pages have their files there.
    """
    below, within = Path(parent), Path(folder)
    relative = not below.is_absolute() and below.parts and ".." not in below.parts
    found = []
    if images is not None:
        parts = Path(os.path.abspath(os.path.join(images, below))).parts[1:]
        depth = len(below.parts) if relative else 0
        for count in range(min(len(parts), depth + SPECIFIC), depth, -1):
            found.append(within.joinpath(*parts[-count:]))
    found = [path for path in found if path.is_dir()]
    if relative and (within / below).is_dir():
        return [*found, within / below]
    return [*found, within]


def other_image(page: OcrPage, image: str | os.PathLike, number: int = 0) -> str:
    """Why a text is not that of a page: "" where it is, or where nobody can tell.

    Args:
        page: the text.
        image: path of the image or PDF.
        number: of the page in it, from 0.
    """
    if page.source is None:
        return ""
    try:
        own = Source.of(image, number)
    except OSError:  # which the reader of the image will tell of
        return ""
    if (own.sha256, own.page) == (page.source.sha256, page.source.page):
        return ""
    if own.name == page.source.name and own.page == page.source.page:
        return f"is the text of {own.name} as it was before it changed"
    return f"is the text of {page.source.name}, page {page.source.page}, not of {own.name}"


def read_ocr(path: str | os.PathLike, *, malformed: Literal["error", "skip"] = "error") -> OcrPage:
    """Read and check an OCR file.

    An entry of `bbox` is x, y, w, h, or the four corners of a (rotated) line as x, y pairs, whose
    enclosing box is taken.

    Args:
        path: the file.
        malformed: what to do about boxes that are not four finite numbers, have a negative size,
            or stick out of the page by more than 2 %, and about words that are not strings:
            `error`, or `skip` the entry. A file whose parts do not fit together (no JSON, no page
            size, lists of different lengths) is skipped whole.

    Raises:
        InputError: no such file; a malformed one, naming the entry.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):  # a pipe would be waited for
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise InputError(f"{path}: {what}, not an OCR file")
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such OCR file") from None
    except UnicodeDecodeError as error:
        return _unusable(path, f"not UTF-8 ({error})", 1, malformed)
    except (OSError, UnicodeEncodeError) as error:  # no permission, or a name that cannot be one
        raise InputError(f"{path}: cannot be read ({error})") from None
    return parse_ocr(text, path, malformed=malformed)


def parse_ocr(
    text: str, path: str | os.PathLike, *, malformed: Literal["error", "skip"] = "error"
) -> OcrPage:
    """As `read_ocr`, of a file's text.

    Args:
        text: JSON.
        path: what errors call it.
        malformed: as for `read_ocr`.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _unusable(path, f"not JSON ({error})", 1, malformed)
    if not isinstance(content, dict):
        return _unusable(path, f"holds a {type(content).__name__}, not an object", 1, malformed)
    for key in ("bbox", "words"):
        if not isinstance(content.get(key), list):
            return _unusable(path, f"{key} must be a list", 1, malformed)
    entries, words = content["bbox"], content["words"]
    if len(entries) != len(words):
        why = f"bbox has {len(entries)} entries and words {len(words)}; they must be as many"
        return _unusable(path, why, max(len(entries), len(words)), malformed)
    for key in ("W", "H"):
        value = content.get(key)
        if not is_number(value) or value <= 0:
            why = f"{key} is {value!r}; it must be the page's size in pixels"
            return _unusable(path, why, max(len(entries), 1), malformed)
    page = _read_entries(path, entries, words, content["W"], content["H"], malformed)
    page.source = _source(content.get("image"))
    return page


def _source(value: Any) -> Source | None:
    """The source that a file names; None where it names none, or something else by this key."""
    if not isinstance(value, dict):
        return None
    name, sha256, page = value.get("name"), value.get("sha256"), value.get("page", 1)
    if isinstance(name, str) and isinstance(sha256, str) and len(sha256) == 64 and is_int(page):
        return Source(name, sha256, page)
    return None


def _read_entries(
    path: str | os.PathLike,
    entries: list[Any],
    words: list[Any],
    width: float,
    height: float,
    malformed: str,
) -> OcrPage:
    boxes, kept, issues, clamped = [], [], [], 0
    for index, (entry, word) in enumerate(zip(entries, words, strict=True)):
        try:
            box = _corners(entry)
            inside = _clamp(box, width, height)
            _check_word(word)
        except ValueError as error:
            issue = f"entry {index}, bbox {entry!r:.80}: {error}"
            if malformed == "error":
                raise InputError(
                    f"{path}: {issue}; fix the file, or set data.malformed_ocr=skip to leave "
                    "such entries out"
                ) from None
            issues.append(issue)
            continue
        clamped += any(abs(a - b) > _NOISE for a, b in zip(box, inside, strict=True))
        boxes.append(inside)
        kept.append(word)
    return OcrPage(
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        kept,
        round(width),
        round(height),
        clamped,
        len(entries) - len(kept),
        issues,
    )


def _corners(entry: Any) -> tuple[float, float, float, float]:
    """x0 y0 x1 y1 of an entry: x y w h, or four points."""
    if not isinstance(entry, list) or len(entry) not in (4, 8):
        raise ValueError("it must be [x, y, w, h]")
    if len(entry) == 4 and all(isinstance(p, list) and len(p) == 2 for p in entry):
        entry = [value for point in entry for value in point]
    if not all(is_number(value) for value in entry):
        raise ValueError("it must hold finite numbers")
    if len(entry) == 8:
        return min(entry[0::2]), min(entry[1::2]), max(entry[0::2]), max(entry[1::2])
    x, y, w, h = entry
    if w < 0 or h < 0:
        raise ValueError(f"its size is {w}×{h}; it must not be negative")
    return x, y, x + w, y + h


def _check_word(word: Any) -> None:
    if not isinstance(word, str):
        raise ValueError(f"its word is {word!r:.80}, not a string")
    if not is_unicode(word):
        raise ValueError(f"its word is {word!r:.80}, which is not valid Unicode")


def _clamp(
    box: tuple[float, float, float, float], width: float, height: float
) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    if min(x0, width - x1) < -MARGIN * width or min(y0, height - y1) < -MARGIN * height:
        raise ValueError(f"it sticks out of the page of {width}×{height} by more than 2 %")
    return (
        min(max(x0, 0.0), width),
        min(max(y0, 0.0), height),
        min(max(x1, 0.0), width),
        min(max(y1, 0.0), height),
    )


def _unusable(path: str | os.PathLike, why: str, entries: int, malformed: str) -> OcrPage:
    why = " ".join(why.split())
    if malformed == "error":
        raise InputError(
            f"{path}: {why}; fix the file, or set data.malformed_ocr=skip to "
            "take the page without text"
        )
    return OcrPage(np.zeros((0, 4)), skipped=entries, issues=[why])


def ocr_text(page: OcrPage) -> str:
    """The text of an OCR file, one entry a line; coordinates to 1/100 pixel.

    Raises:
        ValueError: boxes and lines of different lengths, or a box that is not finite.
    """
    boxes = np.asarray(page.boxes, dtype=np.float64).reshape(-1, 4)
    if len(boxes) != len(page.lines) or not np.isfinite(boxes).all():
        raise ValueError(f"{len(boxes)} boxes for {len(page.lines)} lines, or not finite")
    entries = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).round(2)
    plain = [[int(v) if v.is_integer() else v for v in entry] for entry in entries.tolist()]
    bbox = ",\n".join(json.dumps(entry) for entry in plain)
    words = ",\n".join(json.dumps(line, ensure_ascii=False) for line in page.lines)
    return (
        f'{{"bbox": [\n{bbox}\n],\n"words": [\n{words}\n],\n'
        f'"W": {int(page.width)}, "H": {int(page.height)}{_image(page.source)}}}\n'
    )


def _image(source: Source | None) -> str:
    if source is None:
        return ""
    name = os.fsencode(source.name).decode("utf-8", "backslashreplace")
    values = {"name": name, "sha256": source.sha256, "page": source.page}
    return f',\n"image": {json.dumps(values, ensure_ascii=False)}'


def write_ocr(path: str | os.PathLike, page: OcrPage) -> None:
    """Write an OCR file at once or not at all; folders are made.

    Raises:
        ValueError: see `ocr_text`; a line that is not valid Unicode.
    """
    content = ocr_text(page).encode("utf-8")
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content)
