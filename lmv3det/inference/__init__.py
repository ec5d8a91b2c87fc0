"""Pages to results: the `Detector` that people use, and the formats of what it finds.

Imports `checkpoint`, `ocr`, `data`, `model` and what is below.
"""
