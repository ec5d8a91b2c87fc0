"""Checks of a checkpoint that someone else may have made: its fields, its tensors, its code."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from lmv3det.config import Config, flatten, to_dict
from lmv3det.config.parts import code_in
from lmv3det.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

MAX_SIZES = {
    "input.min_size_test": 10_000,
    "input.max_size_test": 10_000,
    "input.size_divisibility": 1024,
    "mask.pool_size": 64,
    "test.batch_size": 1024,
    "data.workers": 256,
}
"""Largest values of settings that decide how much memory or how many processes a checkpoint takes
and that its weights do not show. The sizes of the model are bounded by the settings themselves, and
nothing is allocated before they agree with the weights."""
MAX_LENGTH = 64
"""Most entries of a list that shapes the model."""


def named_code(config: Config) -> dict[str, str]:
    """The settings that name a class (`module:Class`), which building the model imports."""
    return code_in(to_dict(config))


def refuse_code(config: Config, source: object, trust_code: bool | Collection[str]) -> None:
    """Check that building the model of `config` imports nothing but this project.

    Args:
        source: what the message names.
        trust_code: True lets every class pass, a collection those that it holds.

    Raises:
        InputError: the config names another class.
    """
    if trust_code is True:
        return
    for key, name in named_code(config).items():
        if trust_code is False or name not in trust_code:
            raise InputError(
                f"{source}: its {key} is {name!r}: code from outside the checkpoint, which would "
                "be imported and run. Where you trust it, add --trust-code (trust_code=True in "
                "Python)"
            )


def check_sizes(config: Config, source: object) -> None:
    """Check the settings of a checkpoint that bound memory and processes.

    Raises:
        InputError: one is too large.
    """
    for key, value in flatten(to_dict(config)):
        shapes = key.startswith(("backbone.", "rpn.", "roi.", "fusion."))
        if shapes and isinstance(value, list) and len(value) > MAX_LENGTH:
            raise InputError(
                f"{source}: its {key} has {len(value)} entries; at most {MAX_LENGTH} are read"
            )
        if value is not None and key in MAX_SIZES and value > MAX_SIZES[key]:
            raise InputError(f"{source}: its {key} is {value}; at most {MAX_SIZES[key]} is read")


def check_fields(content: Mapping[str, Any], source: object) -> None:
    """Check the types of what a checkpoint holds beside its weights.

    Args:
        content: with `categories` and `step`, maybe `tokenizer_files`, `training`, `libraries`,
            `thresholds`.

    Raises:
        InputError: one is of another type.
    """

    def require(holds: bool, key: str, wanted: str) -> None:
        if not holds:
            raise InputError(
                f"{source}: its {key} is not {wanted}; the checkpoint is damaged or not ours"
            )

    categories, step = content["categories"], content["step"]
    require(isinstance(categories, list) and len(categories) > 0, "categories", "a list of classes")
    for entry in categories:
        plain = isinstance(entry, dict) and type(entry.get("id")) is int
        require(
            plain and isinstance(entry.get("name"), str), "categories", "a list of id and name each"
        )
    require(type(step) is int and step >= 0, "step", "a number of steps")
    for key in ("training", "libraries", "tokenizer_files", "thresholds"):
        mapping = content.get(key, {})
        named = isinstance(mapping, dict) and all(isinstance(name, str) for name in mapping)
        require(named, key, "a mapping of names")
    scores = content.get("thresholds", {}).values()
    plain = all(type(score) in (int, float) and 0 <= score <= 1 for score in scores)
    require(plain, "thresholds", "scores from 0 to 1 by class")
    if not content.get("tokenizer_files"):
        return
    import torch

    for name, data in content["tokenizer_files"].items():
        key = f"tokenizer file {name!r}"
        require(isinstance(data, torch.Tensor), key, "a tensor of bytes")
        check_tensor(name, data, source)
        require(data.dtype == torch.uint8 and data.dim() == 1, key, "a tensor of bytes")


def check_tensors(weights: Any, source: object) -> None:
    """Check that weights are ordinary tensors by name, each with memory of its own.

    Raises:
        InputError: they are not; the message names the tensor.
    """
    if not isinstance(weights, Mapping) or not all(isinstance(name, str) for name in weights):
        raise InputError(f"{source}: its weights are not tensors by name; copy it again")
    for name, value in weights.items():
        check_tensor(name, value, source)


def check_tensor(name: str, value: Any, source: object) -> None:
    """`check_tensors` for one."""
    import torch

    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        kind = type(value).__name__
    elif value.layout != torch.strided:
        kind = "a sparse tensor"
    elif value.is_meta or value.is_quantized or value.is_nested:
        kind = "a tensor without data" if value.is_meta else "a quantized or nested tensor"
    elif value.untyped_storage().nbytes() < value.numel() * value.element_size():
        kind = "a tensor larger than its data"
    else:
        return
    raise InputError(f"{source}: {name} is {kind}, not an ordinary tensor; save its values anew")


def check_finite(weights: Mapping[str, Tensor], source: object) -> None:
    """Check that no weight is NaN or infinite.

    Raises:
        InputError: one is; the message names the tensor and says how many of its values.
    """
    for name, value in weights.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            count = int((~value.isfinite()).sum())
            raise InputError(
                f"{source}: {count} of the {value.numel()} values of {name} are NaN or infinite: "
                "the training that wrote it diverged, or the file is damaged; take an earlier "
                "checkpoint"
            )
