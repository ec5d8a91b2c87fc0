"""Reading weights wherever they come from: ours, detectron2's, Hugging Face's.

Nothing here runs code from a file: torch files are read with `weights_only=True`, where numpy's
plain arrays are allowed beside tensors.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lmv3det.checkpoint.file import FORMAT, Checkpoint, load_checkpoint, read_torch
from lmv3det.checkpoint.folder import MARKER, from_pretrained
from lmv3det.checkpoint.untrusted import check_finite, check_tensor
from lmv3det.convert import parameter_names as names
from lmv3det.errors import InputError
from lmv3det.files import read_json
from lmv3det.text.tokenizer_files import hub_answers

Kind = Literal["lmv3det", "detectron2", "huggingface"]

SETTINGS = {
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "patch_size": "patch_size",
    "input_size": "input_size",
    "coordinate_size": "coordinate_size",
    "shape_size": "shape_size",
    "vocab_size": "vocab_size",
    "max_positions": "max_position_embeddings",
    "max_2d_positions": "max_2d_position_embeddings",
    "type_vocab_size": "type_vocab_size",
    "pad_token_id": "pad_token_id",
    "layer_norm_eps": "layer_norm_eps",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "relative_buckets": "rel_pos_bins",
    "relative_max_distance": "max_rel_pos",
    "spatial_buckets": "rel_2d_pos_bins",
    "spatial_max_distance": "max_rel_2d_pos",
}
"""`backbone` setting → key of a Hugging Face `config.json`."""

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Where a Hugging Face folder keeps its weights; the first that is there is read."""

_CONSTANT = re.compile(
    r"(^|\.)(position_ids|visual_bbox|cell_anchors\.\d+|pixel_mean|pixel_std|num_batches_tracked)$"
)
_OTHER_HEAD = re.compile(r"^(classifier|qa_outputs|lm_head|mim_head|wpa_head|cls|score|pooler)\.")
HUB = "hub:"
"""What a name on the Hugging Face hub begins with; nothing else is looked for there."""
_HUB_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".json", ".pkl")


@dataclass
class Source:
    """Weights by our names, and what else their file knows.

    Attributes:
        description: where from, in words.
        kind: whose format.
        weights: tensors by our names.
        unknown: the file's names that have none with us.
        left_out: the file's names that no detector needs, and why.
        settings: `backbone` settings that came with the weights.
        checkpoint: the whole checkpoint, where it is one of ours.
        yaml: the detectron2 yaml in the same folder, where a folder was given.
    """

    description: str
    kind: Kind
    weights: dict[str, Tensor]
    unknown: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    yaml: Path | None = None


def read_source(
    source: str,
    rename: Sequence[tuple[str, str]] = (),
    *,
    trust_code: bool | Collection[str] = False,
) -> Source:
    """Read weights of any known format onto the CPU.

    Args:
        source: a checkpoint of ours (.pth) or its folder; a detectron2 .pth, or a folder with one;
            a Hugging Face LayoutLMv3 folder or weight file; or `hub:owner/name`, which is
            downloaded.
        rename: (old, new) beginnings of names, changed before anything else. The new one is the
            format's own or ours.
        trust_code: let the config of a checkpoint of ours name code, as for `load_checkpoint`.

    Raises:
        InputError: nothing there, damaged, of another model, or it would run code.
    """
    if source.startswith(HUB):
        path = download(source.removeprefix(HUB))
    else:
        path = Path(source).expanduser()
        if not path.exists():
            hub = f"; {HUB}{source} fetches it from the Hugging Face hub"
            is_name = _HUB_NAME.match(source) and path.suffix not in _SUFFIXES
            raise InputError(f"{source}: no such file or folder{hub if is_name else ''}")
    if path.is_dir():
        found = _read_folder(path, rename, trust_code)
    else:
        found = _read_file(path, rename, trust_code)
    check_finite(found.weights, found.description)
    return found


def download(name: str) -> Path:
    """Fetch a model from the Hugging Face hub (or find it in the local cache).

    Raises:
        InputError: no network, no such model.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        cached: dict[str, Any] = {"local_files_only": not hub_answers()}
        patterns = ["config.json", "*.safetensors*"]
        folder = Path(snapshot_download(name, allow_patterns=patterns, **cached))
        if not any(folder.glob("*.safetensors")):
            patterns = ["config.json", "pytorch_model*"]
            folder = Path(snapshot_download(name, allow_patterns=patterns, **cached))
        return folder
    except (OSError, ValueError, HfHubHTTPError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{name}: cannot be had from the Hugging Face hub "
            f"({type(error).__name__}: {reason}). Download the model where there is a network and "
            "give its folder"
        ) from None


def _read_folder(
    folder: Path, rename: Sequence[tuple[str, str]], trust_code: bool | Collection[str]
) -> Source:
    if (folder / MARKER).exists():
        checkpoint = from_pretrained(folder, trust_code=trust_code)
        return _of_checkpoint(checkpoint, f"the folder {folder}")
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return _read_file(folder / name, rename, trust_code)
    checkpoints = sorted(p for p in folder.iterdir() if p.suffix in (".pth", ".pt"))
    if len(checkpoints) == 1:
        found = _read_file(checkpoints[0], rename, trust_code)
        yamls = sorted(folder.glob("*.y*ml"))
        found.yaml = yamls[0] if len(yamls) == 1 and found.kind == "detectron2" else None
        return found
    if checkpoints:
        raise InputError(f"{folder}: a folder; name the file in it, such as {checkpoints[0].name}")
    raise InputError(
        f"{folder}: holds none of {', '.join((MARKER, *WEIGHT_FILES))}; give a checkpoint, a "
        "folder that lmv3det wrote, or a Hugging Face LayoutLMv3 folder"
    )


def _read_file(
    path: Path, rename: Sequence[tuple[str, str]], trust_code: bool | Collection[str]
) -> Source:
    content = _content(path)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        if rename:
            raise InputError(f"{path}: a checkpoint of lmv3det; --rename is for other formats")
        checkpoint = load_checkpoint(path, trust_code=trust_code)
        return _of_checkpoint(checkpoint, f"the checkpoint {path}")
    state = _renamed(_state_dict(content, path), rename, path)
    kind = _kind(state)
    if kind is None:
        raise InputError(
            f"{path}: not a LayoutLMv3 model: its {len(state)} tensors have names such as "
            f"{', '.join(list(state)[:3])}"
        )
    if kind == "huggingface":
        return _huggingface(path, state)
    source = Source(f"{path} ({kind} names)", kind, {})
    for name, tensor in state.items():
        ours = names.our_name(name)
        if ours is None and names.detectron2_name(name) is not None:
            ours = name  # one of ours already, or renamed to it
        _place(source, name, ours, tensor)
    return source


def _place(source: Source, name: str, ours: str | None, tensor: Tensor) -> None:
    if ours is not None:
        source.weights[ours] = tensor
    elif _CONSTANT.search(name):
        source.left_out[name] = "a constant, which is made anew"
    else:
        source.unknown.append(name)


def _huggingface(path: Path, state: dict[str, Tensor]) -> Source:
    prefix = names.HUGGINGFACE_PREFIX
    prefixed = any(name.startswith(prefix) for name in state)
    source = Source(f"{path} (Hugging Face names)", "huggingface", {})
    for name, tensor in state.items():
        inner = names.encoder_name(name)
        foreign = prefixed and not name.startswith(prefix)
        if foreign or (inner is None and _OTHER_HEAD.match(name)):
            source.left_out[name] = "the head of another task"
        else:
            _place(source, name, None if inner is None else f"backbone.{inner}", tensor)
    config = path.parent / "config.json"
    if config.is_file():
        source.settings = read_huggingface_config(config)
    return source


def read_huggingface_config(path: Path) -> dict[str, Any]:
    """The `backbone` settings that a Hugging Face `config.json` states.

    Raises:
        InputError: not JSON, or of another model than LayoutLMv3.
    """
    values = _json(path)
    kind = values.get("model_type")
    if kind not in (None, "layoutlmv3"):
        raise InputError(f"{path}: model_type is {kind!r}; it must be 'layoutlmv3'")
    if values.get("hidden_act", "gelu") != "gelu":
        raise InputError(f"{path}: hidden_act is {values['hidden_act']!r}; only 'gelu' is built")
    return {ours: values[theirs] for ours, theirs in SETTINGS.items() if theirs in values}


def _of_checkpoint(checkpoint: Checkpoint, description: str) -> Source:
    settings = {key: getattr(checkpoint.config.backbone, key) for key in SETTINGS}
    return Source(
        description, "lmv3det", dict(checkpoint.weights), settings=settings, checkpoint=checkpoint
    )


def _content(path: Path) -> Any:
    """The mapping in a weight file: .safetensors, an index of several, or a torch file."""
    _refuse_pointer(path)
    if path.name.endswith(".index.json"):
        parts = _json(path).get("weight_map")
        if not isinstance(parts, dict) or not all(isinstance(p, str) for p in parts.values()):
            raise InputError(f"{path}: has no weight_map; download it again")
        state: dict[str, Any] = {}
        for part in sorted(set(parts.values())):
            file = path.parent / part
            if not file.is_file():
                raise InputError(f"{path}: {part}, which it names, is not there; download it too")
            if part.endswith(".index.json"):
                raise InputError(f"{path}: names {part}, another index, as a file of tensors")
            state |= _state_dict(_content(file), file)
        lost = sorted(set(parts) - set(state))
        if lost:
            raise InputError(f"{path}: {len(lost)} tensors are in no file, such as {lost[0]}")
        return state
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(
                f"{path}: cut off or not a safetensors file ({error}); download it again"
            ) from None
    if path.suffix == ".pkl":
        raise InputError(
            f"{path}: a pickle, which can run code when it is read, so it is refused. Where you "
            "trust it, load it yourself and save tensors: torch.save({'model': {name: "
            "torch.as_tensor(array) for name, array in loaded['model'].items()}}, 'model.pth')"
        )
    with torch.serialization.safe_globals(_numpy_globals()):
        return read_torch(path)


def _numpy_globals() -> list[Any]:
    """What arrays and numbers of numpy are stored as, under the names of numpy 1 and 2."""
    core: Any = importlib.import_module("numpy._core.multiarray" if _NUMPY_2 else _OLD_CORE)
    functions = [core._reconstruct, core.scalar]
    allowed: list[Any] = [np.ndarray, np.dtype]
    for module in (_OLD_CORE, "numpy._core.multiarray"):
        allowed += [(function, f"{module}.{function.__name__}") for function in functions]
    scalars = (np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_)
    return allowed + [type(np.dtype(scalar)) for scalar in scalars]


_NUMPY_2 = int(np.__version__.split(".")[0]) >= 2
_OLD_CORE = "numpy.core.multiarray"


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The tensors by name in what a file holds: bare, or under `model` or `state_dict`."""
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {type(content).__name__}, not tensors by name")
    state = {}
    for name, value in content.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            value = torch.from_numpy(np.array(value, value.dtype.newbyteorder("=")))
        if isinstance(value, Tensor):
            check_tensor(str(name), value, path)
            state[str(name)] = value.detach()
    if not state:
        raise InputError(f"{path}: holds no tensors by name; give a model's state_dict")
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def _renamed(
    state: dict[str, Tensor], rename: Iterable[tuple[str, str]], path: Path
) -> dict[str, Tensor]:
    for old, new in rename:
        if not any(name.startswith(old) for name in state):
            raise InputError(f"{path}: --rename {old}={new}: no name begins with {old!r}")
        state = {
            new + name[len(old) :] if name.startswith(old) else name: tensor
            for name, tensor in state.items()
        }
    return state


def _kind(state: dict[str, Tensor]) -> Kind | None:
    if any(name.startswith((names.ENCODER, "proposal_generator.", "roi_heads.")) for name in state):
        return "detectron2"
    if "backbone.patch_embedding.weight" in state:
        return "lmv3det"
    plain = {name.removeprefix(names.HUGGINGFACE_PREFIX) for name in state}
    return "huggingface" if "patch_embed.proj.weight" in plain and "cls_token" in plain else None


def _json(path: Path) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds {type(values).__name__}, not a mapping")
    return values


def _refuse_pointer(path: Path) -> None:
    try:
        with open(path, "rb") as stream:
            start = stream.read(40)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if start.startswith(b"version https://git-lfs"):
        raise InputError(
            f"{path}: a Git LFS pointer, not the weights; run `git lfs pull` in its repository"
        )
