"""PaddleOCR 3.x, with models from folders or, by default, from the rapidocr wheel: no network."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lmv3det.errors import InputError, install_extra
from lmv3det.ocr.engine import Engine, enclosing_lines, require_package
from lmv3det.text.ocr_json import OcrPage

DETECTION, RECOGNITION = "PP-OCRv6_small_det", "PP-OCRv6_small_rec"
"""PaddleOCR's names of the models in rapidocr's wheel."""
WHEEL_FILES = {DETECTION: "PP-OCRv6_det_small.onnx", RECOGNITION: "PP-OCRv6_rec_small.onnx"}
_DECODE = {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}}


class PaddleOcr(Engine):
    """PaddleOCR 3.x.

    Without arguments it runs the PP-OCRv6 models of rapidocr's wheel on onnxruntime. A model that
    is named without its folder would be fetched from the network, so name and folder go together.

    Args:
        text_detection_model_name: such as PP-OCRv5_server_det.
        text_detection_model_dir: folder with that model's `inference.yml` and `inference.onnx`, or
            `inference.pdiparams`, which needs the package paddlepaddle.
        text_recognition_model_name: such as PP-OCRv5_server_rec.
        text_recognition_model_dir: folder with that model's files.
        min_score: lines below this confidence are left out.
        device: such as cpu or gpu:0; None lets PaddleOCR choose.
        threads: of the inference on a CPU; 0 leaves it to PaddleOCR.

    Raises:
        InputError: a package is missing, a model is named by half, a folder does not exist.
    """

    def __init__(
        self,
        text_detection_model_name: str = "",
        text_detection_model_dir: str = "",
        text_recognition_model_name: str = "",
        text_recognition_model_dir: str = "",
        min_score: float = 0.5,
        device: str | None = None,
        threads: int = 0,
    ) -> None:
        self.models = {
            "text_detection_model_name": text_detection_model_name,
            "text_detection_model_dir": text_detection_model_dir,
            "text_recognition_model_name": text_recognition_model_name,
            "text_recognition_model_dir": text_recognition_model_dir,
        }
        missing = [name for name, value in self.models.items() if not value]
        if missing and len(missing) < len(self.models):
            raise InputError(
                f"engine paddleocr: {', '.join(missing)} not given. Give the names and the folders "
                "of both models as --option NAME=VALUE, or none of them for those of rapidocr"
            )
        self.from_wheel = bool(missing)
        packages = ["paddleocr"]
        if self.from_wheel:
            packages += ["rapidocr", "onnxruntime"]
        else:
            packages.append("onnxruntime" if self._onnx() else "paddle")
        for package in packages:
            own = package != "paddle"
            require_package(
                package, install_extra("paddle") if own else "`pip install paddlepaddle`"
            )
        self.min_score = min_score
        self.device = device
        self.threads = threads
        self._model: Any = None

    def _onnx(self) -> bool:
        """Whether the folders of the user's own hold ONNX models."""
        folders = []
        for name in ("text_detection_model_dir", "text_recognition_model_dir"):
            folders.append(Path(self.models[name]))
            if not folders[-1].is_dir():
                raise InputError(f"engine paddleocr: {name} {folders[-1]}: no such folder")
        return all((folder / "inference.onnx").is_file() for folder in folders)

    def recognize(self, image: np.ndarray) -> OcrPage:
        if self._model is None:
            with tempfile.TemporaryDirectory(prefix="lmv3det-paddle-") as folder:
                self._model = self._load(Path(folder))
        pages = self._model.predict(np.ascontiguousarray(image[..., ::-1]))  # it takes BGR
        corners = [points for page in pages for points in page["rec_polys"]]
        words = [word for page in pages for word in page["rec_texts"]]
        return enclosing_lines(corners, words, image.shape[:2])

    def _load(self, folder: Path) -> Any:
        """The pipeline; `folder` holds what it reads once."""
        # Its import otherwise asks several hosts for models.
        os.environ.setdefault("DISABLE_MODEL_SOURCE_CHECK", "True")
        os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")
        from paddleocr import PaddleOCR

        models = write_wheel_models(folder) if self.from_wheel else self.models
        options: dict[str, Any] = {"device": self.device} if self.device else {}
        if self.threads:
            options["cpu_threads"] = self.threads
        if self.from_wheel or self._onnx():
            options["engine"] = "onnxruntime"
        return PaddleOCR(
            **models,
            **options,
            use_doc_orientation_classify=False,
            use_doc_unwarping=False,
            use_textline_orientation=False,
            text_rec_score_thresh=self.min_score,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_model": None}


def write_wheel_models(folder: Path) -> dict[str, str]:
    """Lay rapidocr's models out as PaddleOCR reads them: a folder a model, with `inference.onnx`
    and an `inference.yml` that says how to scale a page and which characters there are.

    Args:
        folder: an existing one, gets a folder for each of the two models.

    Returns:
        PaddleOCR's arguments for names and folders.

    Raises:
        InputError: the installed rapidocr brings other models.
    """
    import onnxruntime
    import rapidocr

    wheel = Path(rapidocr.__file__).parent / "models"
    for file in WHEEL_FILES.values():
        if not (wheel / file).is_file():
            raise InputError(
                f"engine paddleocr: the installed rapidocr has no {file}; install rapidocr>=3.10, "
                "or give models of your own as --option NAME=VALUE"
            )
    session = onnxruntime.InferenceSession(
        str(wheel / WHEEL_FILES[RECOGNITION]), providers=["CPUExecutionProvider"]
    )
    characters = session.get_modelmeta().custom_metadata_map["character"].split("\n")
    detection = {
        "Global": {"model_name": DETECTION},
        "PreProcess": {
            "transform_ops": [
                _DECODE,
                {"DetResizeForTest": {"resize_long": 960}},
                {
                    "NormalizeImage": {
                        "mean": [0.485, 0.456, 0.406],
                        "std": [0.229, 0.224, 0.225],
                        "scale": "1./255.",
                        "order": "hwc",
                    }
                },
                {"ToCHWImage": None},
                {"KeepKeys": {"keep_keys": ["image", "shape", "polys", "ignore_tags"]}},
            ]
        },
        "PostProcess": {
            "name": "DBPostProcess",
            "thresh": 0.3,
            "box_thresh": 0.6,
            "max_candidates": 1000,
            "unclip_ratio": 1.5,
        },
    }
    recognition = {
        "Global": {"model_name": RECOGNITION},
        "PreProcess": {
            "transform_ops": [
                _DECODE,
                {"RecResizeImg": {"image_shape": [3, 48, 320]}},
                {"KeepKeys": {"keep_keys": ["image"]}},
            ]
        },
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": characters},
    }
    for name, settings in ((DETECTION, detection), (RECOGNITION, recognition)):
        (folder / name).mkdir()
        text = yaml.safe_dump(settings, allow_unicode=True)
        (folder / name / "inference.yml").write_text(text, encoding="utf-8")
        model = (wheel / WHEEL_FILES[name]).read_bytes()
        (folder / name / "inference.onnx").write_bytes(model)
    return {
        "text_detection_model_name": DETECTION,
        "text_detection_model_dir": str(folder / DETECTION),
        "text_recognition_model_name": RECOGNITION,
        "text_recognition_model_dir": str(folder / RECOGNITION),
    }
