"""A detector back from its checkpoint."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmv3det.errors import InputError

if TYPE_CHECKING:
    import torch

    from lmv3det.checkpoint.file import Checkpoint
    from lmv3det.config import Config
    from lmv3det.model.detector import LayoutDetector
    from lmv3det.text.tokenization import PageTokenizer


def load_detector(
    path: str | os.PathLike, device: torch.device | str = "cpu", overrides: Sequence[str] = ()
) -> tuple[LayoutDetector, Checkpoint]:
    """Build the detector of a checkpoint, in evaluation mode.

    Args:
        path: a checkpoint of ours, or a folder that `save_pretrained` wrote.
        device: where to put it.
        overrides: `key=value` settings laid over those of the checkpoint. With `model.mask_on`
            false the mask head is left out.

    Returns:
        The detector, and the checkpoint with the overridden config (its weights emptied).

    Raises:
        InputError: a checkpoint that cannot be used, a setting that is wrong or does not fit the
            weights.
    """
    from lmv3det.checkpoint.file import load_checkpoint
    from lmv3det.model.detector import build_detector

    if Path(path).is_dir():
        from lmv3det.convert import from_pretrained

        checkpoint = from_pretrained(path)
    else:
        checkpoint = load_checkpoint(path)
    config = _override(checkpoint.config, overrides, path)
    if config.model.num_classes != len(checkpoint.categories):
        raise InputError(
            f"{path}: model.num_classes is {config.model.num_classes}, but the checkpoint names "
            f"{len(checkpoint.categories)} classes; leave model.num_classes as it was trained"
        )
    model = build_detector(config)
    weights = checkpoint.weights
    if not config.model.mask_on:
        weights = {k: v for k, v in weights.items() if not k.startswith("mask_head.")}
    own = model.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in weights]
    wrong += [f"{name} is not expected" for name in weights if name not in own]
    wrong += [
        f"{name} is {tuple(value.shape)}, not {tuple(own[name].shape)}"
        for name, value in weights.items()
        if name in own and value.shape != own[name].shape
    ]
    if wrong:
        why = f"with {' '.join(overrides)}: such settings need a new training" if overrides else (
            "the checkpoint is damaged"
        )  # fmt: skip
        raise InputError(
            f"{path}: the weights do not fit the config ({len(wrong)} differences: "
            f"{'; '.join(wrong[:3])}{'; …' if len(wrong) > 3 else ''}); {why}"
        )
    model.load_state_dict(weights)
    return model.to(device).eval(), dataclasses.replace(checkpoint, config=config, weights={})


def _override(config: Config, overrides: Sequence[str], path: str | os.PathLike) -> Config:
    from lmv3det.config import to_dict, with_overrides

    return with_overrides(to_dict(config), overrides, str(path)) if overrides else config


def checkpoint_page_tokenizer(checkpoint: Checkpoint) -> PageTokenizer | None:
    """The text encoder of a checkpoint, with the tokenizer that it carries; None without text.

    A `text.tokenizer` is loaded only where the checkpoint carries none.
    """
    from lmv3det.text import tokenization as tokens

    if checkpoint.config.text.selection == "none" or not checkpoint.tokenizer_files:
        return tokens.build_page_tokenizer(checkpoint.config)
    options = tokens.text_options(checkpoint.config)
    encoder = tokens.PageTokenizer.from_files(checkpoint.tokenizer_files, **options)
    tokens.check_page_tokenizer(encoder, checkpoint.config)
    return encoder
