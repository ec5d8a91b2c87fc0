"""Synthetic pages: real typesetting, exact regions, exact words. `generate` makes a data set.

Imports `text`, `files` and `errors`.
"""

from lmv3det.synthetic.generate import generate

__all__ = ["generate"]
