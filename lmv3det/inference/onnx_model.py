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
import torch

from lmv3det.checkpoint.file import Checkpoint, checked_config
from lmv3det.checkpoint.untrusted import check_fields
from lmv3det.config import flatten, to_dict, to_yaml, with_overrides
from lmv3det.config.yaml_text import parse_yaml
from lmv3det.data.categories import Category
from lmv3det.errors import InputError
from lmv3det.structures import Batch, Detections

if TYPE_CHECKING:
    import onnxruntime

VERSION = 1
PREFIX = "lmv3det."
"""Of the keys in `metadata_props`: version, config, categories, thresholds, tokenizer/FILE."""
FREE_SETTINGS = ("input.min_size_test", "input.max_size_test", "test.batch_size", "data.workers",
                 "device")  # fmt: skip
"""What can be set when the file is read; all other settings of the detector are in its graph."""


class OnnxModel:
    """Predicts as `LayoutDetector.predict` does, by onnxruntime, on the CPU, page by page.

    Args:
        session: of a file that `lmv3det export` wrote.
        score_threshold: that of the file, below which it finds nothing.
        pad_token_id: fills the one masked token of a page without text.
    """

    mask_head = None

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        score_threshold: float,
        pad_token_id: int = 1,
    ) -> None:
        self.session = session
        self.score_threshold, self.pad_token_id = score_threshold, pad_token_id
        self.inputs = {value.name: len(value.shape) for value in session.get_inputs()}

    def predict(
        self, batch: Batch, score_threshold: float | None = None, with_masks: bool = True
    ) -> list[Detections]:
        """Detections of each page, boxes in pixels of the network input.

        Args:
            batch: the pages, normalised.
            score_threshold: detections at or below are dropped; None takes the file's.
            with_masks: changes nothing, as these files find no masks.

        Raises:
            InputError: a threshold below the file's.
        """
        threshold = self.score_threshold if score_threshold is None else score_threshold
        if threshold < self.score_threshold:
            raise InputError(
                f"the score threshold is {threshold:g}, but the ONNX file was exported with "
                f"{self.score_threshold:g}; export it with test.score_threshold={threshold:g}"
            )
        return [self._page(batch, number, threshold) for number in range(len(batch))]

    def _page(self, batch: Batch, number: int, threshold: float) -> Detections:
        arrays = page_inputs(batch, number, self.inputs, self.pad_token_id)
        boxes, scores, classes = map(torch.from_numpy, self.session.run(None, arrays))
        found = Detections(boxes, scores, classes, batch.image_sizes[number])
        return found[scores > threshold]


def page_inputs(
    batch: Batch, number: int, inputs: Mapping[str, int], pad_token_id: int
) -> dict[str, np.ndarray]:
    """The arrays of a page of a batch, by the names of the graph's arguments.

    Args:
        batch: the pages, normalised.
        number: of the page.
        inputs: name → number of dimensions, of what the graph takes.
        pad_token_id: fills the one masked token of a page without text.
    """
    arrays = {
        "images": batch.images[number : number + 1].float().numpy(),
        "image_size": np.array(batch.image_sizes[number], dtype=np.int64),
    }
    if "input_ids" not in inputs:
        return arrays
    ids, boxes, mask = batch.input_ids, batch.text_boxes, batch.text_mask
    if ids is None or boxes is None:
        ids, boxes = torch.zeros(len(batch), 0, dtype=torch.int64), torch.zeros(len(batch), 0, 4)
    real = torch.ones(boxes.shape[1], dtype=torch.bool) if mask is None else mask[number]
    ids, boxes = ids[number][real], boxes[number][real]
    if len(boxes) == 0:
        ids = torch.full([1] * (inputs["input_ids"] - 1), pad_token_id)
        boxes, real = torch.zeros(1, 4), torch.zeros(1, dtype=torch.bool)
    else:
        real = torch.ones(len(boxes), dtype=torch.bool)
    arrays["input_ids"] = ids.long()[None].numpy()
    arrays["text_boxes"] = boxes.long()[None].numpy()
    arrays["text_mask"] = real[None].numpy()
    return arrays


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
                'pip install -e ".[export]" in the folder of lmv3det'
            )


def open_session(
    path: str | os.PathLike, threads: int | None = None
) -> onnxruntime.InferenceSession:
    """A session on the CPU.

    Args:
        path: the ONNX file.
        threads: None: as many as torch takes (`OMP_NUM_THREADS`, `torch.set_num_threads`).

    Raises:
        InputError: no such file, not ONNX, or onnxruntime is not installed.
    """
    require_packages("onnxruntime")
    import onnxruntime

    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
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


def load_onnx(
    path: str | os.PathLike, overrides: Sequence[str] = (), threads: int | None = None
) -> tuple[OnnxModel, Checkpoint]:
    """The model of a file that `lmv3det export` wrote, and what the file says about it.

    Args:
        path: the file.
        overrides: `key=value` settings, of `FREE_SETTINGS`.
        threads: as in `open_session`.

    Returns:
        The model, and a checkpoint without weights.

    Raises:
        InputError: a file that cannot be read or is not ours; a setting that is wrong or that the
            graph holds.
    """
    session = open_session(path, threads)
    stored = session.get_modelmeta().custom_metadata_map
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
    content["tokenizer_files"] = {
        name.removeprefix("tokenizer/"): torch.tensor(list(text.encode()), dtype=torch.uint8)
        for name, text in own.items()
        if name.startswith("tokenizer/")
    }
    check_fields(content, path)
    # Classes that the config names are in the graph: nothing is imported.
    config = checked_config(values, f"{path} (its config)", trust_code=True)
    if overrides:
        config = _override(config, overrides, path)
    checkpoint = Checkpoint(
        {},
        config,
        [Category(entry["id"], entry["name"]) for entry in content["categories"]],
        content["tokenizer_files"],
        thresholds=content["thresholds"],
    )
    model = OnnxModel(session, config.test.score_threshold, config.backbone.pad_token_id)
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
