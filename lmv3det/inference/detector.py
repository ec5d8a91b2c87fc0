"""`lmv3det predict` and the Python interface: from pages to detections in their own pixels."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.checkpoint.loading import checkpoint_page_tokenizer, load_detector
from lmv3det.data.images import PDF_DPI, count_pages, find_pages, is_pdf, iter_pages, to_array
from lmv3det.errors import InputError
from lmv3det.files import JsonList
from lmv3det.inference.default_model import default_model_folder
from lmv3det.inference.results import in_page_pixels, page_entries

if TYPE_CHECKING:
    import torch

    from lmv3det.config import Config
    from lmv3det.data.categories import Category
    from lmv3det.model.detector import LayoutDetector
    from lmv3det.ocr import Engine
    from lmv3det.structures import Detections, Page, Sample
    from lmv3det.text.ocr_json import OcrPage
    from lmv3det.text.tokenization import PageTokenizer

log = logging.getLogger(__name__)

DEFAULT_ENGINE = "rapidocr"
PageText = Callable[[np.ndarray, "Page", int], "OcrPage"]
"""(H×W×3 uint8 RGB, the page's origin, pages of its file) → its text lines."""


class Detector:
    """A trained detector with all that belongs to it.

    Args:
        model: in evaluation mode.
        config: sizes of the input, settings of the text and of the test.
        categories: classes in the order of class indices.
        page_tokenizer: makes tokens of a page's lines; None for an image-only model.
        device: where `model` is.

    Attributes:
        names: class names by class index.
        precision: autocast's dtype, which the config's `precision` stands for; None for float32.
    """

    def __init__(
        self,
        model: LayoutDetector,
        config: Config,
        categories: Sequence[Category],
        page_tokenizer: PageTokenizer | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        from lmv3det.data.loader import Collate
        from lmv3det.data.transforms import TestTransform
        from lmv3det.device import choose_precision

        given = config.input
        self.model, self.config, self.device = model, config, device
        self.precision = choose_precision(config.precision, device)
        self.names = [category.name for category in categories]
        self.uses_text = page_tokenizer is not None
        self.transform = TestTransform(given.min_size_test, given.max_size_test)
        self.collate = Collate(
            given.pixel_mean,
            given.pixel_std,
            given.size_divisibility,
            page_tokenizer,
            with_targets=False,
            with_polygons=False,
            pad_token_id=config.backbone.pad_token_id,
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
            path: `.pth` of ours, or a folder that `save_pretrained` wrote. None: the model that
                comes with the package.
            device: auto, cpu, cuda, cuda:N or mps.
            overrides: settings as on the command line, such as `["input.min_size_test=640"]`.
            trust_code: import the classes (`module:Class`) that its config names.

        Raises:
            InputError: a file that cannot be used or names code, a wrong setting, no such device.
        """
        from lmv3det.device import choose_device

        where = choose_device(device)
        path = default_model_folder() if path is None else path
        model, checkpoint = load_detector(path, where, overrides, trust_code=trust_code)
        encoder = checkpoint_page_tokenizer(checkpoint)
        return cls(model, checkpoint.config, checkpoint.categories, encoder, where)

    def predict(
        self,
        pages: Any,
        ocr: Any = None,
        batch_size: int | None = None,
        score_threshold: float | None = None,
    ) -> list[Detections]:
        """Find the regions of pages.

        Args:
            pages: a path, a PIL image, an array H×W(×3) or a tensor 3×H×W (RGB; uint8, or float
                from 0 to 1), or a list of these. A folder stands for its images and PDF files, a
                PDF for its pages.
            ocr: the pages' text lines, for a model that reads text (others ignore it): a folder of
                OCR files, an engine or its name (see `lmv3det.ocr`), an `OcrPage`, or a list of
                them, one a page in order. None runs the default engine.
            batch_size: pages a batch; None takes the config's. Only pages whose padded input is of
                the same size are batched, so that a result does not depend on its neighbours.
            score_threshold: detections below are dropped; None takes the config's.

        Returns:
            One `Detections` a page, on the model's device: boxes in pixels of the page, class
            `names`, `page`, and masks N×28×28 within the boxes, which
            `lmv3det.model.mask_head.paste(masks, boxes, image_size)` draws into the page.

        Raises:
            InputError: a page or its text that cannot be read; an OCR list of another length.
        """
        text = self.page_text(ocr)
        found = self.stream(_samples(pages, text), batch_size, score_threshold)
        detections = [found for _, found in found]
        if self.uses_text and isinstance(ocr, (list, tuple)) and len(ocr) != len(detections):
            raise InputError(f"ocr has {len(ocr)} entries for {len(detections)} pages")
        return detections

    def stream(
        self,
        samples: Iterable[Sample],
        batch_size: int | None = None,
        score_threshold: float | None = None,
    ) -> Iterator[tuple[Sample, Detections]]:
        """Detections page by page, in order; no more than a batch of pages is held.

        Args:
            samples: pages, with their text lines for a model that reads text.
            batch_size: as in `predict`.
            score_threshold: likewise.
        """
        most = batch_size or self.config.test.batch_size
        threshold = self.config.test.score_threshold if score_threshold is None else score_threshold
        step = self.config.input.size_divisibility
        waiting: list[tuple[Sample, Sample]] = []
        shape: tuple[int, ...] = ()
        for sample in samples:
            resized = self.transform(sample)
            padded = tuple(-(-side // step) for side in resized.image.shape[:2])
            if waiting and padded != shape:
                yield from self._detect(waiting, threshold)
                waiting = []
            shape = padded
            waiting.append((sample, resized))
            if len(waiting) == most:
                yield from self._detect(waiting, threshold)
                waiting = []
        if waiting:
            yield from self._detect(waiting, threshold)

    def _detect(
        self, pages: list[tuple[Sample, Sample]], threshold: float
    ) -> Iterator[tuple[Sample, Detections]]:
        from lmv3det.device import autocast

        batch = self.collate([resized for _, resized in pages]).to(self.device)
        cascade: Any = self.model.cascade
        usual, cascade.score_threshold = cascade.score_threshold, threshold
        try:
            with autocast(self.device, self.precision):
                found = self.model.predict(batch)
        finally:
            cascade.score_threshold = usual
        for (sample, _), detections in zip(pages, in_page_pixels(found, batch.pages), strict=True):
            yield sample, dataclasses.replace(detections, names=self.names)

    def page_text(self, ocr: Any, dpi: int = PDF_DPI) -> PageText | None:
        """Where a page's text lines come from; None for a model without text.

        Args:
            ocr: as in `predict`.
            dpi: resolution at which PDF pages are drawn.

        Raises:
            InputError: an engine that cannot be used, a folder that does not exist.
        """
        if not self.uses_text:
            return None
        from lmv3det.ocr import ENGINES, Engine, get_engine
        from lmv3det.text.ocr_json import OcrPage

        if isinstance(ocr, OcrPage):
            ocr = [ocr]
        if isinstance(ocr, (list, tuple)):
            pages = iter(ocr)
            return lambda *_: _next_text(pages, len(ocr))
        if isinstance(ocr, Path) or (isinstance(ocr, str) and ocr not in ENGINES):
            if not Path(ocr).is_dir():
                raise InputError(
                    f"{ocr}: neither a folder of OCR files nor an engine ({', '.join(ENGINES)})"
                )
            if not any(Path(ocr).glob("*.json")):
                raise InputError(
                    f"{ocr}: holds no OCR files (*.json); make them with `lmv3det ocr`"
                )
            return self._from_folder(Path(ocr))
        engine = ocr if isinstance(ocr, Engine) else get_engine(ocr or DEFAULT_ENGINE)
        return lambda image, page, _: _recognize(engine, image, page, dpi)

    def _from_folder(self, folder: Path) -> PageText:
        from lmv3det.ocr import ocr_name
        from lmv3det.text.ocr_json import OcrPage, read_ocr

        data = self.config.data

        def read(image: np.ndarray, page: Page, pages: int) -> OcrPage:
            path = folder / ocr_name(page.file, page.number, pages)
            if data.missing_ocr == "empty" and not path.exists():
                log.warning("%s: no such OCR file; the page is taken without text", path)
                return OcrPage(np.zeros((0, 4)))
            return read_ocr(path, malformed=data.malformed_ocr)

        return read


def _next_text(pages: Iterator[Any], count: int) -> OcrPage:
    from lmv3det.text.ocr_json import OcrPage

    for page in pages:
        if not isinstance(page, OcrPage):
            raise InputError(f"ocr: a page's text is {type(page).__name__}; give an OcrPage")
        return page
    raise InputError(f"ocr has {count} entries, fewer than there are pages")


def _recognize(engine: Engine, image: np.ndarray, page: Page, dpi: int) -> OcrPage:
    try:
        if engine.from_pdf:
            if not is_pdf(page.file):
                raise InputError("no PDF, so it has no text layer; take another engine")
            return engine.read_pdf(page.file, page.number, dpi)
        return engine.recognize(image)
    except Exception as error:  # engines are others' code and raise anything
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise InputError(f"{page.file or 'page'}: its text cannot be read ({reason})") from error


def _samples(pages: Any, text: PageText | None) -> Iterator[Sample]:
    """Samples of whatever `predict` takes."""
    from lmv3det.structures import Page

    for item in pages if isinstance(pages, (list, tuple)) else [pages]:
        if isinstance(item, (str, os.PathLike)):
            for path in find_pages([item]):
                count = count_pages(path)
                for number, image in iter_pages(path):
                    page = Page(str(path), image.shape[1], image.shape[0], number=number)
                    yield make_sample(image, page, count, text)
        else:
            image = to_array(item)
            page = Page(str(getattr(item, "filename", "")), image.shape[1], image.shape[0])
            yield make_sample(image, page, 1, text)


def make_sample(image: np.ndarray, page: Page, pages: int, text: PageText | None) -> Sample:
    """A page to predict on.

    Args:
        image: H×W×3 uint8 RGB.
        page: its origin and size.
        pages: how many its file has.
        text: gives the text lines, whose boxes are fitted to the image; None: no text.

    Raises:
        InputError: the text cannot be read.
    """
    from lmv3det.structures import Sample

    sample = Sample(image, page)
    if text is not None:
        lines = text(image, page, pages)
        sample.lines = list(lines.lines)
        if len(lines.boxes):
            if not (lines.width > 0 and lines.height > 0):
                raise InputError(
                    f"{page.file or 'page'}: its text is of a page of {lines.width}×{lines.height} "
                    "pixels; give OcrPage the page's width and height"
                )
            scale = np.array([page.width / lines.width, page.height / lines.height])
            sample.line_boxes = lines.boxes * np.tile(scale, 2)
    return sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det predict`."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="images, folders, PDF files")
    parser.add_argument("--ckpt", required=True, help="checkpoint, such as output/best.pth")
    parser.add_argument("--ocr", metavar="DIR|ENGINE", help="folder of OCR files, or an engine, "
                        f"for a model that reads text (default: {DEFAULT_ENGINE})")  # fmt: skip
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE",
                        help="an option of the engine, such as language=chi_sim")  # fmt: skip
    parser.add_argument("--out", default="predictions", help="folder to write to (%(default)s)")
    parser.add_argument("--score", type=float, help="least score (default: the checkpoint's)")
    parser.add_argument(
        "--draw-score", type=float, default=0.3, help="least score in drawings (%(default)s)"
    )
    parser.add_argument("--batch-size", type=int, help="pages a batch (default: the checkpoint's)")
    parser.add_argument(
        "--dpi", type=int, default=PDF_DPI, help="resolution of PDF pages (%(default)s)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--trust-code", action="store_true",
                        help="import the classes of yours that the checkpoint names")  # fmt: skip
    parser.add_argument("--masks", action="store_true", help="write masks too (COCO RLE)")
    parser.add_argument("--no-drawings", action="store_true", help="write the JSON alone")


def run(args: argparse.Namespace) -> int:
    """`lmv3det predict`: 0 when every page was done, 1 when some failed.

    Writes detections.json, a list with an entry a page: file, page (from 1), width, height,
    detections (bbox [x, y, w, h] in pixels of the page, score, category, with --masks
    segmentation), and the name of its drawing; and the drawings, <stem>.png, or <stem>_p<page>.png
    for a PDF. Pages that fail are named at the end; the others are done. What was finished is kept
    when it is interrupted.
    """
    from lmv3det.device import describe

    for name, least in (("batch_size", 1), ("dpi", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be {least} or more")
    for name in ("score", "draw_score"):
        value = getattr(args, name)
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be from 0 to 1")
    paths = list(dict.fromkeys(find_pages(args.inputs)))
    out = Path(args.out)
    inside = [path for path in paths if path.parent.resolve() == out.resolve()]
    if inside and not args.no_drawings:
        raise InputError(
            f"{inside[0]}: is in the folder to write to, {out}, where drawings could replace it; "
            "give another --out"
        )
    detector = Detector.load(args.ckpt, args.device, trust_code=args.trust_code)
    if args.masks and detector.model.mask_head is None:
        raise InputError(f"{args.ckpt}: has no mask head (model.mask_on); leave out --masks")
    log.info("on %s", describe(detector.device, detector.precision))
    job = _Job(detector, out, args)
    job.run(paths)
    for failure in job.failures:
        print(failure, file=sys.stderr)
    print(f"{out}: {job.done} pages")
    if job.failures:
        raise InputError(f"{len(job.failures)} of the inputs failed, as said above")
    return 0


def _text_source(detector: Detector, args: argparse.Namespace) -> Any:
    """The folder or engine that the command line names, the engine with its options."""
    from lmv3det.ocr import ENGINES, engine_options, get_engine

    if not args.option or not detector.uses_text:
        return args.ocr
    name = args.ocr or DEFAULT_ENGINE
    if name not in ENGINES:
        raise InputError(
            f"--option is for an engine, but --ocr {name} is none ({', '.join(ENGINES)})"
        )
    return get_engine(name, **engine_options(args.option))


class _Job:
    """Predicts on files and writes the results as they come."""

    def __init__(self, detector: Detector, out: Path, args: argparse.Namespace) -> None:
        self.detector, self.out, self.args = detector, out, args
        self.text = detector.page_text(_text_source(detector, args), args.dpi)
        self.failures: list[str] = []
        self.done = 0
        self.drawn: set[str] = set()

    def run(self, paths: Sequence[Path]) -> None:
        from tqdm import tqdm

        counts = [(path, self._count(path)) for path in paths]
        self.bar = tqdm(total=sum(count for _, count in counts), desc="predict", unit="page")
        stream = self.detector.stream(self._samples(counts), self.args.batch_size, self.args.score)
        multiple = {str(path) for path, count in counts if count > 1 or is_pdf(path)}
        with self.bar, JsonList(self.out / "detections.json") as pages:
            for sample, detections in stream:
                pages.append(self._entry(sample, detections, sample.page.file in multiple))
                self.done += 1
                self.bar.update()

    def _count(self, path: Path) -> int:
        try:
            return count_pages(path)
        except InputError as error:
            self.failures.append(str(error))
            return 0

    def _samples(self, counts: list[tuple[Path, int]]) -> Iterator[Sample]:
        from lmv3det.structures import Page

        for path, count in counts:
            if not count:
                continue

            def failed(number: int, error: InputError, count: int = count) -> None:
                self._fail(number, count, error)

            try:
                for number, image in iter_pages(path, self.args.dpi, failed=failed):
                    page = Page(str(path), image.shape[1], image.shape[0], number=number)
                    try:
                        yield make_sample(image, page, count, self.text)
                    except InputError as error:
                        self._fail(number, count, error)
            except InputError as error:  # the file was there when its pages were counted
                self.failures.append(str(error))
                self.bar.update(count)

    def _fail(self, number: int, count: int, error: InputError) -> None:
        where = f" (page {number + 1})" if count > 1 else ""
        self.failures.append(f"{error}{where}")
        self.bar.update()

    def _entry(self, sample: Sample, detections: Detections, numbered: bool) -> dict[str, Any]:
        page = sample.page
        entry: dict[str, Any] = {
            "file": page.file,
            "page": page.number + 1,
            "width": page.width,
            "height": page.height,
        }
        if not self.args.no_drawings:
            stem = Path(page.file).stem + (f"_p{page.number + 1}" if numbered else "")
            entry["drawing"] = self._draw(stem, sample.image, detections)
        entry["detections"] = page_entries(
            detections, self.detector.config.test.mask_threshold if self.args.masks else None
        )
        return entry

    def _draw(self, stem: str, image: np.ndarray, detections: Detections) -> str:
        """Draw a page and return the file's name, which no other page has."""
        from lmv3det.visualization.detections import draw_detections

        name, number = f"{stem}.png", 1
        while name.casefold() in self.drawn:
            number += 1
            name = f"{stem}-{number}.png"
        self.drawn.add(name.casefold())
        draw_detections(image, detections, self.args.draw_score, self.out / name)
        return name
