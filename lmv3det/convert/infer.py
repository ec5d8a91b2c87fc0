"""Settings that can be read from the weights themselves.

Names are ours. Attention heads leave no trace in the shapes (but for the bias tables), nor do
layer norm epsilons; those come from a config or are assumed and said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lmv3det.errors import InputError

HEAD_WIDTH = 64
"""Width of an attention head in all published LayoutLMv3 models."""

OUT_INDICES = {12: [3, 5, 7, 11], 24: [7, 11, 15, 23]}
"""`backbone.out_indices` of the published detectors by their number of layers."""

TEXT = "backbone.text_embedding."


def count(weights: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the largest number that a pattern's group finds in the names; 0 for none."""
    found = (re.match(pattern, name) for name in weights)
    return max((int(match.group(1)) + 1 for match in found if match), default=0)


def backbone_settings(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The `backbone` settings that follow from the shapes of an encoder."""
    settings: dict[str, Any] = {}

    def take(name: str, **sizes: int) -> None:
        tensor = weights.get("backbone." + name)
        if tensor is not None and tensor.dim() > max(sizes.values()):
            settings.update({key: tensor.shape[dim] for key, dim in sizes.items()})

    take("patch_embedding.weight", hidden_size=0, patch_size=2)
    layers = count(weights, r"backbone\.layers\.(\d+)\.")
    if layers:
        settings["layers"] = layers
    take("layers.0.intermediate.weight", intermediate_size=0)
    take("text_embedding.word.weight", vocab_size=0)
    take("text_embedding.position.weight", max_positions=0)
    take("text_embedding.token_type.weight", type_vocab_size=0)
    take("text_embedding.x.weight", max_2d_positions=0, coordinate_size=1)
    take("text_embedding.height.weight", shape_size=1)
    take("relative_bias.weight", heads=0, relative_buckets=1)
    take("spatial_bias_x.weight", heads=0, spatial_buckets=1)
    table = weights.get("backbone.position_table")
    if table is not None and table.dim() > 1 and table.numel() and "patch_size" in settings:
        settings["input_size"] = math.isqrt(table.shape[1] - 1) * settings["patch_size"]
    return settings


def infer_config(weights: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Settings of a whole detector from its weights (our names).

    Returns:
        What the shapes prove, what is assumed where they say nothing (both nested as in a config
        file), and notes on the assumptions, each with the setting's key as its first word.

    Raises:
        InputError: parts of a detector are missing, or of a kind that this project does not build.
    """
    for name in ("rpn.head.objectness_logits.weight", "fpn.output.0.weight"):
        _shape(weights, name, 4)
    _shape(weights, "backbone.patch_embedding.weight", 4)
    backbone = backbone_settings(weights)
    proven: dict[str, Any] = {"backbone": backbone}
    assumed: dict[str, Any] = {"backbone": {}}
    notes = []
    hidden, layers = backbone["hidden_size"], backbone.get("layers", 0)
    if not layers:
        raise InputError("not the weights of a whole detector: backbone.layers are missing")
    if "heads" not in backbone:
        assumed["backbone"]["heads"] = max(1, hidden // HEAD_WIDTH)
        notes.append(
            f"backbone.heads cannot be read from weights: {max(1, hidden // HEAD_WIDTH)} "
            f"assumed, {HEAD_WIDTH} channels each as in the published models"
        )
    for key, table in (("relative_bias", "relative_bias"), ("spatial_bias", "spatial_bias_x")):
        if f"backbone.{table}.weight" in weights:
            assumed["backbone"][key] = True
            notes.append(f"backbone.{key} is turned on: the weights have its table")
    if layers in OUT_INDICES:
        assumed["backbone"]["out_indices"] = OUT_INDICES[layers]
    if "coordinate_size" not in backbone:
        assumed["backbone"] |= _split_of(hidden)
    channels = _shape(weights, "fpn.output.0.weight", 4)[0]
    proven["neck"] = {"out_channels": channels}
    proven["roi"] = _roi(weights, channels)
    score = _shape(weights, "cascade.predictors.0.cls_score.weight", 2)
    mask = "mask_head.predictor.weight" in weights
    proven["model"] = {"num_classes": score[0] - 1, "mask_on": mask}
    if mask:
        proven["mask"] = {
            "convs": count(weights, r"mask_head\.convs\.(\d+)\."),
            "dim": _shape(weights, "mask_head.predictor.weight", 4)[1],
        }
    text, more = _text(weights, hidden)
    proven |= text
    if any(name.startswith(TEXT) for name in weights):
        assumed["text"] = {"selection": "first"}
    return proven, assumed, notes + more


def _shape(weights: Mapping[str, Tensor], name: str, dims: int) -> tuple[int, ...]:
    """The shape of a tensor that has so many dimensions, none of them empty."""
    if name not in weights:
        raise InputError(f"not the weights of a whole detector: {name} is missing")
    shape = tuple(weights[name].shape)
    if len(shape) != dims or 0 in shape:
        raise InputError(f"not the weights of a detector: {name} is {shape}, not of {dims} sizes")
    return shape


def _split_of(hidden: int) -> dict[str, int]:
    """Coordinate and shape sizes with 4·c + 2·s = hidden, as near to each other as the published
    ones; nothing depends on them without text."""
    shape = hidden // 6
    while (hidden - 2 * shape) % 4:
        shape -= 1
    return {"coordinate_size": (hidden - 2 * shape) // 4, "shape_size": shape}


def _roi(weights: Mapping[str, Tensor], channels: int) -> dict[str, Any]:
    stages = count(weights, r"cascade\.predictors\.(\d+)\.cls_score")
    if not stages:
        raise InputError(
            "the box predictors are missing: not a cascade of this architecture "
            "(MODEL.ROI_HEADS.NAME: CascadeROIHeads)"
        )
    if stages != 3:
        raise InputError(f"the cascade has {stages} stages; this project knows those of 3")
    regression = weights.get("cascade.predictors.0.bbox_pred.weight")
    outputs = 4
    if regression is not None:
        outputs = len(regression) if regression.dim() else 0
    if outputs != 4:
        raise InputError(
            f"the box regression has {outputs} outputs: one box a class. This "
            "architecture is class-agnostic (MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG: True)"
        )
    if "cascade.heads.0.fc1.weight" not in weights:
        return {}
    first = _shape(weights, "cascade.heads.0.fc1.weight", 2)
    return {"fc_dim": first[0], "pool_size": math.isqrt(first[1] // channels)}


def _text(weights: Mapping[str, Tensor], hidden: int) -> tuple[dict[str, Any], list[str]]:
    """Sections `text`, `fusion` and `relation`, and notes."""
    settings: dict[str, Any] = {}
    notes: list[str] = []
    if any(name.startswith("cascade.relation.") for name in weights):
        layers = count(weights, r"cascade\.relation\.layers\.(\d+)\.")
        settings["relation"] = {"enabled": True, "layers": layers}
        if "cascade.relation.features.weight" in weights:
            width = _shape(weights, "cascade.relation.features.weight", 2)
            settings["relation"]["dim"] = width[0]
        notes.append("relation.heads cannot be read from weights: 8 assumed")
    if not any(name.startswith(TEXT) for name in weights):
        return settings, notes
    notes.append("text.selection cannot be read from weights: set it, first_k and text.tokenizer")
    kind, levels = "", []
    for found, pattern in (
        ("gated", r"fusion\.gate\.p(\d)\."),
        ("vsr", r"fusion\.attention\.p(\d)\."),
    ):
        matches = {int(m.group(1)) for m in (re.match(pattern, n) for n in weights) if m}
        if matches:
            kind, levels = found, sorted(matches)
    laterals = {n: weights.get(f"fpn.lateral.{n}.weight") for n in range(4)}
    widths = {n: t.shape[1] for n, t in laterals.items() if t is not None and t.dim() > 1}
    wide = [n + 2 for n, width in widths.items() if width == 2 * hidden]
    if wide:
        kind, levels = "concat", wide
    if any(name.startswith("cascade.text_pooler.") for name in weights):
        kind = "roi"
        poolers = count(weights, r"cascade\.text_pooler\.projections\.(\d+)\.")
        levels = list(range(6 - poolers, 6))
        notes.append(f"fusion.levels cannot be read from weights: {levels} assumed")
    if kind:
        settings["fusion"] = {"kind": kind, "levels": levels}
        notes.append("fusion.reduce cannot be read from weights: sum assumed")
        notes.append("fusion.only_where_text cannot be read from weights: false assumed")
        if kind == "gated":
            notes.append("fusion.gate_relu cannot be read from weights: true assumed")
    else:
        notes.append(
            "fusion.kind is unknown: no fusion has weights here, and whether it is none or "
            "additive cannot be seen: none unless set (fusion.kind=additive)"
        )
    return settings, notes
