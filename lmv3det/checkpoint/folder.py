"""Models as folders: ours (safetensors and a config), and the encoder as Hugging Face's.

A folder of ours holds `model.safetensors` (our names), `config.yaml`, `lmv3det.json` (format,
categories, step, versions) and, for a text model, `tokenizer/`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmv3det.checkpoint.file import Checkpoint, library_versions
from lmv3det.config import load_config, to_yaml
from lmv3det.data.categories import Category
from lmv3det.errors import InputError
from lmv3det.files import write_json

MARKER = "lmv3det.json"
"""The file by which a folder of ours is known."""

FORMAT = "lmv3det folder"
VERSION = 1


def save_pretrained(
    checkpoint: Checkpoint, folder: str | os.PathLike, *, half: bool = False
) -> None:
    """Write a model as a folder, all at once: it is there whole or not at all.

    The state of a training run (optimizer, random generators) is not kept.

    Args:
        checkpoint: the model.
        folder: where to write it.
        half: keep the weights in float16, half the size; `from_pretrained` widens them again.

    Raises:
        InputError: the folder is there already and not empty.
    """

    def write(draft: Path) -> None:
        weights = checkpoint.weights
        if half:
            weights = {n: t.half() if t.is_floating_point() else t for n, t in weights.items()}
        save_file(_storable(weights), draft / "model.safetensors")
        (draft / "config.yaml").write_text(to_yaml(checkpoint.config), encoding="utf-8")
        if checkpoint.tokenizer_files:
            (draft / "tokenizer").mkdir()
        for name, content in checkpoint.tokenizer_files.items():
            (draft / "tokenizer" / Path(name).name).write_bytes(content.numpy().tobytes())
        about = {
            "format": FORMAT,
            "version": VERSION,
            "categories": [{"id": c.id, "name": c.name} for c in checkpoint.categories],
            "step": checkpoint.step,
            "libraries": checkpoint.libraries or library_versions(),
        }
        write_json(draft / MARKER, about)

    write_folder(Path(folder), write)


def from_pretrained(folder: str | os.PathLike) -> Checkpoint:
    """Read a folder that `save_pretrained` wrote; weights in float16 become float32.

    Raises:
        InputError: a file is missing or damaged, or the folder is not ours.
    """
    root = Path(folder)
    try:
        about = json.loads((root / MARKER).read_text(encoding="utf-8"))
        if about.get("format") != FORMAT:
            raise InputError(f"{root / MARKER}: not of a folder that lmv3det wrote")
        if about["version"] > VERSION:
            raise InputError(
                f"{root}: written by a newer lmv3det (format {about['version']}, this one reads "
                f"up to {VERSION}); upgrade lmv3det"
            )
        return Checkpoint(
            weights={
                name: tensor.float() if tensor.dtype == torch.float16 else tensor
                for name, tensor in load_file(root / "model.safetensors").items()
            },
            config=load_config(root / "config.yaml"),
            categories=[Category(entry["id"], entry["name"]) for entry in about["categories"]],
            tokenizer_files=read_tokenizer(root / "tokenizer"),
            step=about["step"],
            libraries=about["libraries"],
        )
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise InputError(f"{root}: damaged or incomplete ({reason}); copy it again") from None


def save_huggingface(
    weights: Mapping[str, Tensor], config: Mapping[str, Any], folder: str | os.PathLike
) -> None:
    """Write an encoder (Hugging Face's names) and its `config.json` as a Hugging Face folder."""

    def write(draft: Path) -> None:
        save_file(_storable(weights), draft / "model.safetensors", metadata={"format": "pt"})
        write_json(draft / "config.json", config)

    write_folder(Path(folder), write)


def read_tokenizer(folder: Path) -> dict[str, Tensor]:
    """The files of a tokenizer's folder as uint8 tensors by name; empty where there is none."""
    if not folder.is_dir():
        return {}
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    return {
        path.name: torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        for path in files
        if path.stat().st_size
    }


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a draft beside `folder`, then rename it onto the place.

    Raises:
        InputError: the folder is there already and not empty.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder}: is there already; remove it or write elsewhere")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        draft.mkdir()
        write(draft)
        os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _storable(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share no memory, in one piece, as safetensors wants them."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
