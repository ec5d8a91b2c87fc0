"""Encoders of timm, which come by name: ViTs, ConvNeXt, Swin, ResNet, MobileNet and others.

timm: https://github.com/huggingface/pytorch-image-models. They read no text.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import group_parameters, is_model_in_modules
from torch import Tensor

from lmv3det.errors import InputError
from lmv3det.model.backbone_base import Backbone, Features

HUB = "hub:"
PLAIN_VITS = ("vision_transformer", "eva", "deit", "beit")
"""timm's modules of transformers whose maps all have the patches' stride."""
WINDOWS = ("swin_transformer", "swin_transformer_v2")
RESERVED = (
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict",
    "checkpoint_path", "cache_dir", "features_only", "feature_cls", "scriptable", "exportable",
    "no_jit", "in_chans", "num_classes",
)  # fmt: skip
"""Arguments of `timm.create_model` that are no options: most of them would read files or ask a
hub while a checkpoint is loaded."""


class TimmBackbone(Backbone):
    """An encoder of timm, with random weights until `load_weights`.

    Args:
        name: timm's name of it, such as `convnext_tiny` (`timm.list_models()`).
        out_indices: which of its four maps are taken; None: the last four of a hierarchical
            encoder, of a ViT the layers at each quarter of its depth.
        options: further arguments of `timm.create_model`, such as `drop_path_rate`.

    Raises:
        InputError: timm has no such encoder, or an option is reserved.
    """

    def __init__(self, name: str, out_indices: Sequence[int] | None = None, **options: Any) -> None:
        super().__init__()
        if not timm.is_model(name):
            near = timm.list_models(f"{name.partition('_')[0]}*")[:5] if name else []
            some = f" (such as {', '.join(near)})" if near else ""
            raise InputError(
                f"backbone.options has the name {name!r}, which timm does not know{some}; "
                "timm.list_models() lists them"
            )
        for key in options:
            if key in RESERVED:
                raise InputError(
                    f"backbone.options has {key!r}, which is no option; backbone.weights names "
                    "pre-trained weights"
                )
        self.name, self.options = name, _defaults(name) | options
        self.is_plain = is_model_in_modules(name, PLAIN_VITS)
        self.out_indices = self._chosen(out_indices)
        self.encoder: Any = self._create()
        info = self.encoder.feature_info
        self.out_channels, self.strides = list(info.channels()), list(info.reduction())

    def forward(self, images: Tensor, *text: Any) -> Features:
        return Features(list(self.encoder(images)))

    def layer_of(self, name: str) -> int | None:
        """As timm groups the parameters of its own layer-wise decay."""
        return self._layers.get(name)

    @functools.cached_property
    def _layers(self) -> dict[str, int]:
        inner = getattr(self.encoder, "model", None)
        if inner is None or not hasattr(inner, "group_matcher"):
            return {}
        grouped = group_parameters(inner, inner.group_matcher(coarse=False), reverse=True)
        return {f"encoder.model.{name}": layer for name, layer in grouped.items()}

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        inner: Any = getattr(self.encoder, "model", self.encoder)
        if not hasattr(inner, "set_grad_checkpointing"):
            return super().set_gradient_checkpointing(enabled)
        return inner.set_grad_checkpointing(enabled)

    def load_weights(self, source: str) -> None:
        """Take over weights that timm or its authors published.

        Args:
            source: a file (safetensors or torch), or `hub:` for those that timm names, or
                `hub:owner/name`; both need the network.

        Raises:
            InputError: no such file, or weights of another encoder.
        """
        options: dict[str, Any] = {}
        if not source.startswith(HUB):
            path = Path(source).expanduser()
            if not path.is_file():
                raise InputError(
                    f"backbone.weights is {source}: no such file (seen from {Path.cwd()}); {HUB} "
                    "fetches timm's from the Hugging Face hub"
                )
            options["pretrained_cfg_overlay"] = {"file": str(path)}
        elif source != HUB:
            options["pretrained_cfg_overlay"] = {"hf_hub_id": source.removeprefix(HUB)}
        try:
            loaded, again = (self._create(pretrained=True, **options) for _ in range(2))
        except Exception as error:  # a file that is no encoder's, a hub that does not answer
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"backbone.weights is {source}, which {self.name} cannot take ({reason})"
            ) from error
        # timm leaves what a file lacks at random, without an error: then two readings differ.
        pairs = zip(loaded.named_parameters(), again.parameters(), strict=True)
        missing = [name for (name, one), other in pairs if not torch.equal(one, other)]
        if missing:
            raise InputError(
                f"backbone.weights is {source}, which {self.name} cannot take ({len(missing)} "
                f"parameters are missing in it, such as {missing[0].removeprefix('model.')})"
            )
        self.encoder.load_state_dict(loaded.state_dict())

    def _create(self, **more: Any) -> Any:
        given = {**self.options, **more, "out_indices": self.out_indices, "features_only": True}
        try:
            return timm.create_model(self.name, feature_cls="getter", **given)
        except RuntimeError:
            if more:
                raise
        except AttributeError:  # without forward_intermediates
            pass
        return timm.create_model(self.name, **given)

    def _chosen(self, out_indices: Sequence[int] | None) -> tuple[int, ...]:
        if out_indices is not None:
            return tuple(out_indices)
        if not self.is_plain:
            return (-4, -3, -2, -1)
        with torch.device("meta"):  # only to count its layers
            whole: Any = timm.create_model(self.name, **self.options)
        depth = len(whole.blocks)
        return tuple(depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4))


def _defaults(name: str) -> dict[str, Any]:
    """Options with which an encoder takes pages of any size, and a ViT has patches of stride 16."""
    if is_model_in_modules(name, PLAIN_VITS):
        return {"patch_size": 16, "dynamic_img_size": True}
    if is_model_in_modules(name, WINDOWS):
        return {"strict_img_size": False}
    return {}
