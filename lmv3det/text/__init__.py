"""From the lines of an OCR file to tokens: OCR JSON, reading order, tokenizers.

Imports `config`, `structures`, `files` and `errors`.
"""
