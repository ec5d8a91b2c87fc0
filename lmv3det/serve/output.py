"""Pages in the formats that `lmv3det predict` writes, as one file to send."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmv3det.inference.entries import PageEntry
from lmv3det.inference.formats import load_format
from lmv3det.inference.pictures import COPIED

SINGLE = {
    "coco": ("coco.json", "application/json"),
    "markdown": ("document.md", "text/markdown; charset=utf-8"),
    "html": ("document.html", "text/html; charset=utf-8"),
    "cvat": ("cvat.xml", "application/xml"),
}
"""Format → the one file that it writes, and its type; the others are several files."""
DOCUMENT = "document"
"""The file that pages are said to come from while they are written."""


@dataclass
class Output:
    """A file to send.

    Attributes:
        content: its bytes.
        media_type: what they are.
        suffix: of its name.
    """

    content: bytes
    media_type: str
    suffix: str


def write_format(
    name: str, pages: Sequence[PageEntry], names: Sequence[str], folder: Path, archive: bool
) -> Output:
    """Write pages in a format.

    Args:
        name: of `lmv3det.inference.formats.FORMATS`, but `json`.
        pages: entries of detections.json; `image`, and `picture` of regions, are paths within
            `folder`, or names that nobody looks up.
        names: class names by class index.
        folder: for files, with the pages' pictures where they are to be packed.
        archive: all files as a ZIP; formats of several files always are one.
    """
    entries: list[PageEntry] = []
    for page in pages:
        entry = page.copy()
        entry["file"] = DOCUMENT
        entry.setdefault("image", _image_name(page))
        entries.append(entry)

    def each() -> Iterator[PageEntry]:
        return iter(entries)

    load_format(name).write(each, folder, names)
    if archive or name not in SINGLE:
        return Output(_zip(folder), "application/zip", f".{name}.zip")
    file, media_type = SINGLE[name]
    suffix = ".coco.json" if name == "coco" else Path(file).suffix
    return Output((folder / file).read_bytes(), media_type, suffix)


def _image_name(page: PageEntry) -> str:
    """What a data set calls the image of a page that is not packed: as `lmv3det predict` would
    name it. Nothing of this name is written."""
    file = Path(page["file"])
    if file.suffix.lower() in COPIED and page["page"] == 1:
        return f"images/{file.name}"
    return f"images/{file.stem}_p{page['page']}.png"


def json_output(content: Any) -> Output:
    """JSON as `detections.json` has it: a lone surrogate becomes the escape of the same name."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return Output(text.encode(errors="backslashreplace"), "application/json", ".json")


def _zip(folder: Path) -> bytes:
    target = folder.with_name(folder.name + ".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder))
    content = target.read_bytes()
    target.unlink()
    return content
