"""Self-describing checkpoints: one file that evaluates, predicts and resumes without other files.

A checkpoint holds only tensors, numbers, strings, lists and mappings, and is read with
`weights_only=True`, so that a file from a stranger cannot run code.
"""

from __future__ import annotations

import os
import pickle
import platform
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmv3det.checkpoint.untrusted import check_fields, check_sizes, check_tensors, refuse_code
from lmv3det.config import Config, from_dict, to_dict
from lmv3det.data.categories import Category
from lmv3det.errors import InputError
from lmv3det.files import replacing

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "lmv3det checkpoint"
VERSION = 1
CONTENT = ("weights", "config", "categories", "tokenizer_files", "step", "training", "libraries")
"""What a checkpoint file holds beside `format` and `version`."""
LIBRARIES = ("torch", "torchvision", "transformers", "numpy", "lmv3det")


@dataclass
class Checkpoint:
    """A trained detector and what it needs.

    Attributes:
        weights: the detector's state_dict (the moving average where one is kept).
        config: the whole config; `model.num_classes` is set.
        categories: id and name of every class, in the order of class indices.
        tokenizer_files: the tokenizer's files by name, uint8 tensors; empty for image-only.
        step: optimizer steps done.
        training: state of the run (optimizer, scaler, random generators, data position, raw
            weights beside a moving average); empty in a model for use.
        libraries: versions that wrote the file.
        thresholds: class name → the score threshold that an evaluation found best; may be empty.
    """

    weights: dict[str, Tensor]
    config: Config
    categories: list[Category]
    tokenizer_files: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    training: dict[str, Any] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)


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
        "thresholds": checkpoint.thresholds,
    }
    write_torch(Path(path), content)


def write_torch(path: Path, content: Any) -> None:
    """`torch.save` to a temporary file beside `path`, flushed, then renamed onto it.

    Raises:
        OSError: it cannot be written (no room, say); `path` is as it was.
    """
    import torch

    with replacing(path) as temporary, open(temporary, "wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:  # what torch makes of an OSError while it writes
            raise OSError(f"{path}: cannot be written ({_one_line(error)})") from error
        stream.flush()
        os.fsync(stream.fileno())


def read_torch(path: Path) -> Any:
    """`torch.load` on the CPU with `weights_only=True`.

    The tensors of a zip archive, as torch writes it, are mapped from the file: what is not used
    is not read. Copy those that are kept.

    Raises:
        InputError: no such file, not a torch file, cut off, or a pickle that wants to run code.
    """
    import torch

    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file")
    try:
        mapped = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        reason = _one_line(error, 10_000)
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
    except Exception as error:  # damaged and crafted files raise almost anything
        raise InputError(
            f"{path}: cut off or not a torch file ({_one_line(error)}); copy or download it again"
        ) from None


def _one_line(error: Exception, length: int = 160) -> str:
    return " ".join(str(error).split())[:length]


def load_checkpoint(
    path: str | os.PathLike, *, trust_code: bool | Collection[str] = False
) -> Checkpoint:
    """Read a checkpoint of ours onto the CPU. Its tensors are mapped from the file.

    Args:
        path: the file.
        trust_code: let its config name classes (`module:Class`), which building the model imports:
            any, or those that a collection holds.

    Raises:
        InputError: the file is missing, damaged or not ours, its config names code, or reading it
            would run code; each with the fix.
    """
    content = read_torch(Path(path))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(
            f"{path}: a torch file, but not a checkpoint of lmv3det; convert it first: "
            f"lmv3det convert {path} --to lmv3det --out FILE"
        )
    if type(content.get("version")) is not int:
        raise InputError(f"{path}: its version is no whole number; the checkpoint is damaged")
    if content["version"] > VERSION:
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
    check_fields(content, path)
    check_tensors(content["weights"], path)
    config = checked_config(content["config"], f"{path} (its config)", trust_code)
    return Checkpoint(
        weights=content["weights"],
        config=config,
        categories=[Category(entry["id"], entry["name"]) for entry in content["categories"]],
        # Kept for as long as the model: copies, so that the file can go.
        tokenizer_files={n: data.clone() for n, data in content["tokenizer_files"].items()},
        step=content["step"],
        training=content["training"],
        libraries=content["libraries"],
        thresholds=content.get("thresholds", {}),
    )


def checked_config(values: Any, source: str, trust_code: bool | Collection[str]) -> Config:
    """The config of a checkpoint, which someone else may have made.

    Raises:
        InputError: unknown or wrong settings, sizes that are too large, or code that `trust_code`
            does not allow.
    """
    try:
        config = from_dict(values, source)
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: not settings ({_one_line(error)}); it is damaged") from None
    check_sizes(config, source)
    refuse_code(config, source, trust_code)
    return config
