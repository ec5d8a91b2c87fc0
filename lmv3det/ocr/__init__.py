"""OCR: page images and PDF to the OCR files that text models read."""

from lmv3det.ocr.engines import ENGINES, Engine, get_engine
from lmv3det.ocr.job import add_arguments, engine_options, ocr_name, recognize_files, run

__all__ = [
    "ENGINES",
    "Engine",
    "add_arguments",
    "engine_options",
    "get_engine",
    "ocr_name",
    "recognize_files",
    "run",
]
