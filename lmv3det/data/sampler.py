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

    Every page comes once an epoch, in an order of that epoch. With `group_by_aspect` pages are
    dealt onto a pile of tall and one of wide pages, and a pile makes a micro-batch as soon as it is
    high enough; what is left on a pile stays for the next epoch.

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
    ) -> None:
        if not len(aspect_ratios) or pages_per_batch < 1 or not 0 <= rank < world_size:
            raise ValueError(
                f"{len(aspect_ratios)} pages, {pages_per_batch} a batch, rank {rank} of "
                f"{world_size}: need pages, a batch of 1 or more, and a rank below the number"
            )
        self.share = share
        ratios = np.asarray(aspect_ratios)
        self.wide = (((ratios if share is None else ratios[share]) < 1) & group_by_aspect).tolist()
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
        size, wide = self.pages_per_batch, sum(self.wide)
        counts = (len(self.wide) - wide, wide)
        epoch = first * size // len(self.wide)  # micro-batch `first` ends in this epoch or later
        epoch = max(epoch - max(-(-size // count) for count in counts if count), 0)
        piles = tuple([-1] * (epoch * count % size) for count in counts)
        number = sum(epoch * count // size for count in counts)
        while True:
            seeds = (self.seed, epoch)
            if self.share is not None and self.rank:
                seeds += (self.rank,)
            order = np.random.default_rng(seeds).permutation(len(self.wide))
            for page in order.tolist():
                pile = piles[self.wide[page]]
                pile.append(page)
                if len(pile) == size:
                    yield number, pile.copy()
                    pile.clear()
                    number += 1
            epoch += 1

    def _page_seed(self, position: int) -> int:
        state = np.random.SeedSequence((self.seed, position)).generate_state(1, np.uint64)
        return int(state[0])
