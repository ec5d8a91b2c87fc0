"""A COCO data set to tar files in webdataset's layout, with their index (see `shards.py`)."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lmv3det.data.coco import CocoDataset, size_problem
from lmv3det.data.images import IMAGE_SUFFIXES, read_format
from lmv3det.data.records import Record
from lmv3det.data.shards import CATEGORIES, COLUMNS, FORMAT, INDEX, VERSION
from lmv3det.errors import InputError
from lmv3det.files import lock_folder, replacing
from lmv3det.text.ocr_json import ocr_path, other_image, read_ocr


def write_shards(
    dataset: CocoDataset, out: Path, count: int, *, prefix: str = "pages", overwrite: bool = False
) -> list[Path]:
    """Write the pages of a data set, in its order, as `pages-000.tar`, … and `index.json`.

    Shards differ by one page at most. Every page has its image and its annotations, and its OCR
    file where the data set was opened with text and there is one. The index is written last.

    Args:
        dataset: the pages.
        out: folder to write to.
        count: shards.
        prefix: of their names.
        overwrite: replace shards that are there.

    Returns:
        The tar files.

    Raises:
        InputError: fewer pages than shards; shards are there already; a page whose image has not
            the annotated size.
        OSError: a file cannot be written.
    """
    if not 1 <= count <= len(dataset):
        raise InputError(f"{count} shards of {len(dataset)} pages: give 1 to {len(dataset)}")
    digits = max(3, len(str(count - 1)))
    paths = [out / f"{prefix}-{number:0{digits}d}.tar" for number in range(count)]
    with lock_folder(out, "another job"):
        if (out / INDEX).exists():
            if not overwrite:
                raise InputError(f"{out}: holds shards already; --overwrite replaces them")
            (out / INDEX).unlink()
        shards = []
        with tqdm(total=len(dataset), desc="shards", unit="page") as bar:
            for number, path in enumerate(paths):
                first, end = (k * len(dataset) // count for k in (number, number + 1))
                with replacing(path) as temporary:
                    shard = _Shard(path.name)
                    with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
                        for place in range(first, end):
                            shard.add(archive, dataset, dataset.records[place])
                            bar.update()
                shards.append(shard.content)
        categories = [{"id": c.id, "name": c.name} for c in dataset.categories]
        about = {"format": FORMAT, "version": VERSION, "categories": categories}
        with replacing(out / INDEX) as temporary:
            temporary.write_text(json.dumps({**about, "shards": shards}), encoding="ascii")
    return paths


class _Shard:
    """The entry of a shard in the index, page by page."""

    def __init__(self, name: str) -> None:
        self.content: dict[str, Any] = {
            "name": name,
            "keys": [],
            **{c: [] for c in (*COLUMNS, CATEGORIES)},
        }

    def add(self, archive: tarfile.TarFile, dataset: CocoDataset, record: Record) -> None:
        """Add the members of a page to the tar file, and their places to the index."""
        problem = size_problem(record)
        if problem is not None:
            raise InputError(f"{record.path}: {problem}; correct it in {dataset.annotations}")
        key, content = f"{record.image_id:09d}", self.content
        annotations = record.annotations
        about = {
            "id": record.image_id,
            "file_name": record.file_name,
            "width": record.width,
            "height": record.height,
            "annotations": annotations,
        }
        content["keys"].append(key)
        content["image_id"].append(record.image_id)
        content["width"].append(record.width)
        content["height"].append(record.height)
        content["regions"].append(sum(not entry["iscrowd"] for entry in annotations))
        categories = {entry["category_id"] for entry in annotations if not entry["iscrowd"]}
        content[CATEGORIES].append(sorted(categories))
        # webdataset reads the suffix as the part behind the first dot, in lower case.
        suffix = record.path.suffix.lower()
        if suffix not in IMAGE_SUFFIXES:  # a name of some other kind, which tar may not take
            suffix = f".{read_format(record.path)}"
        image = f"{key}{suffix}"
        content["image"].append(_member(archive, image, record.path.read_bytes()))
        content["annotations"].append(_member(archive, f"{key}.json", json.dumps(about).encode()))
        ocr = [-1, -1]
        if dataset.with_text:
            path = ocr_path(dataset.ocr, record.file_name, dataset.images)
            if path.exists():
                problem = other_image(read_ocr(path, malformed="skip"), record.path)
                if problem:
                    raise InputError(f"{path}: {problem}; read the text of {record.path} again")
                ocr = _member(archive, f"{key}.ocr.json", path.read_bytes())
        content["ocr"].append(ocr)


def _member(archive: tarfile.TarFile, name: str, content: bytes) -> list[int]:
    """Add a member; its first byte in the tar file, and its length."""
    header = tarfile.TarInfo(name)  # without time and owner: equal pages make equal files
    header.size = len(content)
    start = archive.offset + len(header.tobuf(tarfile.USTAR_FORMAT))
    archive.addfile(header, io.BytesIO(content))
    return [start, len(content)]
