"""A detector as a TorchScript file, for C++ programs and others that have torch but not lmv3det."""

from __future__ import annotations

import copy
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lmv3det.checkpoint.file import Checkpoint
from lmv3det.inference.export.graph import DetectorGraph
from lmv3det.inference.export.onnx_file import Exported, example_arrays, export_checked
from lmv3det.inference.onnx_model import metadata
from lmv3det.model.detector import LayoutDetector
from lmv3det.structures import Detections


def export_torchscript(
    source: str | os.PathLike,
    out: str | os.PathLike,
    overrides: Sequence[str] = (),
    *,
    pages: Sequence[str] = (),
    ocr: Any = None,
    trust_code: bool = False,
) -> Exported:
    """Write a detector as a TorchScript file for the CPU, and compare the two.

    Its extra files are what an ONNX file has as metadata. Arguments and errors are those of
    `export_onnx`.
    """
    return export_checked(
        write_script,
        Script,
        source,
        out,
        overrides,
        pages=pages,
        ocr=ocr,
        trust_code=trust_code,
    )


def write_script(model: LayoutDetector, checkpoint: Checkpoint, path: Path) -> None:
    """Trace the detector and write it with what describes it.

    Args:
        model: in evaluation mode, on the CPU; not changed.
        checkpoint: its config, classes and tokenizer.
        path: the file.
    """
    arrays = example_arrays(checkpoint)
    described = {
        **metadata(checkpoint),
        "lmv3det.pad_token_id": str(checkpoint.config.backbone.pad_token_id),
    }
    graph = DetectorGraph(copy.deepcopy(model)).eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of sizes that tracing fixes: the comparison tells
        arguments = tuple(map(torch.from_numpy, arrays.values()))
        script = torch.jit.trace(graph, arguments, check_trace=False)
        written = io.BytesIO()  # torch ends the process where a disk is full
        torch.jit.save(script, written, _extra_files=described)
    path.write_bytes(written.getbuffer())


class Script:
    """A TorchScript file that was read back.

    Args:
        path: of a file that `write_script` wrote.
    """

    def __init__(self, path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.module = torch.jit.load(os.fspath(path), "cpu")

    @torch.no_grad()
    def find(self, arrays: Mapping[str, np.ndarray]) -> Detections:
        """The detections of a page, as `OnnxModel.find`."""
        boxes, scores, classes = self.module(*map(torch.from_numpy, arrays.values()))
        height, width = arrays["image_size"].tolist()
        return Detections(boxes, scores, classes, (height, width))
