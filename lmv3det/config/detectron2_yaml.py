"""A detectron2 yaml of the LayoutLMv3 example becomes a config of ours, and back.

What a file says is taken over; where it is silent and detectron2's own default differs from ours,
detectron2's is what the file means. What is not taken over is listed with its reason.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lmv3det.config import Config, flatten, from_dict, merge, to_dict
from lmv3det.config.detectron2_keys import (
    DEFAULTS,
    DETECTRON2_KEYS,
    KEPT,
    NOT_TAKEN,
    ONLY,
    OTHER_DEFAULTS,
)
from lmv3det.config.yaml_text import BoundedLoader, read_yaml_file, to_yaml_text
from lmv3det.errors import InputError
from lmv3det.files import is_path

LARGE = {
    "hidden_size": 1024,
    "layers": 24,
    "heads": 16,
    "intermediate_size": 4096,
    "coordinate_size": 171,
    "shape_size": 170,
    "out_indices": [7, 11, 15, 23],
}
"""`backbone` of `MODEL.VIT.NAME: layoutlmv3_large`."""

_PER_ITERATION = (
    "solver.steps",
    "solver.warmup_steps",
    "solver.evaluate_every",
    "solver.checkpoint_every",
)
_BY_HAND = {ours for ours, theirs in DETECTRON2_KEYS.items() if theirs == "MODEL.VIT.NAME"} | {
    "device",
    "data.train.annotations",
    "data.val.annotations",
    "data.workers",
    "input.flip",
    "input.crop",
    "backbone.drop_path",
    "backbone.input_size",
    "solver.loss_weights",
    "test.augment.sizes",
    "test.augment.max_size",
    "test.augment.flip",
}
"""Settings of ours that answer to one of theirs, whose value is not copied."""

_SAMPLERS = ("TrainingSampler", "RepeatFactorTrainingSampler")
_CLIP_TYPES = {"full_model": "total_norm", "norm": "norm", "value": "value"}
_SCHEDULES = {"WarmupCosineLR": "cosine", "WarmupMultiStepLR": "multistep"}


@dataclass
class Converted:
    """A detectron2 file in our terms.

    Attributes:
        values: our settings, nested.
        left_out: (their key, value, why) of what has no effect here.
        conflicts: (their key, value, what is done instead) of what this project cannot do.
        changed: (their key, value, what became of it) where that is not obvious.
        silent: (their key, detectron2's default, what became of it) where the file says nothing
            and the default is not ours.
        silent_conflicts: the same of defaults that this project cannot do.
    """

    values: dict[str, Any] = field(default_factory=dict)
    left_out: list[tuple[str, Any, str]] = field(default_factory=list)
    conflicts: list[tuple[str, Any, str]] = field(default_factory=list)
    changed: list[tuple[str, Any, str]] = field(default_factory=list)
    silent: list[tuple[str, Any, str]] = field(default_factory=list)
    silent_conflicts: list[tuple[str, Any, str]] = field(default_factory=list)

    def cannot_be_had(self) -> list[str]:
        """What this project cannot do, a line each."""
        lines = [f"{key}: {_short(v)} – {why}" for key, v, why in self.conflicts]
        return lines + [
            f"{key}: {_short(v)} (detectron2's default; the file is silent) – {why}"
            for key, v, why in self.silent_conflicts
        ]

    def summary(self) -> str:
        """What was left out, a line each, sections of another architecture in one line."""
        lines = [f"cannot be had: {line}" for line in self.cannot_be_had()]
        lines += [f"changed: {key}: {_short(v)} – {why}" for key, v, why in self.changed]
        lines += [
            f"the file is silent: {key}: {_short(v)} is detectron2's default – {why}"
            for key, v, why in self.silent
        ]
        groups: dict[tuple[str, str], list[str]] = {}
        for key, value, why in self.left_out:
            section = next((p for p in NOT_TAKEN if key == p or key.startswith(p + ".")), key)
            groups.setdefault((section, why), []).append(f"{key}: {_short(value)}")
        for (section, why), members in groups.items():
            what = members[0] if len(members) == 1 else f"{section}.* ({len(members)} settings)"
            lines.append(f"left out: {what} – {why}")
        return "\n".join(lines) or "nothing was left out"


class _Loader(BoundedLoader):
    """The safe loader; python's tuples are read as plain lists, other python tags are refused."""


_Loader.add_constructor(
    "tag:yaml.org,2002:python/tuple",
    lambda loader, node: loader.construct_sequence(node, deep=True),  # type: ignore[arg-type]
)


def read_detectron2_yaml(path: Path) -> dict[str, Any]:
    """Nested values of a detectron2 yaml over those of its `_BASE_`; strings that hold a literal,
    such as `(480, 512)`, are read as one.

    Raises:
        InputError: no such file, not YAML, a python object in it, or a base that leads back.
    """
    return _read(path, (), {})


def _read(path: Path, above: tuple[str, ...], known: dict[str, dict]) -> dict[str, Any]:
    """A file and its bases; `above` are the files that lead to it, `known` those read before."""
    own = os.path.realpath(path)
    if own in above:
        raise InputError(f"{path}: _BASE_ leads back to this file")
    if own not in known:
        values = literals(read_yaml_file(path, _Loader))
        bases = values.pop("_BASE_", [])
        below: dict[str, Any] = {}
        for base in bases if isinstance(bases, list) else [bases]:
            if "://" in str(base):
                raise InputError(f"{path}: _BASE_ is {base!r}; download it and name the local file")
            if not is_path(str(base)):
                raise InputError(f"{path}: _BASE_ is {base!r}; it must be the path of a file")
            file = path.parent / os.path.expanduser(str(base))
            below = merge(below, _read(file, (*above, own), known))
        known[own] = merge(below, values)
    return known[own]


def literals(value: Any) -> Any:
    """Nested values whose strings are read as Python literals where they are some, `(480, 512)` or
    `2e-4`; tuples become lists."""
    if isinstance(value, dict):
        return {str(key): literals(item) for key, item in value.items()}
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value
    return _lists(value)


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def convert_config(path: Path) -> Converted:
    """Translate a detectron2 yaml.

    Raises:
        InputError: it cannot be read, is no detectron2 config, or a value cannot be understood.
    """
    theirs = dict(flatten(read_detectron2_yaml(path)))
    if not any(key.startswith("MODEL.") for key in theirs):
        raise InputError(f"{path}: no MODEL section: not a detectron2 config")
    vit = str(theirs.get("MODEL.VIT.NAME", "layoutlmv3_base"))
    if "layoutlmv3" not in vit:
        raise InputError(
            f"{path}: MODEL.VIT.NAME is {vit!r}; layoutlmv3_base and layoutlmv3_large are known"
        )
    converted = Converted()
    if "large" in vit:
        converted.values["backbone"] = dict(LARGE)
    elif "MODEL.VIT.NAME" in theirs:
        converted.values["backbone"] = {"heads": Config().backbone.heads}
    taken = {"MODEL.VIT.NAME", "SOLVER.CLIP_GRADIENTS.ENABLED"}
    for ours, key in DETECTRON2_KEYS.items():
        if ours in _BY_HAND or (key not in theirs and key not in DEFAULTS):
            continue
        taken.add(key)
        stated = theirs.get(key, DEFAULTS.get(key))
        try:
            value = _READ.get(ours, _as_it_is)(stated, theirs)
        except (TypeError, ValueError, LookupError, OverflowError, AttributeError) as error:
            raise InputError(
                f"{path}: {key} is {stated!r}, which has no {ours} ({error})"
            ) from None
        if value is not None:
            _put(converted.values, ours, value)
            if key not in theirs and value != _DEFAULT[ours]:
                converted.silent.append((key, stated, f"taken over as {ours}"))
        elif theirs.get(key) and key != "SEED":
            converted.left_out.append((key, stated, "has no effect here"))
    _mapper(theirs, taken, converted)
    _test_augmentation(theirs, taken, converted)
    _loss_weights(path, theirs, taken, converted)
    _sort_rest(theirs, taken, converted)
    _remark(theirs, converted)
    from_dict(converted.values, f"{path} (converted)")
    return converted


def _mapper(theirs: dict[str, Any], taken: set[str], converted: Converted) -> None:
    """Flip and crop: off in the example's own mapper, which `AUG.DETR` turns on."""
    if theirs.get("AUG.DETR", True):
        return
    taken.add("AUG.DETR")
    flip = theirs.get("INPUT.RANDOM_FLIP", "horizontal")
    taken.add("INPUT.RANDOM_FLIP")
    if flip == "horizontal":
        _put(converted.values, "input.flip", 0.5)
        why = (
            "detectron2's own mapper, which mirrors half of the pages: input.flip=0.5 is set; "
            "LayoutLMv3's pre-training never saw one, and input.flip=0 turns it off"
        )
        converted.changed.append(("AUG.DETR", False, why))
    elif flip != "none":
        converted.conflicts.append(("INPUT.RANDOM_FLIP", flip, "only left and right here"))
    if theirs.get("INPUT.CROP.ENABLED", False):
        taken |= {key for key in theirs if key.startswith("INPUT.CROP.")}
        kind = theirs.get("INPUT.CROP.TYPE", "relative_range")
        why = "not cropped here: input.crop crops as DETR does, not as detectron2's own mapper"
        converted.conflicts.append(("INPUT.CROP.TYPE", kind, why))


def _test_augmentation(theirs: dict[str, Any], taken: set[str], converted: Converted) -> None:
    """Several sizes and flips at test time, of which detectron2 averages the masks too."""
    taken.add("TEST.AUG.ENABLED")
    if not theirs.get("TEST.AUG.ENABLED", False):
        return
    for name, (ours, default) in _AUGMENT.items():
        key = f"TEST.AUG.{name}"
        taken.add(key)
        value = theirs.get(key, default)
        if key not in theirs:
            converted.silent.append((key, default, f"taken over as {ours}"))
        _put(converted.values, ours, list(value) if isinstance(value, (list, tuple)) else value)
    if theirs.get("MODEL.MASK_ON", False):
        why = "boxes are joined alike; a mask is that of one view here, not the mean of all"
        converted.changed.append(("TEST.AUG.ENABLED", True, why))


_AUGMENT = {
    "MIN_SIZES": ("test.augment.sizes", list(range(400, 1201, 100))),
    "MAX_SIZE": ("test.augment.max_size", 4000),
    "FLIP": ("test.augment.flip", True),
}
"""Their setting of TEST.AUG → ours, and their default."""


def _loss_weights(
    path: Path, theirs: dict[str, Any], taken: set[str], converted: Converted
) -> None:
    """The weights of the RPN's two losses, and of the boxes' in every stage."""
    found: dict[str, float] = {}
    for key in _WEIGHT_KEYS:
        taken.add(key)
        value = theirs.get(key, 1.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{path}: {key} is {value!r}; it must be a number")
        found[key] = float(value)
    rpn, rpn_box, box = found.values()
    stages = converted.values.get("roi", {}).get("iou_thresholds", _DEFAULT["roi.iou_thresholds"])
    weights = {"loss_rpn_cls": rpn, "loss_rpn_loc": rpn * rpn_box}
    weights |= {f"loss_box_reg_stage{number}": box for number in range(len(stages))}
    weights = {name: weight for name, weight in weights.items() if weight != 1}
    if weights:
        _put(converted.values, "solver.loss_weights", weights)


_WEIGHT_KEYS = (
    "MODEL.RPN.LOSS_WEIGHT",
    "MODEL.RPN.BBOX_REG_LOSS_WEIGHT",
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT",
)


def _sort_rest(theirs: dict[str, Any], taken: set[str], converted: Converted) -> None:
    """Everything that was not taken over, with its reason."""
    for key, value in theirs.items():
        if key in taken:
            continue
        reason = _reason(key)
        if key == "MODEL.FPN.IN_FEATURES" and value != theirs.get("MODEL.VIT.OUT_FEATURES", value):
            converted.conflicts.append((key, value, "always MODEL.VIT.OUT_FEATURES here"))
        elif key in ONLY:
            if value != ONLY[key]:
                converted.conflicts.append((key, value, f"always {ONLY[key]!r} here"))
        else:
            converted.left_out.append((key, value, reason or "not known here"))
    for key, default in OTHER_DEFAULTS.items():
        if key not in theirs:
            converted.silent_conflicts.append((key, default, f"always {ONLY[key]!r} here"))
    for key in ("DATASETS.TRAIN", "DATASETS.TEST"):
        names = theirs.get(key, [])
        if isinstance(names, list) and len(names) > 1:
            converted.left_out = [left for left in converted.left_out if left[0] != key]
            if key.endswith("TRAIN"):
                why = f"name your {len(names)} sets as a list of sections in data.train"
                converted.changed.append((key, names, why))
            else:
                why = "one set is evaluated here: name it in data.val"
                converted.conflicts.append((key, names, why))
    sampler = theirs.get("DATALOADER.SAMPLER_TRAIN", _SAMPLERS[0])
    if sampler not in _SAMPLERS:
        converted.left_out = [left for left in converted.left_out if left[1] != sampler]
        why = f"one of {', '.join(_SAMPLERS)} here"
        converted.conflicts.append(("DATALOADER.SAMPLER_TRAIN", sampler, why))


def _remark(theirs: dict[str, Any], converted: Converted) -> None:
    """What was taken over, but not word for word."""
    if theirs.get("SEED", 0) < 0:
        why = f"runs differ there; here each has seed {_DEFAULT['seed']}: set seed=N for another"
        converted.changed.append(("SEED", theirs["SEED"], why))
    ours = {theirs: ours for ours, theirs in DETECTRON2_KEYS.items()} | {"AUG.DETR": "input.flip"}
    for key, value in KEPT.items():
        if key not in theirs:
            why = f"{ours[key]} stays {_short(_DEFAULT[ours[key]])}, as the example has it"
            if key == "MODEL.ROI_HEADS.NUM_CLASSES":
                why = "model.num_classes is left to the annotations"
            converted.silent.append((key, value, why))
    accumulate = _accumulate(theirs)
    if accumulate > 1:
        why = (
            f"steps here are optimizer steps: iterations are divided by {accumulate}, and "
            "solver.batch_size counts the pages of a whole step"
        )
        converted.changed.append(("SOLVER.GRADIENT_ACCUMULATION_STEPS", accumulate, why))
    if converted.values.get("text", {}).get("selection") == "first":
        why = "text.selection=first is set; the other text.* and fusion.* settings are yours to set"
        converted.changed.append(("MODEL.IMAGE_ONLY", False, why))
    solver = converted.values["solver"]
    if solver["warmup_steps"] >= solver["steps"]:
        solver["allow_long_warmup"] = True
        why = "as long as the run: the peak lr is never reached; solver.allow_long_warmup is set"
        converted.changed.append(("SOLVER.WARMUP_ITERS", solver["warmup_steps"], why))


def to_detectron2_yaml(config: Config) -> str:
    """The yaml of the LayoutLMv3 example that says what a config of ours says.

    Settings that detectron2 has no name for (text, fusion, relation) are not in it.
    """
    values = dict(flatten(to_dict(config)))
    theirs: dict[str, Any] = {"VERSION": 2}
    for key, value in ONLY.items():
        _put(theirs, key, value)
    backbone = config.backbone
    for ours, key in DETECTRON2_KEYS.items():
        if ours in _BY_HAND or ours in ("output_dir", "model.weights", "backbone.out_indices"):
            continue
        value = _WRITE[ours](config) if ours in _WRITE else values[ours]
        if value is not None:
            _put(theirs, key, value)
    layers = [f"layer{number}" for number in backbone.out_indices]
    size = "large" if backbone.hidden_size == LARGE["hidden_size"] else "base"
    _put(theirs, "MODEL.VIT.NAME", f"layoutlmv3_{size}")
    _put(theirs, "MODEL.VIT.OUT_FEATURES", layers)
    _put(theirs, "MODEL.FPN.IN_FEATURES", list(layers))
    _put(theirs, "MODEL.WEIGHTS", "")
    _put(theirs, "SOLVER.CLIP_GRADIENTS.ENABLED", config.solver.max_grad_norm > 0)
    # The example's own mapper neither flips nor crops; detectron2's flips half of the pages.
    _put(theirs, "AUG.DETR", config.input.flip == 0)
    _put(theirs, "INPUT.RANDOM_FLIP", "horizontal" if config.input.flip else "none")
    weights = config.solver.loss_weights
    rpn = weights.get("loss_rpn_cls", 1.0)
    _put(theirs, "MODEL.RPN.LOSS_WEIGHT", rpn)
    loc = weights.get("loss_rpn_loc", 1.0)
    _put(theirs, "MODEL.RPN.BBOX_REG_LOSS_WEIGHT", loc / rpn if rpn else 1.0)
    box = weights.get("loss_box_reg_stage0", 1.0)
    _put(theirs, "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT", box)
    augment = config.test.augment
    _put(theirs, "TEST.AUG.ENABLED", bool(augment.sizes or augment.flip))
    if augment.sizes or augment.flip:
        _put(theirs, "TEST.AUG.MIN_SIZES", augment.sizes or [config.input.min_size_test])
        _put(theirs, "TEST.AUG.MAX_SIZE", augment.max_size or config.input.max_size_test)
        _put(theirs, "TEST.AUG.FLIP", augment.flip)
    _put(theirs, "DATALOADER.SAMPLER_TRAIN", _SAMPLERS[config.data.repeat_threshold > 0])
    return yaml.safe_dump(theirs, sort_keys=True, default_flow_style=None)


def _as_it_is(value: Any, theirs: dict[str, Any]) -> Any:
    return value


def _divided(value: Any, theirs: dict[str, Any]) -> int:
    return max(int(value > 0), int(value) // _accumulate(theirs))


def _accumulate(theirs: dict[str, Any]) -> int:
    return max(1, int(theirs.get("SOLVER.GRADIENT_ACCUMULATION_STEPS", 1)))


def _clip(value: Any, theirs: dict[str, Any]) -> float:
    key = "SOLVER.CLIP_GRADIENTS.ENABLED"
    return float(value) if theirs.get(key, DEFAULTS[key]) else 0.0


def _clip_type(value: Any, theirs: dict[str, Any]) -> str | None:
    if value not in _CLIP_TYPES:
        raise ValueError(f"known: {', '.join(_CLIP_TYPES)}")
    key = "SOLVER.CLIP_GRADIENTS.ENABLED"
    return _CLIP_TYPES[value] if theirs.get(key, DEFAULTS[key]) else None


def _schedule(value: Any, theirs: dict[str, Any]) -> str:
    if value not in _SCHEDULES:
        raise ValueError(f"known: {', '.join(_SCHEDULES)}")
    return _SCHEDULES[value]


def _milestones(value: Any, theirs: dict[str, Any]) -> list[int] | None:
    name = theirs.get("SOLVER.LR_SCHEDULER_NAME", DEFAULTS["SOLVER.LR_SCHEDULER_NAME"])
    if name != "WarmupMultiStepLR":
        return None
    return [int(step) // _accumulate(theirs) for step in value]


_LEVELS = 5


def _levels(value: Any) -> list[list[Any]]:
    """A list for each of the five levels; one list counts for all of them."""
    if len(value) not in (1, _LEVELS):
        raise ValueError(f"one list, or one for each of the {_LEVELS} levels, is needed")
    return [list(level) for level in value] * (_LEVELS // len(value))


def _sizes(value: Any, theirs: dict[str, Any]) -> list[int] | list[list[int]]:
    levels = _levels(value)
    if any(size != int(size) for level in levels for size in level):
        raise ValueError("sizes are whole pixels here")
    sizes = [[int(size) for size in level] for level in levels]
    return [level[0] for level in sizes] if all(len(s) == 1 for s in sizes) else sizes


def _ratios(value: Any, theirs: dict[str, Any]) -> list[float] | list[list[float]]:
    levels = [[float(ratio) for ratio in level] for level in _levels(value)]
    return levels[0] if all(level == levels[0] for level in levels) else levels


def _floats(value: Any, theirs: dict[str, Any]) -> Any:
    return [_floats(v, theirs) for v in value] if isinstance(value, list) else float(value)


_DEFAULT = dict(flatten(to_dict(Config())))
"""Our own defaults."""

_READ: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "output_dir": lambda value, _: value or None,
    "seed": lambda value, _: value if value >= 0 else None,
    "data.keep_empty": lambda value, _: not value,
    "data.repeat_threshold": lambda value, theirs: (
        float(value) if theirs.get("DATALOADER.SAMPLER_TRAIN") == _SAMPLERS[1] else None
    ),
    "input.min_size_train": lambda value, _: value if isinstance(value, list) else [value],
    "input.pixel_mean": _floats,
    "input.pixel_std": _floats,
    "model.weights": lambda value, _: value or None,
    "backbone.out_indices": lambda value, _: [
        int(str(name).removeprefix("layer")) for name in value
    ],
    "rpn.anchor_sizes": _sizes,
    "rpn.aspect_ratios": _ratios,
    "rpn.negative_iou": lambda value, _: float(value[0]),
    "rpn.positive_iou": lambda value, _: float(value[1]),
    "rpn.box_weights": _floats,
    "rpn.smooth_l1_beta": _floats,
    "roi.iou_thresholds": _floats,
    "roi.box_weights": _floats,
    "roi.smooth_l1_beta": _floats,
    "text.selection": lambda value, _: "none" if value else "first",
    "solver.batch_size": lambda value, theirs: int(value) * _accumulate(theirs),
    "solver.lr": _floats,
    "solver.schedule": _schedule,
    "solver.milestones": _milestones,
    "solver.max_grad_norm": _clip,
    "solver.clip_type": _clip_type,
    "precision": lambda value, _: "auto" if value else "fp32",
    **dict.fromkeys(_PER_ITERATION, _divided),
}
"""How a value of theirs becomes ours, where it is not the same; None leaves our default."""

_WRITE: dict[str, Callable[[Config], Any]] = {
    "data.keep_empty": lambda c: not c.data.keep_empty,
    "rpn.anchor_sizes": lambda c: [
        list(size) if isinstance(size, list) else [size] for size in c.rpn.anchor_sizes
    ],
    "rpn.aspect_ratios": lambda c: (
        [list(level) for level in c.rpn.aspect_ratios]
        if isinstance(c.rpn.aspect_ratios[0], list)
        else [list(c.rpn.aspect_ratios)]
    ),
    "rpn.negative_iou": lambda c: [c.rpn.negative_iou, c.rpn.positive_iou],
    "rpn.positive_iou": lambda c: [c.rpn.negative_iou, c.rpn.positive_iou],
    "text.selection": lambda c: c.text.selection == "none",
    "solver.batch_size": lambda c: max(1, c.solver.batch_size // c.solver.grad_accum_steps),
    "solver.schedule": lambda c: (
        "WarmupMultiStepLR" if c.solver.schedule == "multistep" else "WarmupCosineLR"
    ),
    "solver.max_grad_norm": lambda c: c.solver.max_grad_norm or 1.0,
    "solver.clip_type": lambda c: {v: k for k, v in _CLIP_TYPES.items()}[c.solver.clip_type],
    "precision": lambda c: c.precision != "fp32",
    "solver.steps": lambda c: c.solver.steps * c.solver.grad_accum_steps,
    "solver.warmup_steps": lambda c: c.solver.warmup_steps * c.solver.grad_accum_steps,
    "solver.evaluate_every": lambda c: c.solver.evaluate_every * c.solver.grad_accum_steps,
    "solver.checkpoint_every": lambda c: c.solver.checkpoint_every * c.solver.grad_accum_steps,
    "solver.milestones": lambda c: [m * c.solver.grad_accum_steps for m in c.solver.milestones],
}
"""How a value of ours becomes theirs, where it is not the same."""


def _reason(key: str) -> str | None:
    """Why a key of theirs is left out, by its longest known beginning."""
    found = [p for p in NOT_TAKEN if key == p or key.startswith((p + ".", p + "_"))]
    return NOT_TAKEN[max(found, key=len)] if found else None


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[leaf] = value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def to_short_yaml(values: dict[str, Any], source: str) -> str:
    """Those of the nested values that differ from our defaults, as a config file."""
    defaults = dict(flatten(to_dict(Config())))
    differing: dict[str, Any] = {}
    for key, value in flatten(to_dict(from_dict(values, source))):
        if value != defaults[key]:
            _put(differing, key, value)
    body = to_yaml_text(differing, default_flow_style=None)
    return f"# Converted from {source}. What is not here has the default.\n{body}"
