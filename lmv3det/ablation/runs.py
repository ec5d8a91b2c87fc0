"""A run of an ablation: a system with a seed, trained once and known by its metrics file.

A run is written to `OUT/runs/<system>-seed<k>/`. Its `metrics.json`, written when it is finished,
is all that the table and a later call need; without it the run goes on from its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmv3det.ablation.table import METRICS, read_run
from lmv3det.config import Config
from lmv3det.errors import InputError
from lmv3det.files import read_json, write_json

log = logging.getLogger(__name__)

RUNS, STARTED, MODEL = "runs", "started.json", "model.pth"


@dataclass
class Run:
    """A system with a seed.

    Attributes:
        system: its name.
        seed: of the run.
        folder: where it is written.
        config: complete.
        facts: what its metrics file says about it apart from the metrics.
        keep: keep the trained model.
    """

    system: str
    seed: int
    folder: Path
    config: Config
    facts: dict[str, Any]
    keep: bool = False

    @property
    def name(self) -> str:
        return self.folder.name

    def finished(self) -> bool:
        """Whether its metrics file is there.

        Raises:
            InputError: it, or the beginning of the run, was made with other settings or pages.
        """
        path = self.folder / METRICS
        if path.is_file():
            _check_same(path, read_run(path), self.facts)
            if self.keep and not (self.folder / MODEL).is_file():
                log.warning(
                    "%s is finished but its model was not kept; remove %s to train it again",
                    self.name,
                    self.folder,
                )
            return True
        started = self.folder / STARTED
        if started.is_file():
            _check_same(started, read_json(started), self.facts)
        return False


def _check_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    before = {
        **old.get("settings", {}),
        "--init": old.get("init"),
        "--size": old.get("size"),
    }
    after = {**new["settings"], "--init": new["init"], "--size": new["size"]}
    before["the start"], after["the start"] = old.get("start"), new.get("start")
    if None in (before["the start"], after["the start"]):  # not known: the file is gone, say
        del before["the start"]
    before["the pages"], after["the pages"] = old["pages"], new["pages"]
    for key in sorted(before.keys() & after.keys()):
        if before[key] != after[key]:
            raise InputError(
                f"{path}: the run was made with {key} = {before[key]!r}, now it is "
                f"{after[key]!r}: use another --out, or remove {path.parent} to run it again"
            )


def train_run(run: Run) -> None:
    """Train a run, from its last checkpoint where there is one, and write its metrics file.

    Raises:
        InputError: data or settings cannot be used; a loss was not finite.
        Interrupted: a signal came; the run goes on from there next time.
    """
    from lmv3det.checkpoint.file import load_checkpoint, save_checkpoint
    from lmv3det.engine.log import read_entries
    from lmv3det.engine.run import train
    from lmv3det.engine.run_files import LAST, checkpoints

    write_json(run.folder / STARTED, run.facts)
    last = train(run.config, resume=(run.folder / LAST).is_file())
    entries = read_entries(run.folder)
    steps = run.config.solver.steps
    scored = [e for e in entries if "evaluation" in e and e["step"] == steps]
    content = {
        **run.facts,
        "seconds": round(_seconds(entries, run.config.solver.batch_size), 1),
        "metrics": scored[-1]["evaluation"],
    }
    if run.keep:
        save_checkpoint(run.folder / MODEL, dataclasses.replace(load_checkpoint(last), training={}))
    write_json(run.folder / METRICS, content)
    for path in checkpoints(run.folder):
        path.unlink()


def _seconds(entries: Sequence[dict[str, Any]], batch_size: int) -> float:
    """Time of the training steps, from the speeds in the log."""
    seconds, before = 0.0, 0
    for entry in entries:
        if "pages_per_second" in entry:
            seconds += (entry["step"] - before) * batch_size / entry["pages_per_second"]
            before = entry["step"]
    return seconds
