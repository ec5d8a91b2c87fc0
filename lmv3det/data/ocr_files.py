"""Which OCR file belongs to which page of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmv3det.data.image_folder import names_in
from lmv3det.data.issues import DataReport
from lmv3det.data.records import Records
from lmv3det.text.ocr_json import ocr_folders


@dataclass(frozen=True)
class MissingOcr:
    """What is said of pages without OCR file: how many they are, and what would make the files."""

    message: str
    command: str


def find_ocr(records: Records, images: Path, ocr: Path, report: DataReport) -> MissingOcr | None:
    """Check that every page has an OCR file of its own (`ocr_path`).

    Args:
        records: the pages.
        images: folder of their images.
        ocr: folder of the OCR files.
        report: takes the pages that share a file.
    """
    folders: dict[str, list[tuple[Path, set[str]]]] = {}
    owners: dict[tuple[Path, str], str] = {}
    missing: list[str] = []
    without: dict[str, int] = {}
    for place, name in enumerate(records.file_names()):
        parent, _, base = name.rpartition("/")
        if parent not in folders:
            folders[parent] = [(f, names_in(f)) for f in ocr_folders(ocr, parent, images)]
        dot = base.rfind(".")
        wanted = f"{base}.json", f"{base[:dot] if 0 < dot < len(base) - 1 else base}.json"
        found = [(f, file) for f, names in folders[parent] for file in wanted if file in names]
        folder, file = found[0] if found else (folders[parent][-1][0], wanted[1])
        other = owners.setdefault((folder, file), name)
        if other != name:
            where = f"image {records[place].image_id} ({name})"
            report.add("OCR file shared", where, f"{file} is also that of {other}", "used for both")
        if not found:
            missing.append(file)
            without[parent] = without.get(parent, 0) + 1
    if not missing:
        return None
    message = (
        f"{ocr}: {len(missing)} of {len(records)} pages have no OCR file "
        f"({', '.join(missing[:3])}{', …' if len(missing) > 3 else ''})"
    )
    none_yet = len(missing) == len(records)
    first = list(without)[:3]
    outs = [ocr / parent if none_yet else folders[parent][-1][0] for parent in first]
    commands = [
        f"`lmv3det ocr {images / parent} --out {out}`"
        for parent, out in zip(first, outs, strict=True)
    ]
    return MissingOcr(message, ", ".join(commands) + (", …" if len(without) > 3 else ""))
