"""The Python interface: from pages to detections in their own pixels."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lmv3det.checkpoint.loading import checkpoint_page_tokenizer, load_detector
from lmv3det.data.transforms import TestTransform, TestViews, padded, views_at_test
from lmv3det.device import autocast, choose_device, choose_precision
from lmv3det.errors import InputError
from lmv3det.inference.default_model import default_model_folder
from lmv3det.inference.detections import PageDetections
from lmv3det.inference.fitting import fit_to_text
from lmv3det.inference.onnx_model import OnnxModel, load_onnx, sample_arrays
from lmv3det.inference.options import DetectorOptions, PredictOptions
from lmv3det.inference.results import in_page_pixels
from lmv3det.inference.samples import batches_of, page_samples
from lmv3det.inference.selection import Selection, check_count
from lmv3det.inference.text_source import choose_text, page_text
from lmv3det.inference.views import join_by
from lmv3det.text.ocr_json import OcrPage

if TYPE_CHECKING:
    import torch

    from lmv3det.checkpoint.file import Checkpoint
    from lmv3det.config import Config
    from lmv3det.data.categories import Category
    from lmv3det.data.loader import Collate
    from lmv3det.model.detector import LayoutDetector
    from lmv3det.structures import Detections, Sample
    from lmv3det.text.tokenization import PageTokenizer

MAX_HELD_BYTES = 1 << 30
"""Of the pages that wait for their batch; a larger page is a batch of its own."""

Failed = Callable[["Sample", Exception], None]


class Detector:
    """A trained detector with all that belongs to it.

    It is not changed by predicting, so that threads may share it (PDF files are read by one thread
    at a time: PDFium is not thread-safe).

    Args:
        model: in evaluation mode.
        config: sizes of the input, settings of the text and of the test, precision.
        categories: classes in the order of class indices.
        page_tokenizer: makes tokens of a page's lines; None for an image-only model.
        device: where `model` is.
        thresholds: class name → the score threshold that an evaluation found best.

    Attributes:
        names: class names by class index.
        precision: autocast's dtype, which the config's `precision` stands for; None for float32.
        uses_text: whether the model reads text.
    """

    def __init__(
        self,
        model: LayoutDetector | OnnxModel,
        config: Config,
        categories: Sequence[Category],
        page_tokenizer: PageTokenizer | None = None,
        device: torch.device | str = "cpu",
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self.model, self.config, self.device = model, config, device
        self.page_tokenizer = page_tokenizer
        self.names = [category.name for category in categories]
        self.thresholds = dict(thresholds or {})
        self.uses_text = page_tokenizer is not None
        self.precision = None
        if not isinstance(model, OnnxModel):
            self.precision = choose_precision(config.precision, device)
        self.views = views_at_test(config)
        self.transform = TestTransform(config.input.min_size_test, config.input.max_size_test)
        if self.views is not None:
            self.transform = self.views.transforms[0]

    @functools.cached_property
    def collate(self) -> Collate:
        """Makes the batches of a model of torch's."""
        from lmv3det.data.loader import Collate

        given = self.config.input
        return Collate(
            given.pixel_mean,
            given.pixel_std,
            given.size_divisibility,
            self.page_tokenizer,
            with_targets=False,
            with_polygons=False,
            pad_token_id=self.config.backbone.pad_token_id,
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike | None = None,
        device: str = "auto",
        overrides: Sequence[str] = (),
        *,
        trust_code: bool = False,
    ) -> Detector:
        """A detector from a checkpoint.

        Args:
            path: `.pth` of ours, a folder that `save_pretrained` wrote, or `.onnx` that
                `lmv3det export` wrote (CPU alone; few settings can be set); None takes the model
                that comes with the package.
            device: auto, cpu, cuda, cuda:N or mps.
            overrides: settings as on the command line, such as `["input.min_size_test=640"]` or
                `["precision=fp32"]`.
            trust_code: import the classes (`module:Class`) that its config names.

        Raises:
            InputError: a file that cannot be used or names code, a wrong setting, no such device.
        """
        if path is None:
            path = default_model_folder()
        if not isinstance(path, (str, os.PathLike)):
            raise InputError(f"the checkpoint is a {type(path).__name__}; give its path")
        model: LayoutDetector | OnnxModel
        if Path(path).suffix == ".onnx":
            if device not in ("auto", "cpu"):
                raise InputError(f"{path}: an ONNX file runs on the CPU, not on device {device}")
            model, checkpoint = load_onnx(path, overrides)
            return cls.of_checkpoint(model, checkpoint)
        where = choose_device(device)
        model, checkpoint = load_detector(path, where, overrides, trust_code=trust_code)
        return cls.of_checkpoint(model, checkpoint, where)

    @classmethod
    def of_options(cls, options: DetectorOptions) -> Detector:
        """The detector that the options name.

        Raises:
            InputError: as `load`.
        """
        trust = options.trust_code
        return cls.load(options.ckpt, options.device, options.overrides, trust_code=trust)

    @classmethod
    def of_checkpoint(
        cls,
        model: LayoutDetector | OnnxModel,
        checkpoint: Checkpoint,
        device: torch.device | str = "cpu",
    ) -> Detector:
        """A detector from a model that is built already, and the checkpoint it came with.

        Raises:
            InputError: a tokenizer that cannot be used.
        """
        tokenizer = checkpoint_page_tokenizer(checkpoint)
        best = checkpoint.thresholds
        config, categories = checkpoint.config, checkpoint.categories
        return cls(model, config, categories, tokenizer, device, best)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike,
        device: str = "auto",
        overrides: Sequence[str] = (),
        *,
        trust_code: bool = False,
    ) -> Detector:
        """A detector from a folder that `save_pretrained` or `lmv3det convert` wrote.

        The arguments are those of `load`.

        Raises:
            InputError: no such folder, and as `load`.
        """
        if not isinstance(folder, (str, os.PathLike)) or not Path(folder).is_dir():
            raise InputError(f"{folder}: no such folder; nothing is fetched from a model hub")
        return cls.load(folder, device, overrides, trust_code=trust_code)

    def predict(
        self,
        pages: Any,
        ocr: Any = None,
        *,
        options: PredictOptions | None = None,
        **changes: Any,
    ) -> list[PageDetections]:
        """Find the regions of pages: `detector(pages)` does the same.

            detector.predict("paper.pdf", score_threshold=0.5, dpi=200)
            detector.predict([image, array], ocr="rapidocr")

        Args:
            pages: a path, a PIL image, an array H×W(×3) or a tensor 3×H×W (RGB; uint8, or float
                from 0 to 1), or a list or iterator of these. A folder stands for its images and
                PDF files, a PDF for its pages. URLs are refused.
            ocr: the pages' text, see `PredictOptions`.
            options: how; None takes the defaults.
            **changes: attributes of `PredictOptions`: score_threshold, thresholds, max_overlap,
                drop_nested, masks, batch_size, dpi, password, ocr_options.

        Returns:
            One `PageDetections` a page, on the model's device (arrays where the model is an ONNX
            file): boxes in pixels of the page, class `names`, `page`, and masks N×28×28 within the
            boxes, which `lmv3det.model.mask_head.paste(masks, boxes, image_size)` draws into the
            page.

        Raises:
            InputError: a page or its text that cannot be read; an OCR list of another length; an
                option out of range.
        """
        found = list(self.iterate(pages, ocr, options=options, **changes))
        if self.uses_text and isinstance(ocr, (list, tuple)) and len(ocr) != len(found):
            raise InputError(f"ocr has {len(ocr)} entries for {len(found)} pages")
        return found

    __call__ = predict

    def iterate(
        self,
        pages: Any,
        ocr: Any = None,
        *,
        options: PredictOptions | None = None,
        **changes: Any,
    ) -> Iterator[PageDetections]:
        """The detections of `predict` page by page, as they are found: a batch of pages is held.

        The arguments are those of `predict`, and are checked before the first page is read.
        """
        chosen = dataclasses.replace(options or PredictOptions(), **changes)
        self.selection(chosen)
        text = None
        if self.uses_text:
            ocr = chosen.ocr if ocr is None else ocr
            source = choose_text(ocr, self.config, chosen.ocr_options)
            text = page_text(source, self.config, chosen)
        found = self.stream(page_samples(pages, text, chosen), chosen)
        return self._with_images(found, chosen)

    def _with_images(
        self, found: Iterable[tuple[Sample, PageDetections]], options: PredictOptions
    ) -> Iterator[PageDetections]:
        for sample, detections in found:
            detections.dpi, detections.password = options.dpi, options.password
            if not sample.page.file:  # nothing that it could be read from again
                detections.image = sample.image
            yield detections

    def selection(self, options: PredictOptions) -> Selection:
        """Which detections are kept.

        Raises:
            InputError: a class that there is not, a threshold out of range.
        """
        threshold = options.score_threshold
        return Selection.choose(
            self.names,
            self.config.test.score_threshold if threshold is None else threshold,
            options.thresholds,
            self.thresholds,
            options.max_overlap,
            options.drop_nested,
        )

    def stream(
        self,
        samples: Iterable[Sample],
        options: PredictOptions | None = None,
        failed: Failed | None = None,
    ) -> Iterator[tuple[Sample, PageDetections]]:
        """Detections page by page, in order; no more than a batch of pages is held.

        Args:
            samples: pages, with their text lines for a model that reads text.
            options: which detections are kept, pages a batch, masks; the rest is not looked at.
            failed: callback for a page that raises an error, which is left out; None raises there.

        Raises:
            InputError: an option that does not fit the model.
        """
        options = options or PredictOptions()
        if options.masks and self.model.mask_head is None:
            raise InputError("the model has no mask head (model.mask_on); leave out masks")
        rules, masks = self.selection(options), options.masks is not False
        size = check_count(options.batch_size or self.config.test.batch_size, "batch_size")
        step = self.config.input.size_divisibility
        batches = batches_of(self._resized(samples, failed), size, step, MAX_HELD_BYTES)
        return (one for batch in batches for one in self._detect(batch, rules, masks, failed))

    def _resized(
        self, samples: Iterable[Sample], failed: Failed | None
    ) -> Iterator[tuple[Sample, Sample]]:
        for sample in samples:
            try:
                resized = self.transform(sample)
            except Exception as error:
                if failed is None:
                    raise
                failed(sample, error)
            else:
                yield sample, resized

    def _detect(
        self,
        pages: list[tuple[Sample, Sample]],
        selection: Selection,
        masks: bool,
        failed: Failed | None,
    ) -> list[tuple[Sample, PageDetections]]:
        try:
            return self._detect_batch(pages, selection, masks)
        except Exception as error:
            if failed is None:
                raise
            if len(pages) == 1:
                failed(pages[0][0], error)
                return []
        # One of them is at fault, or there is too little memory for all of them.
        return [found for page in pages for found in self._detect([page], selection, masks, failed)]

    def _detect_batch(
        self, pages: list[tuple[Sample, Sample]], selection: Selection, masks: bool
    ) -> list[tuple[Sample, PageDetections]]:
        raw = self._find([resized for _, resized in pages], selection.lowest, masks)
        if self.views is not None:
            raw = [
                self._join_views(self.views, sample, first, selection.lowest, masks)
                for (sample, _), first in zip(pages, raw, strict=True)
            ]
        if self.uses_text and self.config.test.fit_to_text:
            raw = [
                fit_to_text(found, resized.line_boxes)
                for found, (_, resized) in zip(raw, pages, strict=True)
            ]
        found = []
        origins = [sample.page for sample, _ in pages]
        for (sample, _), one in zip(pages, in_page_pixels(raw, origins), strict=True):
            lines = None
            if self.uses_text:
                boxes, page = sample.line_boxes, sample.page
                lines = OcrPage(boxes, list(sample.lines), page.width, page.height)
            detections = PageDetections(
                cast(Any, one.boxes),
                one.scores,
                one.classes,
                one.image_size,
                one.masks,
                self.names,
                one.page,
                lines,
            )
            found.append((sample, detections[np.flatnonzero(selection.keep(detections))]))
        return found

    def _join_views(
        self, views: TestViews, sample: Sample, first: Detections, lowest: float, masks: bool
    ) -> Detections:
        """What is found on all views of a page, of which `first` is that of the first one."""
        found = {0: first}
        step = self.config.input.size_divisibility
        by_size: dict[tuple[int, int], list[Sample]] = {}
        for view in views(sample)[1:]:
            by_size.setdefault(padded(view.image.shape, step), []).append(view)
        for group in by_size.values():
            for view, one in zip(group, self._find(group, lowest, masks), strict=True):
                found[view.view] = one
        return join_by(self.config, views)([found[n] for n in sorted(found)])

    def _find(self, pages: Sequence[Sample], lowest: float, masks: bool) -> list[Detections]:
        """What the model finds on resized pages, in their pixels."""
        if isinstance(self.model, OnnxModel):
            arrays = [sample_arrays(page, self.config, self.page_tokenizer) for page in pages]
            return [self.model.find(page, lowest) for page in arrays]
        batch = self.collate(pages).to(self.device, non_blocking=True)
        with autocast(self.device, self.precision):
            return self.model.predict(batch, score_threshold=lowest, with_masks=masks)
