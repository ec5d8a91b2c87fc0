"""What a job has to do, kept in its folder: the documents, cut into shards, and the settings."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmv3det.batch.documents import Document
from lmv3det.errors import InputError, explain
from lmv3det.files import is_int, replacing, write_json

JOB, DOCUMENTS = "job.json", "documents.jsonl"
FORMAT = "lmv3det batch"
_SHARD = re.compile(r"pages-(\d{6,})\.parquet")


class Plan:
    """The documents of a job in shards. They are cut from the sorted list once, when the job
    begins, so that no shard depends on who works on it, or on files that come later.

    Args:
        folder: of the job.
        documents: sorted.
        shard_size: documents a shard.
    """

    def __init__(self, folder: Path, documents: Sequence[Document], shard_size: int) -> None:
        self.folder, self.documents, self.shard_size = folder, documents, shard_size

    def __len__(self) -> int:
        """Shards."""
        return -(-len(self.documents) // self.shard_size)

    def __getitem__(self, number: int) -> Sequence[Document]:
        """The documents of a shard."""
        return self.documents[number * self.shard_size : (number + 1) * self.shard_size]

    def path(self, number: int) -> Path:
        """The Parquet file of a shard."""
        return self.folder / f"pages-{number:06d}.parquet"

    def finished(self) -> set[int]:
        """Shards whose file is there. Files are written whole, so that is all of a finished one."""
        return set(range(len(self))) & {number for number, _ in shard_files(self.folder)}

    def save(self, settings: dict[str, Any]) -> None:
        """Write the plan; `job.json` comes last."""
        with replacing(self.folder / DOCUMENTS) as path, open(path, "w", encoding="ascii") as file:
            for document in self.documents:
                values: list[Any] = [document.name, document.address]
                values += [document.start, document.length]
                values += [document.problem] if document.problem else []
                file.write(json.dumps(values) + "\n")
        about = {"format": FORMAT, "shard_size": self.shard_size, "settings": settings}
        write_json(self.folder / JOB, {**about, "documents": len(self.documents)})


def shard_files(folder: Path) -> list[tuple[int, Path]]:
    """Numbers and paths of the Parquet files of a job's folder, in order."""
    found = [(m, path) for path in folder.iterdir() if (m := _SHARD.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def _document(values: Any) -> Document:
    """The document of a line of the list; TypeError or ValueError where it is none."""
    name, address, start, length, *rest = values
    texts = all(isinstance(text, str) for text in (name, address, *rest)) and len(rest) <= 1
    if not (texts and is_int(start) and is_int(length) and start >= 0 and length >= -1):
        raise ValueError(f"{DOCUMENTS} has {values!r:.80}")
    return Document(name, address, start, length, *rest)


def load_plan(folder: Path, settings: dict[str, Any], shard_size: int | None) -> Plan | None:
    """The plan of a job that was begun; None where there is none.

    Args:
        folder: of the job.
        settings: what the job must have been begun with.
        shard_size: likewise; None takes the job's.

    Raises:
        InputError: it was begun with others, or its files are damaged.
    """
    path = folder / JOB
    if not path.exists():
        return None
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(about["format"])
        before, size, count = about["settings"], about["shard_size"], about["documents"]
        if not (isinstance(before, dict) and is_int(size) and size >= 1):
            raise ValueError(f"shard_size {size!r:.80}, settings {before!r:.80}")
        with open(folder / DOCUMENTS, encoding="ascii") as file:
            documents = [_document(json.loads(line)) for line in file]
        if len(documents) != count:
            raise ValueError(f"{len(documents)} documents, not {count}")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: damaged, or not of a batch job ({explain(error)}); --overwrite starts again"
        ) from None
    given = {**settings, "shard_size": size if shard_size is None else shard_size}
    before = {**before, "shard_size": size}
    changed = [key for key, value in given.items() if before.get(key) != value]
    if changed:
        raise InputError(
            f"{path}: the job was begun with "
            + ", ".join(f"{key} {before.get(key)!r}, not {given[key]!r}" for key in changed)
            + "; give the same, or start again with --overwrite"
        )
    return Plan(folder, documents, size)
