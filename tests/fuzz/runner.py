"""Runs a target's inputs in a child process, which is measured, and ended where an input hangs."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import shutil
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm import tqdm

from tests.fuzz.target import CODE, CRASH, ERROR, FINE, HANG, MEMORY, RESULT, SECONDS, TRACEBACK

MAX_BYTES = 2 << 30
"""Memory that a process may take."""
_GRACE = 5
"""Seconds that a child has to end an input by itself, after the alarm."""


@dataclass
class Tally:
    """What came of a target's inputs.

    Attributes:
        counts: outcome → inputs.
        peak: most memory of the process in bytes.
        slowest: seconds of the slowest input, and its number.
        findings: (number, outcome, detail) of inputs that are neither read nor refused cleanly.
    """

    counts: Counter[str] = field(default_factory=Counter)
    peak: int = 0
    slowest: tuple[float, int] = (0.0, 0)
    findings: list[tuple[int, str, str]] = field(default_factory=list)


def work(connection: Connection, name: str, seed: int, first: int, last: int, keep: Path) -> None:
    """A child: try the inputs from `first` up to `last`, and tell about each."""
    from tests.fuzz.target import scratch, try_input
    from tests.fuzz.targets import TARGETS

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries in C have much to say
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    target = TARGETS[name]
    with scratch() as folder:
        os.environ["LMV3DET_CACHE"] = str(folder / "cache")
        tempfile.tempdir = str(folder)
        (folder / "seeds").mkdir()
        seeds = target.prepare(folder / "seeds")
        virtual = _status("VmSize")
        resource.setrlimit(resource.RLIMIT_AS, (virtual + 2 * MAX_BYTES,) * 2)
        for number in range(first, last):
            connection.send(("start", number, "", 0, 0.0))
            place = keep / f"{name}-{seed}-{number}"
            place.mkdir(parents=True)
            Path("/proc/self/clear_refs").write_text("5")  # the peak of this input alone
            outcome, detail, seconds = try_input(target, seeds, seed, number, place)
            peak = _status("VmHWM")
            if outcome in FINE and peak > MAX_BYTES:
                outcome, detail = MEMORY, f"{peak / 2**30:.1f} GiB"
            if outcome in FINE:
                shutil.rmtree(place, ignore_errors=True)
            connection.send((outcome, number, detail, peak, seconds))


def _status(key: str) -> int:
    """Bytes that `/proc/self/status` gives for a key."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    return 0


def run_target(name: str, seed: int, first: int, inputs: int, keep: Path, bar: tqdm) -> Tally:
    """Try inputs of a target in a child process; another one goes on where one has died."""
    tally, context = Tally(), multiprocessing.get_context("spawn")
    number, end = first, first + inputs
    while number < end:
        ours, theirs = context.Pipe()
        child = context.Process(target=work, args=(theirs, name, seed, number, end, keep))
        child.start()
        theirs.close()
        begun = -1
        while number < end:
            try:
                heard = ours.poll(SECONDS + _GRACE if begun == number else 300)
                message = ours.recv() if heard else (HANG, number, "killed", 0, SECONDS)
            except EOFError:
                child.join()
                if begun != number:
                    raise RuntimeError(f"{name}: the child died before its first input") from None
                message = (CRASH, number, f"exit code {child.exitcode}", 0, 0.0)
            if message[0] == "start":
                begun = message[1]
                continue
            outcome, number, detail, peak, seconds = message
            tally.counts[outcome] += 1
            tally.peak, tally.slowest = max(tally.peak, peak), max(tally.slowest, (seconds, number))
            if outcome not in FINE:
                tally.findings.append((number, outcome, detail))
                place = keep / f"{name}-{seed}-{number}"
                (place / "FINDING.txt").write_text(f"{outcome}\n{detail}\n", errors="replace")
            number += 1
            bar.update()
            if detail == "killed" or outcome == CRASH:
                break
        child.kill()
        child.join()
    return tally


def table(tallies: dict[str, Tally]) -> str:
    """The outcomes of each target as Markdown."""
    kinds = (RESULT, ERROR, TRACEBACK, HANG, MEMORY, CRASH, CODE)
    heads = ("reader", "inputs", "results", "clean errors", "tracebacks", "hangs", "over 2 GB",
             "crashes", "code run", "peak MB", "slowest, s")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", f"|---{'|---:' * (len(heads) - 1)}|"]
    for name, tally in tallies.items():
        numbers = [tally.counts.total(), *(tally.counts[kind] for kind in kinds)]
        slowest = f"{tally.slowest[0]:.1f} (no. {tally.slowest[1]})"
        row = [name, *map(str, numbers), f"{tally.peak / 1e6:.0f}", slowest]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)
