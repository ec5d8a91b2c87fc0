"""Self-describing checkpoints: one file that evaluates, predicts and resumes by itself.

A checkpoint holds only tensors, numbers, strings, lists and mappings, and is read with
`weights_only=True`, so that a file from a stranger cannot run code.
"""

from __future__ import annotations

import os
import pickle
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmv3det.config import Config, from_dict, to_dict
from lmv3det.data.categories import Category
from lmv3det.errors import InputError

FORMAT = "lmv3det checkpoint"
VERSION = 1
CONTENT = ("weights", "config", "categories", "tokenizer_files", "step", "training", "libraries")
"""What a checkpoint file holds beside `format` and `version`."""
LIBRARIES = ("torch", "torchvision", "transformers", "timm", "numpy", "lmv3det")


@dataclass
class Checkpoint:
    """A trained detector and what it needs.

    Attributes:
        weights: the detector's state_dict (the moving average where one is kept).
        config: the whole config; `model.num_classes` is set.
        categories: id and name of every class, in the order of class indices.
        tokenizer_files: the tokenizer's files by name, uint8 tensors; empty for image-only.
        step: optimizer steps done.
        training: state of the run (optimizer, scheduler, scaler, random generators, data
            position, raw weights beside a moving average); empty in a model for use.
        libraries: versions that wrote the file.
    """

    weights: dict[str, Tensor]
    config: Config
    categories: list[Category]
    tokenizer_files: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    training: dict[str, Any] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that numbers depend on."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def save_checkpoint(path: str | os.PathLike, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically: a reader sees the old file or the whole new one."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "weights": dict(checkpoint.weights),
        "config": to_dict(checkpoint.config),
        "categories": [{"id": c.id, "name": c.name} for c in checkpoint.categories],
        "tokenizer_files": checkpoint.tokenizer_files,
        "step": checkpoint.step,
        "training": checkpoint.training,
        "libraries": checkpoint.libraries or library_versions(),
    }
    write_torch(Path(path), content)


def write_torch(path: Path, content: Any) -> None:
    """`torch.save` to a temporary file beside `path`, flushed, then renamed onto it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as stream:
            torch.save(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_torch(path: Path) -> Any:
    """`torch.load` on the CPU with `weights_only=True`.

    Raises:
        InputError: no such file, not a torch file, cut off, or a pickle that wants to run code.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        # Zip archives and pickles (protocol 2 and later) can hold code; other bytes cannot.
        with open(path, "rb") as stream:
            could_run_code = stream.read(2) in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")
        if not could_run_code:
            raise InputError(f"{path}: not a torch file; is it the right one?") from None
        detail = reason[max(0, reason.find("GLOBAL")) :][:160]
        raise InputError(
            f"{path}: refused, because reading it would run code from the file ({detail}). "
            "Save it again as tensors only: torch.save(model.state_dict(), path)"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: cut off or not a torch file ({reason}); copy or download it again"
        ) from None


def load_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint of ours onto the CPU.

    Raises:
        InputError: the file is missing, damaged, not ours, or would run code; each with the mend.
    """
    content = read_torch(Path(path))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(
            f"{path}: a torch file, but not a checkpoint of lmv3det; convert it first: "
            f"lmv3det convert {path} --to lmv3det --out FILE"
        )
    if content.get("version", 0) > VERSION:
        raise InputError(
            f"{path}: written by a newer lmv3det (format {content['version']}, this one reads up "
            f"to {VERSION}); upgrade lmv3det"
        )
    missing = [key for key in CONTENT if key not in content]
    if missing:
        raise InputError(
            f"{path}: a checkpoint of lmv3det without {', '.join(missing)}; copy or download it "
            "again"
        )
    return Checkpoint(
        weights=content["weights"],
        config=from_dict(content["config"], f"{path} (its config)"),
        categories=[Category(entry["id"], entry["name"]) for entry in content["categories"]],
        tokenizer_files=content["tokenizer_files"],
        step=content["step"],
        training=content["training"],
        libraries=content["libraries"],
    )
