"""Several data sets as one, and how often each page comes in an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from lmv3det.data.categories import Category
from lmv3det.structures import Sample


class TrainDataset(Protocol):
    """Pages to train on, as un-transformed samples: of an annotation file, of shards, or of several
    data sets."""

    @property
    def categories(self) -> list[Category]:
        """Class index → category."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """The page as annotated.

        Raises:
            InputError: a page that cannot be read.
        """

    def use_categories(self, categories: Sequence[Category]) -> None:
        """Number the classes as a list does.

        Raises:
            InputError: a class that is not in the list.
        """

    def aspect_ratios(self) -> np.ndarray:
        """N float64, height / width of every page."""

    def page_size(self, index: int) -> tuple[int, int]:
        """(height, width) of a page's file."""

    def page_classes(self) -> np.ndarray:
        """N×C bool: which classes have regions on a page, crowds left out.

        Raises:
            InputError: an index of shards that does not say.
        """

    def share(self, rank: int, world_size: int) -> np.ndarray | None:
        """The indices of the pages that a process has for itself; None where all processes draw
        from all pages."""


class JoinedDataset:
    """Several data sets one after the other, with one list of classes.

    Args:
        parts: at least one.
        categories: of all; each part's classes are among them by name.

    Raises:
        InputError: a part's class is not among `categories`.
    """

    def __init__(self, parts: Sequence[TrainDataset], categories: Sequence[Category]) -> None:
        self.parts = list(parts)
        self.ends = np.cumsum([len(part) for part in self.parts])
        self.use_categories(categories)

    def use_categories(self, categories: Sequence[Category]) -> None:
        """Number the classes of all parts as a list does."""
        self.categories = list(categories)
        for part in self.parts:
            part.use_categories(categories)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> Sample:
        part, place = self._place(index)
        return part[place]

    def aspect_ratios(self) -> np.ndarray:
        """N float64, height / width of every page."""
        return np.concatenate([part.aspect_ratios() for part in self.parts])

    def page_size(self, index: int) -> tuple[int, int]:
        """(height, width) of a page's file."""
        part, place = self._place(index)
        return part.page_size(place)

    def page_classes(self) -> np.ndarray:
        """N×C bool, as of each part."""
        return np.concatenate([part.page_classes() for part in self.parts])

    def share(self, rank: int, world_size: int) -> np.ndarray | None:
        """None where no part is in shards; else a process has its share of each, and of a part
        without shards every `world_size`-th page."""
        shares = [part.share(rank, world_size) for part in self.parts]
        if all(share is None for share in shares):
            return None
        starts = [0, *self.ends[:-1].tolist()]
        return np.concatenate(
            [
                start + (np.arange(rank, len(part), world_size) if share is None else share)
                for part, share, start in zip(self.parts, shares, starts, strict=True)
            ]
        )

    def _place(self, index: int) -> tuple[TrainDataset, int]:
        number = int(np.searchsorted(self.ends, index, side="right"))
        start = int(self.ends[number - 1]) if number else 0
        return self.parts[number], int(index) - start


def page_repeats(
    dataset: TrainDataset, weights: Sequence[float], threshold: float
) -> np.ndarray | None:
    """How often each page comes in an epoch; None where each comes once.

    A page comes as often as its data set's weight says, times max over its classes of
    max(1, √(threshold / f)), where f is the fraction of pages (as weighted) that have the class:
    repeat-factor sampling, Gupta et al., 2019, https://arxiv.org/abs/1908.03195, section 5.1.

    Args:
        dataset: the pages; a `JoinedDataset` where there are several weights.
        weights: one a data set.
        threshold: of f, below which pages are repeated; 0 is off.

    Returns:
        N float64.
    """
    parts = dataset.parts if isinstance(dataset, JoinedDataset) else [dataset]
    weight = np.repeat(np.asarray(weights, np.float64), [len(part) for part in parts])
    repeats = weight
    if threshold > 0:
        present = dataset.page_classes()  # N×C
        fraction = (weight[:, None] * present).sum(0) / weight.sum()  # C
        of_class = np.sqrt(threshold / np.maximum(fraction, 1e-12)).clip(min=1.0)
        repeats = weight * np.where(present, of_class, 1.0).max(axis=1)
    return None if (repeats == 1).all() else repeats
