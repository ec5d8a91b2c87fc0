"""Training data from tagged PDF: the tags say what every piece of text is.

`harvest` is the whole job; `read_labels` reads one page.
"""

from lmv3det.harvest.job import HarvestReport, harvest
from lmv3det.harvest.page import PageLabels, read_labels

__all__ = ["HarvestReport", "PageLabels", "harvest", "read_labels"]
