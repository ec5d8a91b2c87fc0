"""Parameter names: ours, detectron2's, Hugging Face's.

A name is translated piece by piece, by the first rule of each table that fits it; the rules are
read both ways, so a round trip is exact.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

ENCODER = "backbone.bottom_up.backbone."
"""Prefix of the encoder in detectron2's names."""

# (ours, Hugging Face's) within the encoder; # is a number.
ENCODER_RULES = [
    ("patch_embedding.", "patch_embed.proj."),
    ("cls_token", "cls_token"),
    ("position_table", "pos_embed"),
    ("visual_norm.", "norm."),
    ("joint_norm.", "LayerNorm."),
    ("text_embedding.word.", "embeddings.word_embeddings."),
    ("text_embedding.token_type.", "embeddings.token_type_embeddings."),
    ("text_embedding.position.", "embeddings.position_embeddings."),
    ("text_embedding.x.", "embeddings.x_position_embeddings."),
    ("text_embedding.y.", "embeddings.y_position_embeddings."),
    ("text_embedding.height.", "embeddings.h_position_embeddings."),
    ("text_embedding.width.", "embeddings.w_position_embeddings."),
    ("text_embedding.norm.", "embeddings.LayerNorm."),
    ("relative_bias.", "encoder.rel_pos_bias."),
    ("spatial_bias_x.", "encoder.rel_pos_x_bias."),
    ("spatial_bias_y.", "encoder.rel_pos_y_bias."),
    ("layers.#.attention.query.", "encoder.layer.#.attention.self.query."),
    ("layers.#.attention.key.", "encoder.layer.#.attention.self.key."),
    ("layers.#.attention.value.", "encoder.layer.#.attention.self.value."),
    ("layers.#.attention.output.", "encoder.layer.#.attention.output.dense."),
    ("layers.#.attention_norm.", "encoder.layer.#.attention.output.LayerNorm."),
    ("layers.#.intermediate.", "encoder.layer.#.intermediate.dense."),
    ("layers.#.output.", "encoder.layer.#.output.dense."),
    ("layers.#.output_norm.", "encoder.layer.#.output.LayerNorm."),
]

# (ours, detectron2's) of the whole detector. The last ones have no counterpart in the published
# detector: the names on the right are this project's assumption (docs/weights.md).
DETECTOR_RULES = [
    *((f"backbone.{ours}", ENCODER + theirs) for ours, theirs in ENCODER_RULES),
    ("pyramid.up4.", ENCODER + "encoder.fpn1."),
    ("pyramid.up2.", ENCODER + "encoder.fpn2."),
    *(
        (f"fpn.{ours}.{number}.", f"backbone.{theirs}{number + 2}.")
        for number in range(4)
        for ours, theirs in (("lateral", "fpn_lateral"), ("output", "fpn_output"))
    ),
    ("rpn.head.", "proposal_generator.rpn_head."),
    ("cascade.heads.#.", "roi_heads.box_head.#."),
    ("cascade.predictors.#.", "roi_heads.box_predictor.#."),
    *((f"mask_head.convs.{n}.", f"roi_heads.mask_head.mask_fcn{n + 1}.") for n in range(16)),
    ("mask_head.deconv.", "roi_heads.mask_head.deconv."),
    ("mask_head.predictor.", "roi_heads.mask_head.predictor."),
    ("fusion.gate.p5.", ENCODER + "encoder.score_conv."),
    ("fusion.gate.p#.", ENCODER + "encoder.score_conv_p#."),
    ("fusion.attention.p5.", ENCODER + "encoder.channel_attention."),
    ("fusion.attention.p#.", ENCODER + "encoder.channel_attention_p#."),
    ("fusion.", "fusion."),
    ("cascade.text_pooler.", "roi_heads.text_pooler."),
    ("cascade.relation.", "roi_heads.relation."),
]

POSITION_IDS = ENCODER + "embeddings.position_ids"
"""A constant that the original keeps among its weights."""

HUGGINGFACE_PREFIX = "layoutlmv3."
"""Prefix of the encoder in a Hugging Face model with a head."""

PUBLISHED = ("backbone.", "pyramid.", "fpn.", "rpn.", "cascade.heads.", "cascade.predictors.")
"""Our prefixes that the published detector has too (and `mask_head.`, where it is on)."""


def _compile(rules: list[tuple[str, str]]) -> list[tuple[re.Pattern, str]]:
    return [
        (
            re.compile("^" + re.escape(source).replace(r"\#", "#").replace("#", r"(\d+)")),
            target.replace("#", r"\1"),
        )
        for source, target in rules
    ]


_OURS_TO_ENCODER = _compile(ENCODER_RULES)
_ENCODER_TO_OURS = _compile([(theirs, ours) for ours, theirs in ENCODER_RULES])
_OURS_TO_DETECTRON2 = _compile(DETECTOR_RULES)
_DETECTRON2_TO_OURS = _compile([(theirs, ours) for ours, theirs in DETECTOR_RULES])


def _translate(name: str, rules: list[tuple[re.Pattern, str]]) -> str | None:
    for pattern, target in rules:
        translated, found = pattern.subn(target, name)
        if found:
            return translated
    return None


def detectron2_name(ours: str) -> str | None:
    """The detectron2 name of a detector parameter of ours; None where it has none."""
    return _translate(ours, _OURS_TO_DETECTRON2)


def our_name(detectron2: str) -> str | None:
    """Our name of a detectron2 parameter; None for one that we do not have."""
    return _translate(detectron2, _DETECTRON2_TO_OURS)


def encoder_name(huggingface: str) -> str | None:
    """Our name, within the backbone, of a Hugging Face LayoutLMv3 parameter; None for another."""
    return _translate(huggingface.removeprefix(HUGGINGFACE_PREFIX), _ENCODER_TO_OURS)


def huggingface_name(ours: str) -> str | None:
    """The Hugging Face name (without prefix) of a parameter within the backbone."""
    return _translate(ours, _OURS_TO_ENCODER)


def from_detectron2(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename detectron2's parameters to ours; what has no name with us is left out."""
    named = {our_name(name): tensor for name, tensor in state_dict.items()}
    return {name: tensor for name, tensor in named.items() if name is not None}


def to_detectron2(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename our parameters to detectron2's; those that the original has no place for keep their
    names. With text tables, the original's constant `position_ids` is added."""
    renamed = {detectron2_name(name) or name: tensor for name, tensor in state_dict.items()}
    positions = state_dict.get("backbone.text_embedding.position.weight")
    if positions is not None:
        renamed[POSITION_IDS] = torch.arange(len(positions)).unsqueeze(0)
    return renamed
