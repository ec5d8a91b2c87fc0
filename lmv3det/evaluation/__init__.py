"""Scores of detections on annotated pages, their tables and drawings.

Imports `visualization`, `data` and what is below; training and the ablation import it.
"""
