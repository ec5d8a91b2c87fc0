"""Pictures: regions over a page, curves, what a training sees.

Imports `data`, `structures` and `files`.
"""
