"""Several systems trained on the same pages, and the table of their scores.

Imports `engine`, `evaluation` and what is below.
"""
