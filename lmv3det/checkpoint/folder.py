"""Models as folders: ours (safetensors and a config), and the encoder as Hugging Face's.

A folder of ours holds `model.safetensors` (our names), `config.yaml`, `lmv3det.json` (format,
categories, step, versions) and, for a text model, `tokenizer/`.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmv3det.checkpoint.file import Checkpoint, checked_config, library_versions
from lmv3det.checkpoint.untrusted import check_fields
from lmv3det.config import to_yaml
from lmv3det.config.yaml_text import read_yaml_file
from lmv3det.data.categories import Category
from lmv3det.errors import InputError
from lmv3det.files import replacing_folder, write_json
from lmv3det.text.tokenizer_files import portable_files

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
    weights = checkpoint.weights
    if half:
        weights = {n: t.half() if t.is_floating_point() else t for n, t in weights.items()}
    with new_folder(Path(folder)) as draft:
        save_tensors(weights, draft / "model.safetensors")
        (draft / "config.yaml").write_text(to_yaml(checkpoint.config), encoding="utf-8")
        if checkpoint.tokenizer_files:
            (draft / "tokenizer").mkdir()
        tokenizer = {n: data.numpy().tobytes() for n, data in checkpoint.tokenizer_files.items()}
        for name, content in portable_files(tokenizer).items():
            (draft / "tokenizer" / Path(name).name).write_bytes(content)
        about = {
            "format": FORMAT,
            "version": VERSION,
            "categories": [{"id": c.id, "name": c.name} for c in checkpoint.categories],
            "step": checkpoint.step,
            "libraries": checkpoint.libraries or library_versions(),
            "thresholds": checkpoint.thresholds,
        }
        write_json(draft / MARKER, about)


def from_pretrained(
    folder: str | os.PathLike, *, trust_code: bool | Collection[str] = False
) -> Checkpoint:
    """Read a folder that `save_pretrained` wrote; weights in float16 become float32.

    Args:
        folder: its path.
        trust_code: as for `load_checkpoint`.

    Raises:
        InputError: a file is missing or damaged, the folder is not ours, or its config names code.
    """
    root = Path(folder)
    try:
        about = json.loads((root / MARKER).read_text(encoding="utf-8"))
        if about.get("format") != FORMAT or type(about["version"]) is not int:
            raise InputError(f"{root / MARKER}: not of a folder that lmv3det wrote")
        if about["version"] > VERSION:
            raise InputError(
                f"{root}: written by a newer lmv3det (format {about['version']}, this one reads "
                f"up to {VERSION}); upgrade lmv3det"
            )
        check_fields(about, root / MARKER)
        path = root / "config.yaml"
        config = checked_config(read_yaml_file(path), str(path), trust_code)
        return Checkpoint(
            weights={
                name: tensor.float() if tensor.dtype == torch.float16 else tensor
                for name, tensor in load_file(root / "model.safetensors").items()
            },
            config=config,
            categories=[Category(entry["id"], entry["name"]) for entry in about["categories"]],
            tokenizer_files=read_tokenizer(root / "tokenizer"),
            step=about["step"],
            libraries=about["libraries"],
            thresholds=about.get("thresholds", {}),
        )
    except InputError:
        raise
    except (
        SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError
    ) as error:  # fmt: skip
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise InputError(f"{root}: damaged or incomplete ({reason}); copy it again") from None


def save_huggingface(
    weights: Mapping[str, Tensor], config: Mapping[str, Any], folder: str | os.PathLike
) -> None:
    """Write an encoder (Hugging Face's names) and its `config.json` as a Hugging Face folder.

    Raises:
        InputError: the folder is there already and not empty.
    """
    with new_folder(Path(folder)) as draft:
        save_tensors(weights, draft / "model.safetensors", {"format": "pt"})
        write_json(draft / "config.json", config)


def read_tokenizer(folder: Path) -> dict[str, Tensor]:
    """The files of a tokenizer's folder as uint8 tensors by name; empty where there is none."""
    if not folder.is_dir():
        return {}
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    return {path.name: torch.from_numpy(np.fromfile(path, dtype=np.uint8)) for path in files}


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which is renamed to `folder` when the block ends without an error.

    Raises:
        InputError: the folder is there already and not empty.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder}: is there already; remove it or write elsewhere")
    with replacing_folder(folder) as draft:
        yield draft


def save_tensors(
    weights: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file.

    Raises:
        OSError: it cannot be written (no room, say).
    """
    # Tensors that share no memory, in one piece, as safetensors wants them.
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
    with open(path, "wb") as stream:  # the mode that the umask gives; safetensors takes 600
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
    try:
        save_file(own, path, metadata=metadata)
        os.chmod(path, mode)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error})") from None
