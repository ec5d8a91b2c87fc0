"""`python -m tests.fuzz`: bad inputs by the thousand for every reader, and what came of them.

An input depends on target, seed and number alone: `--only NAME --seed N --first NUMBER --inputs 1`
makes it again.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tqdm import tqdm

from tests.fuzz.runner import Tally, run_target, table


def main() -> int:
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("--inputs", type=int, default=5000, metavar="N", help="of each target (%(default)s)")
    add("--only", nargs="+", choices=TARGETS, metavar="NAME", help=f"of {', '.join(TARGETS)}")
    add("--seed", type=int, default=0, metavar="N", help="another seed gives other inputs")
    add("--first", type=int, default=0, metavar="NUMBER", help="number of the first input")
    add("--keep", type=Path, default=Path("fuzz-findings"), metavar="DIR",
        help="gets the files of each input that was a finding (%(default)s)")  # fmt: skip
    args = parser.parse_args()
    names = args.only or list(TARGETS)
    tallies: dict[str, Tally] = {}
    bar = tqdm(total=len(names) * args.inputs, unit="input", disable=None)
    with bar:
        for name in names:
            bar.set_description(name)
            began = time.perf_counter()
            tally = run_target(name, args.seed, args.first, args.inputs, args.keep.absolute(), bar)
            tallies[name] = tally
            for number, outcome, detail in tally.findings[:20]:
                last = detail.strip().splitlines()[-1:] or [""]
                bar.write(f"{name} {number}: {outcome}: {last[0]:.200}")
            bar.write(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    print(table(tallies))
    return 1 if any(tally.findings for tally in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
