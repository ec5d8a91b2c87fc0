"""Weights of any known format to any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmv3det.checkpoint.file import Checkpoint, save_checkpoint, write_torch
from lmv3det.checkpoint.folder import new_folder, save_huggingface, save_pretrained
from lmv3det.config import Config, from_dict, lay_over, merge, read_yaml, to_dict
from lmv3det.config.detectron2_yaml import convert_config, to_detectron2_yaml
from lmv3det.convert import parameter_names as names
from lmv3det.convert.fit import fit_weights, settings_in_config
from lmv3det.convert.infer import backbone_settings, infer_config
from lmv3det.convert.report import LoadReport
from lmv3det.convert.sources import SETTINGS, Source
from lmv3det.data.categories import Category, name_rest, read_categories
from lmv3det.data.issues import DataReport
from lmv3det.errors import InputError
from lmv3det.files import read_json, write_json
from lmv3det.model.detector import build_detector
from lmv3det.text.tokenization import build_page_tokenizer

_SIZES = ("backbone", "neck", "roi", "mask")


def to_checkpoint(
    source: Source,
    *,
    yaml_file: Path | None = None,
    config_file: Path | None = None,
    overrides: Sequence[str] = (),
    categories: Sequence[Category] | None = None,
    allow_missing: bool = False,
    allow_unexpected: bool = False,
    seed: int = 42,
) -> tuple[Checkpoint, LoadReport]:
    """A checkpoint of ours from any source.

    Args:
        source: as `read_source` gives.
        yaml_file: the detectron2 yaml of the source: thresholds, sizes, recipe. None: the one
            beside the weights, where the source is a folder.
        config_file: a config of ours, whose settings replace its.
        overrides: `key=value`, which replace those of both.
        categories: the classes in order; needed where the source does not know them.
        allow_missing: let what is missing or of a wrong shape start anew.
        allow_unexpected: let what has no place go.
        seed: of what starts anew.

    Raises:
        InputError: the class names are missing or too many, settings contradict the weights, or
            something is left over that is not allowed.
    """
    given: dict[str, Any] = {}
    notes: list[str] = []
    if yaml_file is None and source.yaml is not None:
        yaml_file = source.yaml
        notes.append(f"the settings are those of {yaml_file} (--yaml FILE names another file)")
    if yaml_file is not None:
        given, more = _from_yaml(yaml_file)
        notes += more
    for values in (read_yaml(config_file) if config_file else {}, lay_over({}, overrides)):
        given = merge(given, values)
    given.get("model", {}).pop("weights", None)
    old = source.checkpoint
    if old is not None and not given and categories is None:
        return old, LoadReport(source=source.description, loaded=sorted(old.weights))
    if categories is None and old is not None:
        categories = old.categories
    values, assumed_notes = _settings(source, given, categories)
    config = from_dict(values, f"{source.description} with the settings given")
    if categories is None:
        raise InputError(
            f"{source.description} does not name its {config.model.num_classes} classes: give "
            "--classes A,B,C in the order of the class indices, or --annotations FILE"
        )
    number = config.model.num_classes or len(categories)
    if number != len(categories):
        listed = ", ".join(c.name for c in categories)
        told = f"{source.description} has {number} classes, but {len(categories)} are named"
        if yaml_file is None or number != len(categories) + 1:
            raise InputError(
                f"{told} ({listed}): name each, in the order of the class indices, without "
                "background"
            )
        categories = name_rest(categories, number)
        notes.append(f"{told}: the last one is called {categories[-1].name!r}")
    weights, report = _fitted(source, config, seed)
    report.notes = notes + assumed_notes + [n for n in report.notes if "name its" not in n]
    report.check(allow_missing, allow_unexpected)
    return Checkpoint(
        weights=weights,
        config=config,
        categories=list(categories),
        tokenizer_files=_tokenizer_files(config, given, old, report),
        step=old.step if old else 0,
    ), report


def _fitted(source: Source, config: Config, seed: int) -> tuple[dict[str, Tensor], LoadReport]:
    """`fit_weights` for a model of `config`, which is initialised only where something starts anew.

    Class names say here what the source's rows are called, so that rows stay where they are.
    """
    if source.kind == "detectron2":
        with torch.device("meta"):
            shapes = build_detector(config).state_dict()
        weights, report = fit_weights(shapes, source, config, complete=True)
        if not any(tensor.is_meta for tensor in weights.values()):
            return weights, report
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_detector(config)
    return fit_weights(model.state_dict(), source, config, complete=True)


def save_as(
    checkpoint: Checkpoint, to: str, out: Path, report: LoadReport, *, half: bool = False
) -> None:
    """Write a checkpoint in a format, whole or not at all.

    Args:
        checkpoint: what to write.
        to: lmv3det, pretrained, detectron2 or huggingface.
        out: the file or folder.
        report: gets notes on what the format has no place for.
        half: the folder `pretrained` in float16.

    Raises:
        InputError: there is something at `out` already, or the format has no place for the
            detector's encoder.
        OSError: it cannot be written.
    """
    kind = checkpoint.config.backbone.kind
    if kind != "layoutlmv3" and to in ("detectron2", "huggingface"):
        raise InputError(
            f"the encoder is {kind}, which {to} has no place for: only LayoutLMv3 is written as "
            "that; --to lmv3det and --to pretrained take any encoder"
        )
    if to == "lmv3det":
        save_checkpoint(out, checkpoint)
    elif to == "pretrained":
        save_pretrained(checkpoint, out, half=half)
    elif to == "detectron2":
        _save_detectron2(checkpoint, out, report)
    else:
        _save_encoder(checkpoint, out, report)


def read_classes(listed: str | None, annotations: Path | None) -> list[Category] | None:
    """Classes from `A,B,C` (ids 1, 2, 3) or a COCO file; None where neither is given.

    Raises:
        InputError: both are given, a name is empty or twice there, or the file cannot be read.
    """
    if listed is not None and annotations is not None:
        raise InputError("--classes and --annotations both name the classes; give one of them")
    if listed is not None:
        found = [name.strip() for name in listed.split(",")]
        if "" in found or len(set(found)) < len(found):
            raise InputError(f"--classes {listed!r}: each class needs a name of its own")
        return [Category(number, name) for number, name in enumerate(found, start=1)]
    if annotations is None:
        return None
    try:
        content = read_json(annotations)
    except InputError as error:
        raise InputError(f"--annotations {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("categories"), list):
        raise InputError(f"--annotations {annotations}: not a COCO file with categories")
    report = DataReport()
    categories = read_categories(content["categories"], annotations, report)
    if len(report):
        raise InputError(f"--annotations {annotations}: {report.summary()}")
    return categories


def _from_yaml(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Settings of a detectron2 yaml, and notes.

    Raises:
        InputError: it describes another model than this project builds.
    """
    converted = convert_config(path)
    wrong = [c for c in converted.conflicts if c[0].startswith(("MODEL.", "INPUT.FORMAT"))]
    if wrong:
        what = "; ".join(f"{key} is {value!r} ({why})" for key, value, why in wrong)
        raise InputError(f"{path}: of another kind of model: {what}")
    notes = [f"{key}: {value!r}: {why}" for key, value, why in converted.conflicts]
    notes += [f"{key}: {value!r}: {why}" for key, value, why in converted.changed]
    notes += [
        f"the yaml is silent about {key}; detectron2's default is {value!r}: {why}"
        for key, value, why in converted.silent + converted.silent_conflicts
    ]
    if converted.left_out:
        notes.append(f"lmv3det convert-config {path} lists what of it has no effect here")
    return converted.values, notes


def _settings(
    source: Source, given: Mapping[str, Any], categories: Sequence[Category] | None
) -> tuple[dict[str, Any], list[str]]:
    """All settings of the result, and notes on what was assumed.

    Raises:
        InputError: a size that is given is not that of the weights.
    """
    if source.checkpoint is not None:
        return merge(to_dict(source.checkpoint.config), dict(given)), []
    if source.kind == "huggingface":
        backbone = settings_in_config({**source.settings, **backbone_settings(source.weights)})
        values = merge({"backbone": backbone}, dict(given))
        if categories is not None:
            values.setdefault("model", {}).setdefault("num_classes", len(categories))
        elif "num_classes" not in values.get("model", {}):
            raise InputError(
                f"{source.description} is an encoder without detector: name the classes to "
                "find with --classes A,B,C or --annotations FILE"
            )
        return values, []
    proven, assumed, notes = infer_config(source.weights)
    sizes = {key: value for key, value in proven.items() if key in _SIZES}
    sizes["model"] = {"num_classes": proven["model"]["num_classes"]}
    for section, inner in sizes.items():
        for key, value in inner.items():
            stated = given.get(section, {}).get(key, value)
            if stated != value:
                raise InputError(
                    f"{source.description}: the weights have {section}.{key} {value}, the "
                    f"settings given say {stated}: they belong to different models"
                )
    values = merge(merge(merge(assumed, proven), dict(given)), sizes)
    keys = [note.split()[0].partition(".") for note in notes]
    notes = [
        note
        for note, (section, _, key) in zip(notes, keys, strict=True)
        if key not in given.get(section, {})
    ]
    if values.get("text", {}).get("selection") == "none" and "fusion" not in given:
        values.pop("fusion", None)
    return values, notes


def _tokenizer_files(
    config: Config, given: Mapping[str, Any], old: Checkpoint | None, report: LoadReport
) -> dict[str, Tensor]:
    """The files of the tokenizer that was named, or those of the old checkpoint."""
    if config.text.selection == "none":
        return {}
    if given.get("text", {}).get("tokenizer"):
        encoder = build_page_tokenizer(config)
        return encoder.files() if encoder is not None else {}
    if old is not None and old.tokenizer_files:
        return old.tokenizer_files
    report.notes.append("no tokenizer is kept with the weights: give text.tokenizer=DIR")
    return {}


def _save_detectron2(checkpoint: Checkpoint, out: Path, report: LoadReport) -> None:
    """FILE.pth, or a folder of model_final.pth, config.yaml and config.json."""
    extra = sorted({name.split(".")[0] + "." for name in checkpoint.weights if _is_extra(name)})
    if extra:
        report.notes.append(
            f"{', '.join(extra)}* has no place in the published detector; the names are assumed "
            "ones (docs/weights.md)"
        )
    content = {
        "model": names.to_detectron2(checkpoint.weights),
        "__author__": "lmv3det",
        "classes": [category.name for category in checkpoint.categories],
    }
    if out.suffix in (".pth", ".pt"):
        write_torch(out, content)
        return

    with new_folder(out) as draft:
        write_torch(draft / "model_final.pth", content)
        text = to_detectron2_yaml(checkpoint.config)
        (draft / "config.yaml").write_text(text, encoding="utf-8")
        write_json(draft / "config.json", huggingface_config(checkpoint))


def _is_extra(name: str) -> bool:
    return not name.startswith((*names.PUBLISHED, "mask_head."))


def _save_encoder(checkpoint: Checkpoint, out: Path, report: LoadReport) -> None:
    weights = {}
    for name, tensor in checkpoint.weights.items():
        inner = name.removeprefix("backbone.")
        theirs = names.huggingface_name(inner) if inner != name else None
        if theirs is None:
            report.left_out[name] = "not of the encoder"
        else:
            weights[theirs] = tensor
    report.loaded = [name for name in report.loaded if name not in report.left_out]
    save_huggingface(weights, huggingface_config(checkpoint), out)


def huggingface_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """The `config.json` of the encoder for `transformers.LayoutLMv3Model`."""
    backbone = checkpoint.config.backbone
    return {
        "architectures": ["LayoutLMv3Model"],
        "model_type": "layoutlmv3",
        **{theirs: getattr(backbone, ours) for ours, theirs in SETTINGS.items()},
        "hidden_act": "gelu",
        "has_relative_attention_bias": backbone.relative_bias,
        "has_spatial_attention_bias": backbone.spatial_bias,
        "text_embed": any(n.startswith("backbone.text_embedding.") for n in checkpoint.weights),
        "visual_embed": True,
    }
