"""Fitting weights to a model: what is taken, what is changed, what starts anew.

Nothing happens silently: every tensor of either side ends in the report.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lmv3det.checkpoint.untrusted import named_code
from lmv3det.classes import nearest_class, plain_name
from lmv3det.config import BackboneConfig, Config
from lmv3det.convert.infer import OUT_INDICES, backbone_settings
from lmv3det.convert.report import LoadReport
from lmv3det.convert.sources import HUB, Source, read_source
from lmv3det.data.categories import Category
from lmv3det.errors import InputError
from lmv3det.model.detector import LayoutDetector

_CLASS_ROWS = re.compile(
    r"^(cascade\.(predictors\.\d+|relation)\.cls_score|mask_head\.predictor)\.(weight|bias)$"
)
_WIDENED = re.compile(r"^(fpn\.lateral\.\d+|cascade\.predictors\.\d+\.cls_score)\.weight$")

_HEADS = "cascade.heads."

_VISUAL_SETTINGS = ("hidden_size", "layers", "heads", "intermediate_size", "patch_size")
_TEXT_SETTINGS = ("vocab_size", "coordinate_size", "shape_size", "max_2d_positions")

# (beginning of our names, what the source lacks, why the model has no place for it)
_PARTS = (
    ("backbone.text_embedding.", "the source has no text tables", "the model is image only"),
    ("backbone.relative_bias.", "the source has no relative bias", "backbone.relative_bias is off"),
    ("backbone.spatial_bias_", "the source has no spatial bias", "backbone.spatial_bias is off"),
    ("mask_head.", "the source has no mask head", "model.mask_on is off"),
    ("cascade.text_pooler.", "the source pools no text", "the fusion is not roi"),
    ("cascade.relation.", "the source has no relation module", "relation.enabled is off"),
)


def load_initial_weights(
    model: LayoutDetector,
    source: str,
    config: Config,
    *,
    categories: Sequence[Category] | None = None,
    strict: bool = True,
    trust_code: bool = False,
) -> LoadReport:
    """Load what `model.weights` names into a model, as the start of a training.

    The source may be image only where the model reads text and the other way round, have other
    classes, or be a bare encoder: what it lacks starts anew and the report says so.

    Args:
        model: as `build_detector(config)` makes it; changed in place.
        source: a checkpoint or folder of ours, a detectron2 .pth, a Hugging Face LayoutLMv3
            folder or file, or `hub:owner/name`.
        config: the model's config.
        categories: the model's classes in order. Each starts from the source's class of the same
            name, or the nearest one (`lmv3det.classes.nearest_class`), if there is any. None:
            classes are matched by their number alone.
        strict: raise when something is missing, unexpected or of a wrong shape.
        trust_code: let the source's config name classes (`module:Class`) that `config` does
            not name.

    Returns:
        The report; print it.

    Raises:
        InputError: the source cannot be read, its config names code, its weights are not finite,
            its sizes are not the config's, or (`strict`) it does not fit.
    """
    if not source.startswith(HUB) and not Path(source).expanduser().exists():
        name = f"hub:{source}" if "/" in source else "hub:OWNER/NAME"
        raise InputError(
            f"model.weights is {source}: no such file or folder (seen from {Path.cwd()}); give the "
            f"folder or checkpoint, or {name} to fetch it from the Hugging Face hub (such as "
            "hub:microsoft/layoutlmv3-base-chinese)"
        )
    found = read_source(source, trust_code=trust_code or named_code(config).values())
    weights, report = fit_weights(model.state_dict(), found, config, categories=categories)
    if strict:
        report.check(command=f"lmv3det convert {source} --to lmv3det --out FILE.pth ")
    model.load_state_dict(weights)
    return report


def fit_weights(
    model: Mapping[str, Tensor],
    source: Source,
    config: Config,
    *,
    categories: Sequence[Category] | None = None,
    complete: bool = False,
) -> tuple[dict[str, Tensor], LoadReport]:
    """The model's weights, replaced by those of the source where they fit.

    Args:
        model: the model's state_dict, freshly initialised; not changed.
        source: the weights to take.
        config: the model's config.
        categories: the model's classes; see `load_initial_weights`.
        complete: count a whole part that the source lacks (a mask head, say) as missing instead
            of starting it anew; except the parts that a bare encoder lacks.

    Returns:
        Weights for the model (those taken keep the source's dtype), and the report.

    Raises:
        InputError: the encoders' sizes differ; the message names the settings to change.
    """
    report = LoadReport(source=source.description, left_out=dict(source.left_out))
    report.unexpected += source.unknown
    check_sizes(source, config)
    rows = _ClassRows(source, categories, report)
    head = source.checkpoint.config.roi.head if source.checkpoint else None
    other_head = source.kind != "huggingface" and head != config.roi.head
    weights = dict(model)
    for name, fresh in model.items():
        have = source.weights.get(name)
        if other_head and name.startswith(_HEADS):
            report.fresh[name] = (
                f"roi.head is {_shown(config.roi.head)}, the source's {_shown(head)}"
            )
            continue
        if have is None:
            reason = _why_fresh(name, source, complete)
            if reason:
                report.fresh[name] = reason
            else:
                report.missing.append(name)
            continue
        chosen = rows.fit(name, have, fresh) if _CLASS_ROWS.match(name) else have
        if chosen is None:
            continue
        taken = _fit(name, chosen, fresh, report)
        if taken is None:
            report.wrong_shape.append((name, tuple(have.shape), tuple(fresh.shape)))
            continue
        weights[name] = taken
        report.loaded.append(name)
    for name in source.weights:
        left = other_head and name.startswith(_HEADS)
        if left or name not in model:
            reason = "of another head" if left else _why_left_out(name, model)
            if reason:
                report.left_out[name] = reason
            else:
                report.unexpected.append(name)
    return weights, report


def _shown(head: str | None) -> str:
    return head or "the usual one"


def check_sizes(source: Source, config: Config) -> None:
    """Compare the encoder's sizes with the config.

    Raises:
        InputError: they differ; the message names the settings to change.
    """
    ours = config.backbone
    kind, options = "layoutlmv3", {}
    if source.checkpoint is not None:
        kind = source.checkpoint.config.backbone.kind
        options = source.checkpoint.config.backbone.options
    if (kind, options) != (ours.kind, ours.options):
        raise InputError(
            f"{source.description}: its encoder is {kind} {options or ''}, the config's "
            f"{ours.kind} {ours.options or ''}: set backbone.kind and backbone.options to those "
            "of the weights"
        )
    if kind != "layoutlmv3":
        return  # of another size, its weights do not fit
    theirs = {**source.settings, **backbone_settings(source.weights)}
    wanted = [*_VISUAL_SETTINGS, "layer_norm_eps"]
    has_text = any(name.startswith("backbone.text_embedding.") for name in source.weights)
    if config.text.selection != "none" and has_text:
        wanted += [*_TEXT_SETTINGS, "type_vocab_size", "pad_token_id"]
    for bias in ("relative", "spatial"):
        if getattr(ours, f"{bias}_bias"):
            wanted += [f"{bias}_buckets", f"{bias}_max_distance"]
    differing = [key for key in wanted if key in theirs and theirs[key] != getattr(ours, key)]
    if not differing:
        return
    fix = [f"backbone.{key}={theirs[key]}" for key in differing]
    if "layers" in differing and theirs["layers"] in OUT_INDICES:
        fix.append(f"backbone.out_indices={OUT_INDICES[theirs['layers']]}".replace(" ", ""))
    if "hidden_size" in differing:
        sizes = {k: theirs[k] for k in ("coordinate_size", "shape_size") if k in theirs}
        fix += [f"backbone.{k}={v}" for k, v in sizes.items() if k not in differing]
    was = ", ".join(f"{key} {theirs[key]} (config: {getattr(ours, key)})" for key in differing)
    raise InputError(
        f"{source.description}: its encoder has other sizes than the config: {was}; "
        f"set {' '.join(fix)}"
    )


def settings_in_config(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings of a source that `BackboneConfig` knows, and `out_indices` where they follow."""
    known = BackboneConfig.__dataclass_fields__
    values = {key: value for key, value in settings.items() if key in known}
    if values.get("layers") in OUT_INDICES:
        values["out_indices"] = OUT_INDICES[values["layers"]]  # type: ignore[index]
    return values


class _ClassRows:
    """Which rows of the class-dependent tensors are kept, by the names of the classes."""

    def __init__(
        self, source: Source, categories: Sequence[Category] | None, report: LoadReport
    ) -> None:
        theirs = source.checkpoint.categories if source.checkpoint else None
        self.report = report
        self.mapping: list[int | None] | None = None
        self.known = bool(theirs) and categories is not None
        if theirs and categories is not None:
            known = [category.name for category in theirs]
            self.mapping = [nearest_class(category.name, known) for category in categories]
            self.same = self.mapping == list(range(len(theirs)))
            kept = [
                _started(c.name, known[n])
                for c, n in zip(categories, self.mapping, strict=True)
                if n is not None
            ]
            new = [c.name for c, n in zip(categories, self.mapping, strict=True) if n is None]
            self.what = f"classes kept: {', '.join(kept)}; new: {', '.join(new) or 'none'}"
            if self.same:
                self.mapping = None
            elif not kept:
                self.report.notes.append(
                    f"no class of the source ({', '.join(c.name for c in theirs)}) is one of the "
                    f"model's ({', '.join(new)})"
                )

    def fit(self, name: str, have: Tensor, fresh: Tensor) -> Tensor | None:
        """`have` with its rows in the model's order and number; None where it starts anew."""
        extra = 1 if "cls_score" in name else 0  # the background's row comes last
        classes = fresh.shape[0] - extra
        if self.mapping is not None and len(self.mapping) == classes:
            if all(n is None for n in self.mapping):
                self.report.fresh[name] = "the classes are others"
                return None
            same_width = have.shape[1:] == fresh.shape[1:]
            if not same_width and not (have.dim() == 2 and _WIDENED.match(name)):
                return have
            first = fresh if same_width else _widen(fresh, have.shape[1])
            rows = [
                first[n].to(have.dtype) if source is None else have[source]
                for n, source in enumerate(self.mapping)
            ]
            rows += [have[-1]] * extra
            self.report.adapted.append((name, self.what))
            return torch.stack(rows)
        if have.shape[0] == fresh.shape[0]:
            if not self.known and not any("names" in note for note in self.report.notes):
                self.report.notes.append(
                    f"the source does not name its {classes} classes: the names are taken to be "
                    "the model's, in the model's order"
                )
            return have
        self.report.fresh[name] = (
            f"the source has {have.shape[0] - extra} classes, the model {classes}"
        )
        return None


def _started(name: str, source: str) -> str:
    """How the report names a class that starts from one of the source's."""
    return name if plain_name(name) == plain_name(source) else f"{name} (from {source})"


def _fit(name: str, have: Tensor, fresh: Tensor, report: LoadReport) -> Tensor | None:
    """`have` in the shape of `fresh`, by the changes that are known to be right; None if none is.

    The position tables change as the original does it: the grid's bicubically, the text's by
    cutting or tiling.
    """
    if have.shape == fresh.shape:
        return have
    if have.dim() != fresh.dim():
        return None
    if name == "backbone.position_table" and have.shape[2] == fresh.shape[2]:
        sides = [math.isqrt(table.shape[1] - 1) for table in (have, fresh)]
        report.adapted.append((name, "grid {0}×{0} resized to {1}×{1}, bicubic".format(*sides)))
        return resize_position_table(have, sides[1])
    if name == "backbone.text_embedding.position.weight" and have.shape[1] == fresh.shape[1]:
        old, new = len(have), len(fresh)
        report.adapted.append((name, f"{old} rows {'cut' if new < old else 'tiled'} to {new}"))
        return have.repeat(-(-new // old), 1)[:new].clone()
    same = have.shape[0] == fresh.shape[0] and have.shape[2:] == fresh.shape[2:]
    if _WIDENED.match(name) and same:
        old, new = have.shape[1], fresh.shape[1]
        if new == 2 * old:
            report.adapted.append((name, f"{old} visual inputs kept, {old} of text start at zero"))
            return _widen(have, new)
        if old == 2 * new:
            report.adapted.append((name, f"{new} visual inputs kept, {new} of text left out"))
            return have[:, :new].clone()
    return None


def _widen(weight: Tensor, inputs: int) -> Tensor:
    """A weight with more inputs (zeros), or with fewer."""
    added = inputs - weight.shape[1]
    if added <= 0:
        return weight[:, :inputs].clone()
    return torch.cat([weight, weight.new_zeros(weight.shape[0], added, *weight.shape[2:])], dim=1)


def resize_position_table(table: Tensor, side: int) -> Tensor:
    """A visual position table 1×(1+s²)×C for another grid, bicubic; the class token's row stays.

    Returns:
        1×(1+side²)×C of the same dtype.
    """
    old = math.isqrt(table.shape[1] - 1)
    grid = table[:, 1:].transpose(1, 2).unflatten(2, (old, old))  # 1×C×s×s
    if not grid.dtype.is_floating_point or grid.dtype.itemsize < 4:
        grid = grid.float()
    grid = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1], grid.flatten(2).transpose(1, 2).to(table.dtype)], dim=1)


def _part(name: str) -> tuple[str, str, str] | None:
    """The part of the detector that may be there or not, to which a name belongs."""
    if name.startswith("fusion."):
        part = ".".join(name.split(".")[:3])
        return part, "the source's fusion has none", "the model's fusion has none"
    return next((part for part in _PARTS if name.startswith(part[0])), None)


def _why_fresh(name: str, source: Source, complete: bool) -> str | None:
    if source.kind == "huggingface" and not name.startswith("backbone."):
        return "the source is an encoder alone"
    if name.endswith("num_batches_tracked"):
        return "a counter"
    part = _part(name)
    bare = source.kind == "huggingface"
    if part and (bare or not complete) and not _any(source.weights, part[0]):
        return part[1]
    return None


def _why_left_out(name: str, model: Mapping[str, Tensor]) -> str | None:
    if name.endswith("num_batches_tracked"):
        return "a counter"
    part = _part(name)
    return part[2] if part and not _any(model, part[0]) else None


def _any(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)
