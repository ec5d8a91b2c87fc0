"""`lmv3det ablation`: train several systems alike, score them alike, print the table.

A run is a system with a seed, in `OUT/runs/<system>-seed<k>/`. Its `metrics.json`, written when it
is finished, is all that the table and a later call need; without it the run goes on from its last
checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmv3det.ablation.splits import (
    MOST_ENTRIES,
    Split,
    data_folder,
    given_split,
    split_pages,
    tokenizer_of_pages,
)
from lmv3det.ablation.systems import (
    SYSTEMS,
    System,
    read_systems,
    settings,
    system_config,
    with_new_keys,
)
from lmv3det.ablation.table import (
    METRICS,
    Row,
    check_comparable,
    peer_row,
    read_run,
    read_runs,
    table,
    write_tables,
)
from lmv3det.config import Config, bases, from_dict, to_dict
from lmv3det.errors import InputError
from lmv3det.files import write_json

log = logging.getLogger(__name__)

RUNS, STARTED, MODEL = "runs", "started.json", "model.pth"
_SETTING = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z0-9_]+)*=")
_TAKEN = re.compile(r"(output_dir|seed|data\.(train|val)(\..*)?)=")


@dataclass
class Run:
    """A system with a seed.

    Attributes:
        system: its name.
        seed: of the run.
        folder: where it is written.
        config: complete.
        facts: what its metrics file says about it beside the metrics.
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
            _check_same(started, json.loads(started.read_text(encoding="utf-8")), self.facts)
        return False


def _check_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    before = {
        **with_new_keys(old.get("settings", {})),
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
    from lmv3det.engine.state import LAST, checkpoints

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det ablation`."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="data set folder (annotations.json, images/, OCR/); without it nothing is trained "
        "and the table is written from the finished runs",
    )
    parser.add_argument(
        "--configs",
        nargs="+",
        default=list(SYSTEMS),
        metavar="NAME[:key=value]",
        help="configs by name or path, with settings of their own behind a colon, such as "
        "af2:fusion.only_where_text=true (default: the twelve rows of the table)",
    )
    parser.add_argument(
        "--size",
        default="base",
        help="base: as the configs say; tiny: for a CPU; or a config whose sizes, rates and "
        "budget all systems take (%(default)s)",
    )
    parser.add_argument("--steps", type=int, help="steps of every run (default: the size's)")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each system (%(default)s)")
    held = parser.add_mutually_exclusive_group()
    held.add_argument(
        "--val-share", type=float, default=0.2, help="share of the pages held back (%(default)s)"
    )
    held.add_argument("--val", type=Path, metavar="DIR", help="folder of the held-back pages")
    parser.add_argument(
        "--split-seed", type=int, default=0, help="seed of the draw of these pages (%(default)s)"
    )
    parser.add_argument(
        "--resplit", action="store_true", help="hold back other pages for every seed"
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=results.json",
        help="a row from COCO results of another detector on the same pages",
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="DIR",
        help="start each run from a model in the --out of an earlier ablation that was made with "
        "--keep-checkpoints: of the same system, or of the nearest one it is built on; of the "
        "same seed, or of seed 0",
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (%(default)s)")
    parser.add_argument(
        "--keep-checkpoints", action="store_true", help=f"keep every trained model as {MODEL}"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of all systems")


def run(args: argparse.Namespace) -> int:
    """`lmv3det ablation`: 0 when all runs are finished, 1 when some failed, 130 on Ctrl-C."""
    from lmv3det.ablation.jobs import execute

    # Settings that stand behind --configs.
    words = [word for word in args.configs if _SETTING.match(word)]
    args.configs = [word for word in args.configs if word not in words] or list(SYSTEMS)
    args.overrides = [*words, *args.overrides]
    _check_arguments(args)
    peers: list[Row] = []
    code, failed = 0, list[str]()
    try:
        if args.data is not None:
            systems = read_systems(args.configs)
            for system in systems:  # faults of configs before any work
                _config(args, system, 0)
            splits = _splits(args)
            peers = [peer_row(name, path, splits) for name, path in map(_peer, args.peer)]
            runs = _plan(args, systems, splits)
            todo = [run for run in runs if not run.finished()]
            check_comparable([*read_runs(args.out / RUNS), *(run.facts for run in todo)])
            log.info("%d runs, of which %d are finished", len(runs), len(runs) - len(todo))
            code, failed = execute(todo, args.jobs)
    finally:
        rows = write_tables(args.out, read_runs(args.out / RUNS), peers)
    if rows:
        print(table(rows))
    if failed:
        raise InputError(
            f"{len(failed)} runs failed: {'; '.join(failed)}. The others are kept; the same "
            "command tries these again"
        )
    if not rows and not code:
        raise InputError(f"{args.out}: no finished run; give --data DIR to train some")
    return code


def _check_arguments(args: argparse.Namespace) -> None:
    for name, least in (("seeds", 1), ("jobs", 1), ("steps", 1), ("split_seed", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            option = name.replace("_", "-")
            raise InputError(f"--{option} is {value}: give {least} or more")
    if args.data is None and args.peer:
        raise InputError("--peer needs --data DIR, whose held-back pages it is scored on")
    if args.resplit and args.val is not None:
        raise InputError("--resplit draws the held-back pages, which --val gives: leave one out")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "ablation does not run under torchrun: several cards are used by --jobs, one run each"
        )
    for word in args.overrides:
        if _TAKEN.match(word):
            raise InputError(
                f"{word!r}: output_dir, seed and data are set by --out, --seeds, --data and --val"
            )


def _splits(args: argparse.Namespace) -> dict[int, Split]:
    """Seed → split."""
    data = data_folder(args.data)
    if args.val is not None:
        split = given_split(data, data_folder(args.val, "--val"))
        return dict.fromkeys(range(args.seeds), split)
    drawn: dict[int, Split] = {}
    for seed in range(args.seeds):
        number = args.split_seed + (seed if args.resplit else 0)
        out = args.out / "data" / f"split{number}"
        same = drawn.get(0) if not args.resplit else None
        drawn[seed] = same or split_pages(data, args.val_share, number, out)
    return drawn


def _peer(word: str) -> tuple[str, Path]:
    name, equals, path = word.partition("=")
    if not (name and equals and path):
        raise InputError(f"--peer {word}: write NAME=results.json")
    return name, Path(path)


def _config(args: argparse.Namespace, system: System, seed: int) -> Config:
    """The config of a run, its data and output left open."""
    config = system_config(system, args.size, ["solver.evaluate_every=0", *args.overrides])
    config.seed, config.solver.keep_last = seed, 0
    if args.steps is None:
        return config
    # A warm-up that nobody asked for takes no more than a tenth of a shortened run.
    config.solver.steps = args.steps
    if not any(word.startswith("solver.warmup_steps=") for word in args.overrides):
        config.solver.warmup_steps = min(config.solver.warmup_steps, args.steps // 10)
    return from_dict(to_dict(config), f"{system.path} with --steps {args.steps}")


def _plan(
    args: argparse.Namespace, systems: Sequence[System], splits: dict[int, Split]
) -> list[Run]:
    """All runs, a seed of every system before the next seed."""
    runs, starts = [], dict[str, str]()
    for seed, split in splits.items():
        configs = {system: _config(args, system, seed) for system in systems}
        tokenizer = _tokenizer(args, split, list(configs.values()))
        for system, config in configs.items():
            folder = args.out / RUNS / f"{system.folder}-seed{seed}"
            config.output_dir = str(folder)
            config.data.train, config.data.val = split.train, split.val
            own = any(word.startswith("text.tokenizer=") for word in system.overrides)
            if config.text.selection != "none" and tokenizer is not None and not own:
                config.text.tokenizer = str(tokenizer)
            facts = {
                "system": system.name,
                "seed": seed,
                "size": args.size if args.size in ("base", "tiny") else Path(args.size).stem,
                "init": args.init is not None,
                "pages": split.pages,
                "settings": settings(config),
            }
            run = Run(system.name, seed, folder, config, facts, args.keep_checkpoints)
            if args.init is not None and not (folder / METRICS).is_file():
                start = _initial(args.init, system, seed)
                config.model.weights = str(start)
                log.info("%s starts from %s", run.name, start)
            weights = config.model.weights
            if weights and Path(weights).is_file():
                starts[weights] = facts["start"] = starts.get(weights) or _start(Path(weights))
            runs.append(run)
    return runs


def _start(path: Path) -> str:
    """What a run starts from: the file with its folder's name, and a digest."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return f"{path.parent.name}/{path.name} ({digest})"


def _initial(init: Path, system: System, seed: int) -> Path:
    """The model that a run starts from: of its system, or else of the nearest config that the
    system is built on (`af1` → `we_f3` → `base`); of its seed, or else of seed 0."""
    names = [system.folder, *(path.stem for path in (system.path, *bases(system.path)))]
    tried = [init / RUNS / f"{name}-seed{n}" / MODEL for name in names for n in (seed, 0)]
    for path in tried:
        if path.is_file():
            return path
    raise InputError(
        f"--init {init}: none of {', '.join(dict.fromkeys(p.parent.name for p in tried))} has a "
        f"{MODEL} in {init / RUNS}; make one by the ablation of --out {init} with "
        "--keep-checkpoints"
    )


def _tokenizer(args: argparse.Namespace, split: Split, configs: Sequence[Config]) -> Path | None:
    """The tokenizer of all systems with text; None where the configs name their own."""
    readers = [config for config in configs if config.text.selection != "none"]
    given = any(word.startswith("text.tokenizer=") for word in args.overrides)
    if given or not readers:
        return None
    if args.size == "base" and all(
        config.text.tokenizer and Path(config.text.tokenizer).is_dir() for config in readers
    ):
        return None
    if any(config.model.weights for config in readers):
        raise InputError(
            "model.weights is set, so the tokenizer that belongs to it is needed: give it by "
            "text.tokenizer=FOLDER"
        )
    if args.init is not None:
        folders = sorted((args.init / "tokenizer").glob("*/tokenizer.json"))
        if len(folders) != 1:
            raise InputError(
                f"--init {args.init}: {len(folders)} tokenizers in its folder tokenizer/; give the "
                "one that its models were trained with by text.tokenizer=FOLDER"
            )
        return folders[0].parent
    size = min(MOST_ENTRIES, *(config.backbone.vocab_size for config in readers))
    folder = args.out / "tokenizer" / str(split.pages["digest"])
    return tokenizer_of_pages(folder, split, readers[0], size)
