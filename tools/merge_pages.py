"""`python -m tools.merge_pages OUT FOLDER …`: several folders of pages as one, by hard links."""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from lmv3det.classes import plain_name
from lmv3det.errors import InputError
from lmv3det.files import write_json
from lmv3det.text.ocr_json import ocr_path, other_image, read_ocr


def merge_pages(out: Path, folders: list[Path]) -> int:
    """Put the pages of several folders into one; pages that are there already stay.

    Args:
        out: gets annotations.json, images/ and OCR/; a page's name begins with its folder's.
        folders: each of annotations.json, images/ and OCR/, with the same classes.

    Returns:
        The number of pages.

    Raises:
        InputError: a folder without annotations, other classes, two folders of one name, the text
            of another image, a page that is there already with another content.
    """
    names = [folder.name for folder in folders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two folders are called {twice[0]}; rename one")
    merged: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    ids: dict[str, int] = {}
    taken: set[Path] = set()
    for folder in folders:
        try:
            content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: no annotations.json that can be read ({error})") from None
        of_class = {c["id"]: plain_name(c["name"]) for c in content["categories"]}
        if not ids:
            merged["categories"] = content["categories"]
            ids = {plain_name(c["name"]): c["id"] for c in content["categories"]}
        if set(of_class.values()) != set(ids):
            raise InputError(f"{folder}: has other classes than {folders[0]}")
        first = len(merged["images"]) + 1
        image_ids = {}
        for number, image in enumerate(content["images"], start=first):
            image_ids[image["id"]] = number
            name = f"{folder.name}_{image['file_name']}"
            _link(folder / "images" / image["file_name"], out / "images" / name)
            text = ocr_path(folder / "OCR", image["file_name"], folder / "images")
            _check_text(text, folder / "images" / image["file_name"])
            target = out / "OCR" / Path(name).with_suffix(".json")
            if target in taken:
                target = target.with_name(f"{Path(name).name}.json")
            taken.add(target)
            _link(text, target)
            merged["images"].append({**image, "id": number, "file_name": name})
        for annotation in content["annotations"]:
            merged["annotations"].append(
                {
                    **annotation,
                    "id": len(merged["annotations"]) + 1,
                    "image_id": image_ids[annotation["image_id"]],
                    "category_id": ids[of_class[annotation["category_id"]]],
                }
            )
    write_json(out / "annotations.json", merged)
    return len(merged["images"])


def _check_text(path: Path, image: Path) -> None:
    """Refuse an OCR file that is not there, or says it is of another image."""
    problem = other_image(read_ocr(path), image)
    if problem:
        raise InputError(f"{path}: {problem}; read the text of {image} again")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        if not filecmp.cmp(source, target, shallow=False):
            raise InputError(f"{target}: is there already, and is not {source}; give another OUT")
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 when done, 1 at a fault of the user's."""
    parser = argparse.ArgumentParser(prog="python -m tools.merge_pages", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    try:
        number = merge_pages(options.out, options.folders)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.out}: {number} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
