"""The model that comes with the package."""

from __future__ import annotations

from pathlib import Path

from lmv3det.errors import InputError

DEFAULT_MODEL = "bundled"
"""Name of the model's folder in `lmv3det/assets/`."""


def default_model_folder() -> Path:
    """The folder of the model that comes with the package, as `save_pretrained` writes it.

    Raises:
        InputError: this installation has none.
    """
    from lmv3det.checkpoint.folder import MARKER  # needs torch

    folder = Path(__file__).parents[1] / "assets" / DEFAULT_MODEL
    if not (folder / MARKER).is_file():
        raise InputError(
            f"{folder}: this installation of lmv3det has no model of its own: name a checkpoint, "
            "install lmv3det anew from its wheel, or make the model with `make model`"
        )
    return folder
