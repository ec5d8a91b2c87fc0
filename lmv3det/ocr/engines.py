"""The OCR engines, by name."""

from __future__ import annotations

import difflib
import importlib.metadata
import inspect
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lmv3det.data.images import iter_pages
from lmv3det.data.pdf import is_pdf
from lmv3det.errors import InputError, install_extra
from lmv3det.ocr.engine import Engine, enclosing_lines, join_words, require_package
from lmv3det.ocr.paddle import PaddleOcr
from lmv3det.ocr.pdf_text import PdfText
from lmv3det.text.ocr_json import OcrPage

log = logging.getLogger(__name__)


class RapidOcr(Engine):
    """RapidOCR with onnxruntime, Chinese and English; its models come inside its package.

    Args:
        min_score: lines below this confidence are left out.
        threads: of the inference; 0 leaves it to onnxruntime (all cores).
        models: folder with other models, one `*det*.onnx`, `*cls*.onnx` and `*rec*.onnx` each.
            None: those of the package. Nothing is ever downloaded.
    """

    def __init__(
        self, min_score: float = 0.5, threads: int = 0, models: str | os.PathLike | None = None
    ) -> None:
        require_package("rapidocr", install_extra("ocr"))
        require_package("onnxruntime", install_extra("ocr"))
        if models is None:
            spec = importlib.util.find_spec("rapidocr")
            assert spec is not None and spec.origin is not None
            folder = Path(spec.origin).parent / "models"
        else:
            folder = Path(models)
        self.min_score = min_score
        self.threads = threads
        self.paths = {part: _find_model(folder, part.lower()) for part in ("Det", "Cls", "Rec")}
        self._model: Any = None

    def recognize(self, image: np.ndarray) -> OcrPage:
        if self._model is None:
            from rapidocr import RapidOCR

            parameters: dict[str, Any] = {
                f"{part}.model_path": str(path) for part, path in self.paths.items()
            }
            parameters["Global.text_score"] = self.min_score
            parameters["Global.log_level"] = "error"
            if self.threads:
                parameters["EngineConfig.onnxruntime.intra_op_num_threads"] = self.threads
            self._model = RapidOCR(params=parameters)
        result = self._model(np.ascontiguousarray(image[..., ::-1]))  # it takes BGR
        if result.boxes is None or result.txts is None:
            return enclosing_lines([], [], image.shape[:2])
        return enclosing_lines(result.boxes, result.txts, image.shape[:2])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_model": None}


class Tesseract(Engine):
    """The `tesseract` program, through pytesseract.

    Args:
        language: its language data, such as eng or chi_sim+eng.
        min_score: words below this confidence (0 to 1) are left out.
    """

    def __init__(self, language: str = "eng", min_score: float = 0.0) -> None:
        require_package("pytesseract", install_extra("tesseract"))
        if shutil.which("tesseract") is None:
            raise InputError(
                "engine tesseract: the program is not installed: `apt install tesseract-ocr`, or "
                "take --engine rapidocr"
            )
        import pytesseract

        known = pytesseract.get_languages()
        unknown = [name for name in language.split("+") if name not in known]
        if unknown:
            raise InputError(
                f"engine tesseract: no data for language {', '.join(unknown)} (there is "
                f"{', '.join(known)}): `apt install tesseract-ocr-{unknown[0].replace('_', '-')}`"
            )
        self.language = language
        self.min_score = min_score

    def recognize(self, image: np.ndarray) -> OcrPage:
        import pytesseract

        # One thread: pages are read side by side.
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")
        table = pytesseract.image_to_data(
            image, lang=self.language, output_type=pytesseract.Output.DICT
        )
        lines: dict[tuple[int, int, int], tuple[list[str], list[tuple[float, float]]]] = {}
        for i, word in enumerate(table["text"]):
            if not word.strip() or float(table["conf"][i]) < 100 * self.min_score:
                continue
            key = (table["block_num"][i], table["par_num"][i], table["line_num"][i])
            words, points = lines.setdefault(key, ([], []))
            x, y = table["left"][i], table["top"][i]
            words.append(word)
            points += [(x, y), (x + table["width"][i], y + table["height"][i])]
        return enclosing_lines(
            [points for _, points in lines.values()],
            [join_words(words) for words, _ in lines.values()],
            image.shape[:2],
        )


class Auto(Engine):
    """The text layer of PDF pages whose layer says what they show; another engine reads the rest.

    Args:
        engine: name of the other engine, made when it is first needed (or by `other`).
        options: of the other engine.

    Raises:
        InputError: the other engine reads no images, or does not have an option.
    """

    from_pdf = True

    def __init__(self, engine: str = "rapidocr", **options: Any) -> None:
        if _engine_class(engine).from_pdf:
            raise InputError(f"engine auto: engine is {engine!r}; give one that reads images")
        _check_options(engine, options)
        self.name = engine
        self.options = options
        self._layer = PdfText()
        self._other: Engine | None = None

    def other(self) -> Engine:
        """The other engine.

        Raises:
            InputError: it cannot be used, see `get_engine`.
        """
        if self._other is None:
            self._other = get_engine(self.name, **self.options)
        return self._other

    def recognize(self, image: np.ndarray) -> OcrPage:
        return self.other().recognize(image)

    def read_pdf(
        self, path: str | os.PathLike, number: int, dpi: int, password: str | None = None
    ) -> OcrPage:
        page, why = self._layer.read_layer(path, number, dpi, password)
        if page.lines and not why:
            return page
        if why:
            where = f"{path}: page {number + 1}"
            try:
                self.other()
            except InputError as error:
                if not page.lines:
                    raise
                log.warning("%s is read from its text layer, though %s: %s", where, why, error)
                return page
            log.warning("%s is read by OCR (%s): %s", where, self.name, why)
        ((_, image),) = iter_pages(path, dpi, numbers=[number], password=password)
        return self.recognize(image)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_other": None}


def get_engine(name: str = "rapidocr", **options: Any) -> Engine:
    """An engine by name: auto, rapidocr, paddleocr, tesseract or pdf-text.

    Args:
        name: one of `ENGINES`.
        options: of the engine's class.

    Raises:
        InputError: an unknown name or option; a package, program, model or language that is not
            there, with the fix.
    """
    if _engine_class(name) is not Auto:  # which checks the options of the engine that it takes
        _check_options(name, options)
    return _engine_class(name)(**options)


def _engine_class(name: str) -> type[Engine]:
    if name not in ENGINES:
        near = difflib.get_close_matches(name, ENGINES, n=1, cutoff=0.4)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"OCR engine {name!r} is not one of {', '.join(ENGINES)}{hint}")
    return ENGINES[name]


def _check_options(name: str, options: Iterable[str]) -> None:
    known = list(inspect.signature(ENGINES[name]).parameters)
    for option in options:
        if option not in known:
            raise InputError(
                f"engine {name}: unknown option {option!r}; it has {', '.join(known) or 'none'}"
            )


def announce(engine: Engine, paths: Iterable[Path]) -> None:
    """Say, before a job starts, that an engine will take its time; make sure that it is there.

    Args:
        engine: of the job.
        paths: the job's files.

    Raises:
        InputError: `auto` has images to read, but its engine cannot be used.
    """
    if engine.layer_only:
        return
    which, name = "all pages", type(engine).__name__
    if isinstance(engine, Auto):
        which, name = "pages without a text layer", engine.name
        if not all(is_pdf(path) for path in paths):
            engine.other()
    log.info("%s are read by OCR (%s), which takes 20 to 35 s of a CPU core a page", which, name)


def accepts(name: str, option: str) -> bool:
    """Whether an engine (by name) has an option."""
    return name in ENGINES and option in inspect.signature(ENGINES[name]).parameters


def _find_model(folder: Path, part: str) -> Path:
    found = sorted(folder.glob(f"*{part}*.onnx"))
    if len(found) > 1:  # rapidocr keeps models that it fetched elsewhere beside its own
        try:
            own = {Path(file).name for file in importlib.metadata.files("rapidocr") or []}
        except importlib.metadata.PackageNotFoundError:  # a copy that was not installed by pip
            own = set()
        found = [path for path in found if path.name in own] or found
    if len(found) != 1:
        raise InputError(
            f"engine rapidocr: {folder} has {len(found)} models *{part}*.onnx, not one; install a "
            "release that carries its models (`pip install -U rapidocr`), or name a folder "
            "with --option models=DIR"
        )
    return found[0]


ENGINES: dict[str, type[Engine]] = {
    "auto": Auto,
    "rapidocr": RapidOcr,
    "paddleocr": PaddleOcr,
    "tesseract": Tesseract,
    "pdf-text": PdfText,
}
"""Engines by the name that `--engine` takes."""
