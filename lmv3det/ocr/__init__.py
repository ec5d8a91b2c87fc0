"""OCR: page images and PDF to the OCR files that text models read.

Imports `data`, `text` and what is below.
"""

from lmv3det.ocr.engines import ENGINES, Engine, get_engine
from lmv3det.ocr.job import recognize_files
from lmv3det.ocr.names import ocr_name

__all__ = ["ENGINES", "Engine", "get_engine", "ocr_name", "recognize_files"]
