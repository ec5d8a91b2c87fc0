"""Pages set by typst, plain or like papers of many kinds. `generate` makes a data set."""

from pagegen.typst.generate import generate

__all__ = ["generate"]
