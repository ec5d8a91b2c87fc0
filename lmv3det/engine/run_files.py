"""The checkpoints in a run's folder: their names, which are kept, writing them."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from pathlib import Path

from lmv3det.checkpoint.file import Checkpoint, save_checkpoint
from lmv3det.files import replacing

LAST, BEST = "last.pth", "best.pth"
_NUMBERED = re.compile(r"step_(\d+)\.pth")


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run: last, best and numbered, as far as they exist."""
    named = [folder / name for name in (LAST, BEST) if (folder / name).is_file()]
    return named + [path for _, path in numbered(folder)]


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """Steps and paths of the numbered checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    found = [(m, path) for path in folder.iterdir() if (m := _NUMBERED.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def save_last(folder: Path, checkpoint: Checkpoint, *, keep: int, number: bool) -> Path:
    """Write `last.pth`; with `number`, as `step_N.pth` too, of which the newest `keep` remain.

    The two are one file under two names where the file system can do that, else a copy.
    """
    last = folder / LAST
    if not (number and keep):
        save_checkpoint(last, checkpoint)
        return last
    path = folder / f"step_{checkpoint.step}.pth"
    save_checkpoint(path, checkpoint)
    for _, old in numbered(folder)[:-keep]:  # now: a job killed below may have no more to save
        if old != path:
            old.unlink()
    with replacing(last) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)
    return last


def save_best(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `best.pth`, without the state of the run."""
    save_checkpoint(folder / BEST, dataclasses.replace(checkpoint, training={}))
