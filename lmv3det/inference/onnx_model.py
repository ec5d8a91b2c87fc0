"""A detector that onnxruntime runs: what `lmv3det export` wrote, in the place of the model.

The file describes itself: its `metadata_props` hold the format's version, the config (yaml), the
classes, the score thresholds that an evaluation found best, and the tokenizer's files.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.checkpoint.file import Checkpoint, checked_config
from lmv3det.checkpoint.untrusted import check_fields
from lmv3det.config import flatten, to_dict, to_yaml, with_overrides
from lmv3det.config.yaml_text import parse_yaml
from lmv3det.data.categories import Category
from lmv3det.errors import InputError, install_extra
from lmv3det.structures import Detections, Sample

if TYPE_CHECKING:
    import onnxruntime

    from lmv3det.config import Config
    from lmv3det.text.tokenization import PageTokenizer

VERSION = 1
PREFIX = "lmv3det."
"""Of the keys in `metadata_props`: version, config, categories, thresholds, tokenizer/FILE."""
FREE_SETTINGS = ("input.min_size_test", "input.max_size_test", "test.batch_size",
                 "test.augment.sizes", "test.augment.max_size", "test.augment.flip",
                 "test.fit_to_text", "data.workers", "device")  # fmt: skip
"""What can be set when the file is read; all other settings of the detector are in its graph."""


class OnnxModel:
    """Finds as `LayoutDetector.predict` does, by onnxruntime, on the CPU, page by page.

    Args:
        session: of a file that `lmv3det export` wrote.
        score_threshold: that of the file, below which it finds nothing.
        classes: how many it names.
    """

    mask_head = None

    def __init__(
        self, session: onnxruntime.InferenceSession, score_threshold: float, classes: int
    ) -> None:
        self.session, self.score_threshold, self.classes = session, score_threshold, classes
        self.inputs = {value.name: len(value.shape) for value in session.get_inputs()}

    def find(
        self, arrays: Mapping[str, np.ndarray], score_threshold: float | None = None
    ) -> Detections:
        """The detections of a page: arrays, boxes in pixels of the network input.

        Args:
            arrays: of `sample_arrays`.
            score_threshold: detections at or below are dropped; None takes the file's.

        Raises:
            InputError: a threshold below the file's.
        """
        threshold = self.score_threshold if score_threshold is None else score_threshold
        if threshold < self.score_threshold:
            raise InputError(
                f"the score threshold is {threshold:g}, but the ONNX file was exported with "
                f"{self.score_threshold:g}; export it with test.score_threshold={threshold:g}"
            )
        boxes, scores, classes = self._run(arrays)
        height, width = arrays["image_size"].tolist()
        found = Detections(boxes, scores, classes, (height, width))  # type: ignore[arg-type]
        return found[scores > np.float32(threshold)]

    def _run(self, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Boxes N×4, scores N and classes N, of the types that `lmv3det export` gives them."""
        try:
            found = self.session.run(None, dict(arrays))
        except Exception as error:  # as in `open_session`
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"onnxruntime cannot run the ONNX file ({reason})") from None
        number = len(found[0]) if np.ndim(found[0]) else 0
        wanted = [((number, 4), np.float32), ((number,), np.float32), ((number,), np.int64)]
        given = [(np.shape(value), np.asarray(value).dtype) for value in found]
        if given != wanted or not all(np.isfinite(value).all() for value in found[:2]):
            raise InputError("the ONNX file gives no boxes, scores and classes; export it again")
        if number and not 0 <= found[2].min() <= found[2].max() < self.classes:
            raise InputError(
                f"the ONNX file finds class {found[2].max()}, but names {self.classes}; "
                "export it again"
            )
        return found


def sample_arrays(
    sample: Sample, config: Config, tokenizer: PageTokenizer | None
) -> dict[str, np.ndarray]:
    """The arrays of a resized page, by the names of the graph's arguments (see docs/export.md).

    Args:
        sample: the page, resized, with its text lines.
        config: `input` and `backbone.pad_token_id` are read.
        tokenizer: makes tokens of the lines; None for a model without text.
    """
    given = config.input
    height, width = sample.image.shape[:2]
    step = given.size_divisibility
    images = np.zeros((1, 3, -(-height // step) * step, -(-width // step) * step), np.float32)
    mean, std = (np.array(values, np.float32) for values in (given.pixel_mean, given.pixel_std))
    images[0, :, :height, :width] = ((sample.image - mean) / std).transpose(2, 0, 1)
    arrays = {"images": images, "image_size": np.array([height, width], dtype=np.int64)}
    if tokenizer is not None:
        tokens = tokenizer(sample.lines, sample.line_boxes, (height, width))
        pad = config.backbone.pad_token_id
        sentences = tokenizer.selection == "sentence"
        arrays |= token_arrays(tokens.ids, tokens.boxes, pad, sentences)
    return arrays


def token_arrays(
    ids: np.ndarray, boxes: np.ndarray, pad_token_id: int, sentences: bool
) -> dict[str, np.ndarray]:
    """The graph's arguments of a page's tokens.

    Args:
        ids: T, or T×K with `sentences`, int64; T may be 0.
        boxes: T×4 int64.
        pad_token_id: fills the one masked token of a page without text.
        sentences: a token is a whole line.
    """
    mask = np.ones(len(boxes), dtype=bool)
    if not len(boxes):
        ids = np.full((1, 1) if sentences else 1, pad_token_id)
        boxes, mask = np.zeros((1, 4)), np.zeros(1, dtype=bool)
    return {
        "input_ids": ids[None].astype(np.int64),
        "text_boxes": boxes[None].astype(np.int64),
        "text_mask": mask[None],
    }


def metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """What the file says about itself, by key.

    Raises:
        InputError: a tokenizer file that is no text.
    """
    names = [{"id": c.id, "name": c.name} for c in checkpoint.categories]
    found = {
        "version": str(VERSION),
        "config": to_yaml(checkpoint.config),
        "categories": json.dumps(names, ensure_ascii=False),
        "thresholds": json.dumps(checkpoint.thresholds, ensure_ascii=False),
    }
    for name, content in checkpoint.tokenizer_files.items():
        try:
            found[f"tokenizer/{name}"] = content.numpy().tobytes().decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(
                f"the tokenizer's file {name} is not UTF-8 text, which an ONNX file cannot carry; "
                "save the tokenizer as tokenizer.json"
            ) from None
    return {PREFIX + key: value for key, value in found.items()}


def require_packages(*names: str) -> None:
    """Make sure that packages of the extra `export` are installed.

    Raises:
        InputError: one is not.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"ONNX files need the package {name}, which is not installed: "
                f"{install_extra('export')}"
            )


def open_session(
    path: str | os.PathLike, threads: int | None = None
) -> onnxruntime.InferenceSession:
    """A session on the CPU.

    Args:
        path: the ONNX file.
        threads: None: `OMP_NUM_THREADS`, or as many as this process has cores.

    Raises:
        InputError: no such file, not ONNX, or onnxruntime is not installed.
    """
    require_packages("onnxruntime")
    import onnxruntime

    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _default_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            os.fspath(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has a class for each status, none of them public
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: onnxruntime cannot read it ({reason}); export or copy it again"
        ) from None


def _default_threads() -> int:
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def load_onnx(
    path: str | os.PathLike, overrides: Sequence[str] = (), threads: int | None = None
) -> tuple[OnnxModel, Checkpoint]:
    """The model of a file that `lmv3det export` wrote, and what the file says about it.

    Args:
        path: the file.
        overrides: `key=value` settings, of `FREE_SETTINGS`.
        threads: as in `open_session`.

    Returns:
        The model, and a checkpoint without weights, its tokenizer's files as arrays.

    Raises:
        InputError: a file that cannot be read or is not ours; a setting that is wrong or that the
            graph holds.
    """
    session = open_session(path, threads)
    try:
        stored = session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: what it says about itself is damaged ({error})") from None
    own = {k.removeprefix(PREFIX): v for k, v in stored.items() if k.startswith(PREFIX)}
    if not {"version", "config", "categories"} <= set(own):
        raise InputError(f"{path}: an ONNX file, but not one that lmv3det export wrote")
    if own["version"] != str(VERSION):
        raise InputError(
            f"{path}: its format is {own['version'][:20]}, this lmv3det reads {VERSION}; "
            "upgrade lmv3det or export it again"
        )
    content: dict[str, Any] = {"step": 0}
    try:
        content["categories"] = json.loads(own["categories"])
        content["thresholds"] = json.loads(own.get("thresholds", "{}"))
        values = parse_yaml(own["config"])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: what it says about itself is damaged ({error})") from None
    check_fields(content, path)
    tokenizer: dict[str, Any] = {
        name.removeprefix("tokenizer/"): np.frombuffer(text.encode(), dtype=np.uint8)
        for name, text in own.items()
        if name.startswith("tokenizer/")
    }
    # Classes that the config names are in the graph: nothing is imported.
    config = checked_config(values, f"{path} (its config)", trust_code=True)
    if overrides:
        config = _override(config, overrides, path)
    checkpoint = Checkpoint(
        {},
        config,
        [Category(entry["id"], entry["name"]) for entry in content["categories"]],
        tokenizer,
        thresholds=content["thresholds"],
    )
    score, classes = config.test.score_threshold, len(checkpoint.categories)
    try:
        model = OnnxModel(session, score, classes)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the names of its inputs are damaged ({error})") from None
    wanted = {"images", "image_size"}
    if config.text.selection != "none":
        wanted |= {"input_ids", "text_boxes", "text_mask"}
    if set(model.inputs) != wanted:
        raise InputError(
            f"{path}: its inputs are {', '.join(model.inputs)}, but its config takes "
            f"{', '.join(sorted(wanted))}; the file is damaged"
        )
    return model, checkpoint


def _override(config: Any, overrides: Sequence[str], path: str | os.PathLike) -> Any:
    changed = with_overrides(to_dict(config), overrides, str(path))
    before = dict(flatten(to_dict(config)))
    for key, value in flatten(to_dict(changed)):
        if before.get(key) == value or key in FREE_SETTINGS:
            continue
        raise InputError(
            f"{path}: {key}={value} cannot be set, because it is part of the exported graph; "
            f"export the checkpoint with it, or set one of {', '.join(FREE_SETTINGS)}"
        )
    return changed
