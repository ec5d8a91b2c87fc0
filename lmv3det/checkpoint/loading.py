"""A detector back from its checkpoint."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmv3det.data.categories import Category
from lmv3det.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from lmv3det.checkpoint.file import Checkpoint
    from lmv3det.config import Config
    from lmv3det.model.detector import LayoutDetector
    from lmv3det.text.tokenization import PageTokenizer


def load_detector(
    path: str | os.PathLike,
    device: torch.device | str = "cpu",
    overrides: Sequence[str] = (),
    *,
    trust_code: bool = False,
) -> tuple[LayoutDetector, Checkpoint]:
    """Build the detector of a checkpoint, in evaluation mode.

    Args:
        path: a checkpoint of ours, or a folder that `save_pretrained` wrote.
        device: where to put it.
        overrides: `key=value` settings that replace those of the checkpoint. With `model.mask_on`
            false the mask head is left out.
        trust_code: import the classes (`module:Class`) that its config names. Those that
            `overrides` name are trusted in any case.

    Returns:
        The detector, and the checkpoint with the overridden config (its weights emptied).

    Raises:
        InputError: a checkpoint that cannot be used or whose config names code, weights that are
            not finite, a setting that is wrong or does not fit the weights.
    """
    from lmv3det.checkpoint.untrusted import refuse_code
    from lmv3det.config import lay_over
    from lmv3det.config.parts import code_in

    checkpoint = read_checkpoint(path)
    config = _override(checkpoint.config, overrides, path)
    refuse_code(config, path, trust_code or code_in(lay_over({}, overrides)).values())
    if config.model.num_classes != len(checkpoint.categories):
        raise InputError(
            f"{path}: model.num_classes is {config.model.num_classes}, but the checkpoint names "
            f"{len(checkpoint.categories)} classes; leave model.num_classes as it was trained"
        )
    weights = checkpoint.weights
    if not config.model.mask_on:
        weights = {k: v for k, v in weights.items() if not k.startswith("mask_head.")}
    fix = f"with {' '.join(overrides)}: such settings need a new training" if overrides else (
        "the checkpoint is damaged"
    )  # fmt: skip
    model = build_with_weights(config, weights, str(path), fix, device)
    categories = checkpoint.categories
    if config.test.classes is not None:
        categories = _fold(model, categories, config.test.classes, path)
    return model.eval(), dataclasses.replace(
        checkpoint, config=config, categories=categories, weights={}
    )


def _fold(
    model: LayoutDetector, categories: list[Category], folding: str, path: str | os.PathLike
) -> list[Category]:
    """Let a model of fine classes predict those of a folding; returns these.

    Raises:
        InputError: a class that is no fine one, or a mask head, whose masks are of its classes.
    """
    import torch

    from lmv3det.classes import FOLDED, folding_matrix

    other = f"leave test.classes={folding} out"
    if model.mask_head is not None:
        raise InputError(f"{path}: its masks are of its own classes; {other}")
    try:
        matrix = folding_matrix(folding, [category.name for category in categories])
    except KeyError as error:
        raise InputError(
            f"{path}: its class {error.args[0]!r} is no fine class, which would fold; {other}"
        ) from None
    model.cascade.fold_into(torch.tensor(matrix, device=next(model.parameters()).device))
    return [Category(number, name) for number, name in enumerate(FOLDED[folding], start=1)]


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """A checkpoint of ours from its file or folder, whatever code its config names: for callers
    that look at that before they build the model."""
    from lmv3det.checkpoint.file import load_checkpoint
    from lmv3det.checkpoint.folder import from_pretrained

    if Path(path).is_dir():
        return from_pretrained(path, trust_code=True)
    return load_checkpoint(path, trust_code=True)


def build_with_weights(
    config: Config,
    weights: Mapping[str, Tensor],
    source: str,
    fix: str,
    device: torch.device | str = "cpu",
) -> LayoutDetector:
    """The detector of a config with the given weights, which it copies.

    Nothing is initialised at random: the model is built without memory, and each tensor is copied
    once, to its place on `device` and in the model's dtype. Only a config with an encoder of timm's
    or with classes (`module:Class`), which may compute with their parameters, is built on the CPU
    first.

    Raises:
        InputError: the weights do not fit, or are not finite; `source` and `fix` are in the
            message.
    """
    import torch

    from lmv3det.checkpoint.untrusted import check_finite, named_code
    from lmv3det.model.detector import build_detector

    others = config.backbone.kind != "layoutlmv3" or named_code(config)
    with torch.device("cpu" if others else "meta"):
        model = build_detector(config)
    own = check_fit(model, weights, source, fix)
    check_finite(weights, source)
    placed = {n: weights[n].to(device, own[n].dtype, copy=True) for n in own}
    model.load_state_dict(placed, assign=True)
    return model.to(device)


def check_fit(
    model: nn.Module, weights: Mapping[str, Tensor], source: str, fix: str
) -> dict[str, Tensor]:
    """The model's state_dict, whose names and shapes those of the weights must be.

    Raises:
        InputError: they are not; `source` and `fix` are in the message.
    """
    own = model.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in weights]
    wrong += [f"{name} is not expected" for name in weights if name not in own]
    wrong += [
        f"{name} is {tuple(value.shape)}, not {tuple(own[name].shape)}"
        for name, value in weights.items()
        if name in own and value.shape != own[name].shape
    ]
    if wrong:
        shown = "; ".join(wrong[:3]) + ("; …" if len(wrong) > 3 else "")
        raise InputError(
            f"{source}: the weights do not fit the config ({len(wrong)} differences: {shown}); "
            f"{fix}"
        )
    return own


def _override(config: Config, overrides: Sequence[str], path: str | os.PathLike) -> Config:
    from lmv3det.config import to_dict, with_overrides

    return with_overrides(to_dict(config), overrides, str(path)) if overrides else config


def checkpoint_page_tokenizer(checkpoint: Checkpoint) -> PageTokenizer | None:
    """The page tokenizer of a checkpoint, from the files that it carries; None without text.

    One that carries none needs the folder that its `text.tokenizer` names; a model hub is never
    asked.

    Raises:
        InputError: the files are no tokenizer's or do not fit, or there is no such folder.
    """
    from lmv3det.text import tokenization as tokens

    config = checkpoint.config
    if config.text.selection == "none":
        return None
    if not checkpoint.tokenizer_files:
        name = config.text.tokenizer
        if name is None or not Path(name).expanduser().is_dir():
            raise InputError(
                f"the checkpoint carries no tokenizer, and its text.tokenizer, {name}, is no "
                "folder here: give the folder of the tokenizer that it was trained with, "
                "text.tokenizer=DIR"
            )
        return tokens.build_page_tokenizer(config)
    options = tokens.text_options(config)
    tokenizer = tokens.PageTokenizer.from_files(checkpoint.tokenizer_files, **options)
    tokens.check_page_tokenizer(tokenizer, config)
    return tokenizer
