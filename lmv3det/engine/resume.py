"""What a run needs to go on: a checkpoint with its state, and settings of the same model."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch

from lmv3det.checkpoint.file import Checkpoint, load_checkpoint
from lmv3det.checkpoint.untrusted import check_tensor, check_tensors
from lmv3det.config import Config, flatten, to_dict
from lmv3det.data.categories import Category
from lmv3det.errors import InputError

# What may change between the parts of a run: it does not change which parameters there are, nor
# what they mean. Everything else in these sections is the model.
_MODEL_SECTIONS = ("backbone", "neck", "text", "fusion", "relation", "mask")
_FREE = {
    "backbone.weights",
    "backbone.dropout",
    "backbone.attention_dropout",
    "backbone.drop_path",
    "backbone.gradient_checkpointing",
    "text.tokenizer",
    "text.reading_order",
    "text.page_dropout",
    "text.word_dropout",
    "text.line_dropout",
    "mask.sampling_ratio",
}
_MODEL_KEYS = (
    "model.num_classes",
    "model.mask_on",
    "rpn.anchor_sizes",
    "rpn.aspect_ratios",
    "rpn.box_weights",
    "roi.box_weights",
    "roi.pool_size",
    "roi.fc_dim",
    "roi.head",
    "roi.head_options",
    "roi.predictor",
    "rpn.kind",
)


def changed_settings(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Settings that differ: key → (old value, new value)."""
    before, after = dict(flatten(to_dict(old))), dict(flatten(to_dict(new)))
    return {
        key: (before.get(key), value) for key, value in after.items() if before.get(key) != value
    }


def check_same_model(
    checkpoint: Checkpoint, config: Config, categories: list[Category], path: Path
):
    """Check that a checkpoint's run can go on with a config and the categories of its data.

    Raises:
        InputError: a setting that makes the model differs, or the categories do.
    """
    for key, (old, new) in changed_settings(checkpoint.config, config).items():
        section = key.split(".")[0]
        if key in _MODEL_KEYS or (section in _MODEL_SECTIONS and key not in _FREE):
            raise InputError(
                f"{path}: the run has {key}={old}, the config now says {new}, which is another "
                f"model: set {key}={old} to go on, or start anew with model.weights={path} and "
                "another output_dir"
            )
    if checkpoint.categories != categories:
        was = ", ".join(f"{c.id} {c.name}" for c in checkpoint.categories)
        now = ", ".join(f"{c.id} {c.name}" for c in categories)
        raise InputError(
            f"{path}: the run has the categories {was}, the annotations now have {now}: go on with "
            f"the same data.train.annotations, or start anew with model.weights={path} and another "
            "output_dir"
        )


def read_resumable(path: Path, trust_code: bool | Collection[str] = False) -> Checkpoint:
    """Read a checkpoint that a run can go on from.

    Args:
        path: the file.
        trust_code: as for `load_checkpoint`.

    Raises:
        InputError: it cannot be read, holds a model only, or its config names other code.
    """
    checkpoint = load_checkpoint(path, trust_code=trust_code)
    if not checkpoint.training:
        raise InputError(
            f"{path}: holds a model only, not the state of a run: resume from last.pth or "
            f"step_N.pth, or start anew with model.weights={path} and another output_dir"
        )
    check_run_state(checkpoint.training, path)
    return checkpoint


def check_run_state(state: dict[str, Any], path: Path) -> None:
    """Check what the state of a run consists of; its values are checked where they are taken over.

    Args:
        state: as `Trainer` saves it.
        path: what the message names.

    Raises:
        InputError: a part is missing or of another type; the message names it.
    """

    def number(value: Any) -> bool:
        return type(value) is int and 0 <= value < 2**63

    def tensors(value: Any) -> bool:
        check_tensors(value, path)
        return True

    def generators(value: Any) -> bool:
        named = [("random", value)]
        while named:  # the tensors within
            name, inner = named.pop()
            if isinstance(inner, torch.Tensor):
                check_tensor(name, inner, path)
            elif isinstance(inner, (dict, list)):
                values = inner.values() if isinstance(inner, dict) else inner
                named += [(name, one) for one in values]
        return isinstance(value, list) and all(isinstance(one, dict) for one in value)

    def texts(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(name, str) for name in value)

    parts: dict[str, tuple[Callable[[Any], bool], str]] = {
        "skipped": (number, "a number of steps"),
        "pages_seen": (number, "a number of pages"),
        "raw_weights": (tensors, "tensors by name"),
        "optimizer": (
            lambda value: isinstance(value, dict) and all(map(tensors, value.values())),
            "tensors by parameter",
        ),
        "scaler": (lambda value: isinstance(value, dict), "a mapping"),
        "loss_names": (texts, "a list of names"),
        "loss_sums": (lambda value: tensors({"loss_sums": value}), "a tensor"),
        "loss_count": (lambda value: tensors({"loss_count": value}), "a tensor"),
        "random": (generators, "a list with the random generators of each process"),
    }
    for key, (holds, wanted) in parts.items():
        if key not in state or not holds(state[key]):
            what = f"is not {wanted}" if key in state else "is missing"
            raise InputError(
                f"{path}: {key} in the state of its run {what}: it is damaged; resume from another "
                f"checkpoint, or start anew with model.weights={path} and another output_dir"
            )
