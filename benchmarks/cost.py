"""`python -m benchmarks.cost --rate N`: machine hours, days and money for a corpus of pages.

The rate is the input: pages a second of one machine, measured with your pages and your model by
`lmv3det batch`, which prints it. Nothing here is measured.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

SIZES = (1_000_000, 10_000_000, 100_000_000)


@dataclass(frozen=True)
class Job:
    """What a corpus costs.

    Attributes:
        pages: of the corpus.
        rate: pages a second of one machine.
        machines: that work at the same time.
        price: of a machine for an hour, in any currency.
        spare: fraction of the time that is lost, to starts, stops and pages done twice.
        row_bytes: of the result, a page.
    """

    pages: int
    rate: float
    machines: int = 1
    price: float = 0.0
    spare: float = 0.1
    row_bytes: float = 0.0

    @property
    def machine_hours(self) -> float:
        """pages / rate / 3600 · (1 + spare)"""
        return self.pages / self.rate / 3600 * (1 + self.spare)

    @property
    def days(self) -> float:
        """machine hours / machines / 24"""
        return self.machine_hours / self.machines / 24

    @property
    def cost(self) -> float:
        """machine hours · price"""
        return self.machine_hours * self.price

    @property
    def gigabytes(self) -> float:
        """pages · bytes of a row / 10⁹"""
        return self.pages * self.row_bytes / 1e9


def table(jobs: list[Job]) -> str:
    """The jobs as a Markdown table."""
    lines = ["| pages | machine hours | days | cost | result, GB |", "|---|---|---|---|---|"]
    lines += [
        f"| {job.pages:,} | {job.machine_hours:,.0f} | {job.days:,.1f} | {job.cost:,.0f} | "
        f"{job.gigabytes:,.1f} |"
        for job in jobs
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the table of 1, 10 and 100 million pages."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    add = parser.add_argument
    add("--rate", type=float, required=True, help="pages a second of one machine")
    add("--machines", type=int, default=1, help="that work at the same time (%(default)s)")
    add("--price", type=float, default=0.0, help="of a machine for an hour (%(default)s)")
    add("--spare", type=float, default=0.1, help="fraction of the time lost (%(default)s)")
    add("--row-bytes", type=float, default=0.0, help="of the result, a page (%(default)s)")
    given = parser.parse_args(arguments)
    if min(given.rate, given.machines) <= 0 or min(given.price, given.spare, given.row_bytes) < 0:
        print("--rate and --machines must be above 0, the others not below", file=sys.stderr)
        return 1
    print(table([Job(pages, **vars(given)) for pages in SIZES]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
