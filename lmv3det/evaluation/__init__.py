"""Scores of detections on annotated pages, the kinds of their errors, tables and the report.

Imports `inference`, `visualization`, `data` and what is below; training and the ablation import it.
"""
