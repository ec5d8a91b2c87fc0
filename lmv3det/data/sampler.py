"""The order of pages in training.

Training pages come as one endless seeded stream of micro-batches. Of W processes, process r takes
micro-batches r, r + W, r + 2W, …: two processes with a page each see the same pages in the same
order as one process that accumulates two micro-batches.

With a share every process has a stream of its own pages instead; that of a single process, which
has all pages, is the same as without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


class TrainSampler(Sampler[list[tuple[int, int]]]):
    """An endless, seeded, restorable stream of micro-batches, shared out among processes.

    Every page comes once an epoch, in an order of that epoch; with `repeats`, as often as these
    say: a page of 1.5 comes once or twice, by chance, and the epoch's length is always the same.
    With `group_by_aspect` pages are dealt onto a pile of tall and one of wide pages, and a pile
    makes a micro-batch as soon as it is high enough; what is left on a pile stays for the next
    epoch.

    Args:
        aspect_ratios: height / width of each page.
        pages_per_batch: pages of a micro-batch.
        seed: of the run.
        rank: of this process.
        world_size: number of processes.
        start: micro-batches that this process has consumed already.
        group_by_aspect: batch tall with tall and wide with wide.
        share: indices of the pages that this process has for itself; None: all processes draw from
            all pages.
        repeats: of each page, how often it comes in an epoch; None: once.

    Yields:
        Micro-batches as lists of (page index, seed of the page's augmentation). The seed depends on
        the run's seed and the place in the stream of all processes alone.
    """

    def __init__(
        self,
        aspect_ratios: Sequence[float] | np.ndarray,
        pages_per_batch: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        start: int = 0,
        group_by_aspect: bool = True,
        share: np.ndarray | None = None,
        repeats: np.ndarray | None = None,
    ) -> None:
        if not len(aspect_ratios) or pages_per_batch < 1 or not 0 <= rank < world_size:
            raise ValueError(
                f"{len(aspect_ratios)} pages, {pages_per_batch} a batch, rank {rank} of "
                f"{world_size}: need pages, a batch of 1 or more, and a rank below the number"
            )
        self.share = share
        ratios = np.asarray(aspect_ratios)
        wide = ((ratios if share is None else ratios[share]) < 1) & group_by_aspect
        self.wide = wide.tolist()
        counts = np.array([len(wide) - wide.sum(), wide.sum()])
        self.repeats = None
        if repeats is not None:
            repeats = repeats if share is None else repeats[share]
            wanted = np.array([repeats[~wide].sum(), repeats[wide].sum()])
            counts = np.where(counts > 0, wanted.round().astype(int).clip(min=1), 0)
            # Scaled, so that the sum over a pile is the whole number that an epoch has of it.
            self.repeats = repeats * (counts / np.maximum(wanted, 1e-12))[wide.astype(int)]
        self.counts: tuple[int, int] = (int(counts[0]), int(counts[1]))
        """Pages of an epoch: tall ones, wide ones."""
        self.pages_per_batch, self.seed = pages_per_batch, seed
        self.rank, self.world_size, self.start = rank, world_size, start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first = self.start * (self.world_size if self.share is None else 1)
        for number, pages in self._micro_batches(first):
            turn, rank = divmod(number, self.world_size)
            if self.share is not None:
                turn, rank = number, self.rank
                pages = self.share[pages].tolist()
            if rank == self.rank and turn >= self.start:
                first = (turn * self.world_size + rank) * self.pages_per_batch
                yield [(page, self._page_seed(first + k)) for k, page in enumerate(pages)]

    def _micro_batches(self, first: int) -> Iterator[tuple[int, list[int]]]:
        """The micro-batches of the stream from number `first` at the latest, with their numbers.

        Whole epochs before that are not drawn. Of those, all but the last few matter by how many
        pages they left on the piles alone.
        """
        seeds: tuple[int, ...]
        size, counts = self.pages_per_batch, self.counts
        epoch = first * size // sum(counts)  # micro-batch `first` ends in this epoch or later
        epoch = max(epoch - max(-(-size // count) for count in counts if count), 0)
        piles = tuple([-1] * (epoch * count % size) for count in counts)
        number = sum(epoch * count // size for count in counts)
        while True:
            seeds = (self.seed, epoch)
            if self.share is not None and self.rank:
                seeds += (self.rank,)
            for page in self._epoch(np.random.default_rng(seeds)).tolist():
                pile = piles[self.wide[page]]
                pile.append(page)
                if len(pile) == size:
                    yield number, pile.copy()
                    pile.clear()
                    number += 1
            epoch += 1

    def _epoch(self, generator: np.random.Generator) -> np.ndarray:
        """The pages of an epoch in their order."""
        order = generator.permutation(len(self.wide))
        if self.repeats is None:
            return order
        wide = np.array(self.wide)[order]
        chosen = []
        for pile in (order[~wide], order[wide]):
            # Systematic sampling: where the running sum passes a whole number, a page comes.
            # The start is kept off whole numbers, which rounding errors might miss.
            start = 1e-6 + generator.random() * (1 - 2e-6)
            passed = np.floor(np.cumsum(self.repeats[pile]) + start)
            chosen.append(np.repeat(pile, np.diff(passed, prepend=0.0).astype(int)))
        return generator.permutation(np.concatenate(chosen))

    def _page_seed(self, position: int) -> int:
        state = np.random.SeedSequence((self.seed, position)).generate_state(1, np.uint64)
        return int(state[0])
