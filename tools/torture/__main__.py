"""The command line of `python -m tools.torture`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from tools.torture import __doc__ as about
from tools.torture.faults import FAULTS, try_fault
from tools.torture.jobs import JOBS, prepare
from tools.torture.kills import Tally, ready_to_fork, torture


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.torture", description=about)
    add = parser.add_argument
    add("--kills", type=int, default=25, metavar="N", help="of each job (%(default)s)")
    add("--only", nargs="+", choices=JOBS, metavar="JOB", help=f"of {', '.join(JOBS)}")
    add("--seed", type=int, default=0, metavar="N", help="another seed kills at other moments")
    add("--work", type=Path, metavar="DIR", help="folder that is kept (default: a temporary one)")
    args = parser.parse_args()
    ready_to_fork()
    with tempfile.TemporaryDirectory(prefix="lmv3det-torture-") as temporary:
        work = args.work or Path(temporary)
        prepare(work / "inputs")
        return _run(args, work)


def _run(args: argparse.Namespace, work: Path) -> int:
    names = args.only or list(JOBS)
    tallies: dict[str, Tally] = {}
    bar = tqdm(total=args.kills * len(names), unit="kill", disable=None)
    with bar:
        for name in names:
            bar.set_description(name)
            folder, began = work / name.replace(" ", "_"), time.monotonic()
            folder.mkdir()
            tallies[name] = torture(
                JOBS[name], work / "inputs", folder, args.kills, args.seed, bar.update
            )
            for problem in tallies[name].problems:
                bar.write(f"{name}: {problem}")
            bar.write(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(table(tallies))
    wrong = sum(len(tally.problems) for tally in tallies.values())
    for name in names:
        for fault in FAULTS:
            outcome, fine = try_fault(JOBS[name], fault, work / "inputs", work / "faults")
            wrong += not fine
            print(f"{'' if fine else 'PROBLEM '}{name}, {fault}: {outcome}")
    return 1 if wrong else 0


def table(tallies: dict[str, Tally]) -> str:
    """What came of the kills, as Markdown."""
    heads = ("job", "kills", "of these right before a file operation", "jobs that reached the end",
             "problems", "left behind")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", f"|---{'|---:' * (len(heads) - 1)}|"]
    for name, tally in tallies.items():
        row = (name, tally.kills, tally.before_change, tally.ends, len(tally.problems),
               len(tally.leftovers))  # fmt: skip
        lines.append(f"| {' | '.join(map(str, row))} |")
    total = [sum(t.kills for t in tallies.values()), sum(t.before_change for t in tallies.values())]
    return "\n".join([*lines, f"\n{total[0]} kills, {total[1]} of them before a file operation"])


if __name__ == "__main__":
    sys.exit(main())
