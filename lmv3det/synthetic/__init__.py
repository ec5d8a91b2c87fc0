"""Synthetic pages: real typesetting, exact regions, exact words.

``generate`` makes a data set; ``add_arguments`` and ``run`` are the command
``python -m lmv3det synthetic``.
"""

from lmv3det.synthetic.generate import add_arguments, generate, run

__all__ = ["add_arguments", "generate", "run"]
