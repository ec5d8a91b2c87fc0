"""How pages are predicted on, and with which detector: what Python, the command line, the batch
job and the server take alike."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmv3det.data.images import PDF_DPI
from lmv3det.errors import InputError
from lmv3det.inference.selection import check_count, check_fraction


@dataclass(frozen=True)
class PredictOptions:
    """How pages become detections.

    Attributes:
        ocr: the pages' text lines, for a model that reads text (others ignore it). `layer` takes
            the text layer of PDF pages, and other pages without text; `none` takes all pages
            without text; `auto` takes the text layer where there is one, and an engine for the
            rest; the name of an engine, or an `Engine`, reads all pages (see `lmv3det.ocr`); a
            folder holds OCR files; an `OcrPage`, or a list of them, is one a page, in order. None
            is `layer` for a model that was trained on pages without text too (`text.page_dropout`
            above 0), else `auto`.
        ocr_options: of the engine that `ocr` names.
        score_threshold: detections at or below are dropped; None takes the config's.
        thresholds: a number for all classes, a mapping from class names (other classes have
            `score_threshold`), or `best`: those that an evaluation kept in the checkpoint.
        max_overlap: of two regions of different classes that overlap by more than this IoU the
            one with the lower score is dropped, so that no region is of two classes; None keeps
            both.
        drop_nested: drop regions that lie within another one.
        masks: find masks too; without them it is faster. None finds them where the model has a
            mask head, but `predict_files` writes none.
        batch_size: pages a batch; None takes the config's. Only pages whose padded input is of the
            same size are batched, so that a result does not depend on its neighbours.
        dpi: resolution at which PDF pages are drawn.
        password: of encrypted PDF files.

    Raises:
        InputError: a value out of range.
    """

    ocr: Any = None
    ocr_options: Mapping[str, Any] = field(default_factory=dict)
    score_threshold: float | None = None
    thresholds: Any = None
    max_overlap: float | None = None
    drop_nested: bool = False
    masks: bool | None = None
    batch_size: int | None = None
    dpi: int = PDF_DPI
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("score_threshold", "max_overlap"):
            if getattr(self, name) is not None:
                check_fraction(getattr(self, name), name)
        if self.batch_size is not None:
            check_count(self.batch_size, "batch_size")
        check_count(self.dpi, "dpi")

    def settings(self) -> dict[str, Any]:
        """Those that a result depends on, as JSON can hold them."""
        free = ("batch_size", "password")
        values = {key: value for key, value in vars(self).items() if key not in free}
        if self.ocr is not None:
            values["ocr"] = str(self.ocr)
        values["ocr_options"] = dict(self.ocr_options)
        if isinstance(self.thresholds, Mapping):
            values["thresholds"] = dict(self.thresholds)
        return values


@dataclass(frozen=True)
class DetectorOptions:
    """Which detector is loaded, and how: `Detector.of_options` loads it.

    Attributes:
        ckpt: a checkpoint or the folder of a model; None: the model that comes with the package.
        device: auto, cpu, cuda, cuda:N or mps.
        overrides: settings, such as `["input.min_size_test=640"]`.
        trust_code: import the classes (`module:Class`) that the checkpoint names.
    """

    ckpt: str | os.PathLike | None = None
    device: str = "auto"
    overrides: Sequence[str] = ()
    trust_code: bool = False

    def settings(self) -> dict[str, Any]:
        """What a result depends on: the checkpoint's content and the settings.

        Raises:
            InputError: there is no such checkpoint.
        """
        return {"checkpoint": self.fingerprint(), "overrides": list(self.overrides)}

    def fingerprint(self) -> str:
        """What tells the checkpoint from another one, or from what it was before more training.

        Raises:
            InputError: there is no such checkpoint.
        """
        if self.ckpt is None:
            return "the bundled model"
        path = Path(self.ckpt)
        weights = path / "model.safetensors" if path.is_dir() else path
        if not weights.exists():
            raise InputError(f"{self.ckpt}: no such checkpoint")
        facts = weights.stat()
        return f"{path.resolve()} of {facts.st_size} bytes, changed at {facts.st_mtime:.0f}"
