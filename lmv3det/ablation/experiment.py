"""An ablation: which runs it has, what each starts from, and carrying them out."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lmv3det.ablation.jobs import execute
from lmv3det.ablation.runs import MODEL, RUNS, Run
from lmv3det.ablation.splits import (
    MAX_ENTRIES,
    Split,
    data_folder,
    given_split,
    split_pages,
    tokenizer_of_pages,
)
from lmv3det.ablation.systems import SYSTEMS, System, read_systems, settings, system_config
from lmv3det.ablation.table import (
    METRICS,
    Row,
    check_comparable,
    keep_peers,
    kept_peers,
    peer_row,
    read_runs,
    write_tables,
)
from lmv3det.config import Config, TrainSplitConfig, bases, from_dict, to_dict
from lmv3det.errors import InputError

log = logging.getLogger(__name__)


@dataclass
class Ablation:
    """What an ablation trains, and on what.

    Attributes:
        out: folder to write to.
        data: data set folder; None trains nothing.
        configs: systems, as `read_systems` takes them.
        size: `base`, `tiny`, or a config whose sizes, lr and budget all systems take.
        steps: of every run; None: the size's.
        seeds: runs of each system.
        val_fraction: of the pages, held back.
        val: folder of the held-back pages, instead of a drawn fraction.
        split_seed: seed of the draw of the held-back pages.
        resplit: hold back other pages for every seed.
        peers: name → COCO results of another detector on the same pages.
        init: `out` of an earlier ablation whose models the runs start from.
        keep_checkpoints: keep every trained model.
        overrides: `key=value` settings of all systems.
    """

    out: Path
    data: Path | None = None
    configs: Sequence[str] = SYSTEMS
    size: str = "base"
    steps: int | None = None
    seeds: int = 1
    val_fraction: float = 0.2
    val: Path | None = None
    split_seed: int = 0
    resplit: bool = False
    peers: Mapping[str, Path] = field(default_factory=dict)
    init: Path | None = None
    keep_checkpoints: bool = False
    overrides: Sequence[str] = ()

    def run(self, jobs: int = 1) -> tuple[list[Row], int, list[str]]:
        """Train the runs that are not finished, and write the table of all that are.

        Args:
            jobs: runs at a time.

        Returns:
            The table's rows; 0, or 128 + the number of the signal that ended the work early; and
            what failed.

        Raises:
            InputError: data or settings that cannot be used. The table is written all the same.
        """
        peers: list[Row] = []
        code, failed = 0, list[str]()
        try:
            if self.data is not None:
                systems = read_systems(self.configs)
                for system in systems:  # faults of configs before any work
                    _config(self, system, 0)
                splits = _splits(self, self.data)
                peers = [peer_row(name, path, splits) for name, path in self.peers.items()]
                keep_peers(self.out, peers, splits)
                runs = _plan(self, systems, splits)
                todo = [run for run in runs if not run.finished()]
                check_comparable([*read_runs(self.out / RUNS), *(run.facts for run in todo)])
                log.info("%d runs, of which %d are finished", len(runs), len(runs) - len(todo))
                code, failed = execute(todo, jobs)
        finally:
            finished = read_runs(self.out / RUNS)
            rows = write_tables(
                self.out, finished, [*kept_peers(self.out, finished, peers), *peers]
            )
        return rows, code, failed


def _splits(ablation: Ablation, folder: Path) -> dict[int, Split]:
    """Seed → split."""
    data = data_folder(folder)
    if ablation.val is not None:
        split = given_split(data, data_folder(ablation.val, "--val"))
        return dict.fromkeys(range(ablation.seeds), split)
    drawn: dict[int, Split] = {}
    for seed in range(ablation.seeds):
        number = ablation.split_seed + (seed if ablation.resplit else 0)
        out = ablation.out / "data" / f"split{number}"
        same = drawn.get(0) if not ablation.resplit else None
        drawn[seed] = same or split_pages(data, ablation.val_fraction, number, out)
    return drawn


def _config(ablation: Ablation, system: System, seed: int) -> Config:
    """The config of a run, its data and output left open."""
    config = system_config(system, ablation.size, ["solver.evaluate_every=0", *ablation.overrides])
    config.seed, config.solver.keep_last = seed, 0
    if ablation.steps is None:
        return config
    # A warm-up that nobody asked for takes no more than a tenth of a shortened run.
    config.solver.steps = ablation.steps
    if not any(word.startswith("solver.warmup_steps=") for word in ablation.overrides):
        config.solver.warmup_steps = min(config.solver.warmup_steps, ablation.steps // 10)
    return from_dict(to_dict(config), f"{system.path} with --steps {ablation.steps}")


def _plan(ablation: Ablation, systems: Sequence[System], splits: dict[int, Split]) -> list[Run]:
    """All runs, a seed of every system before the next seed."""
    runs, starts = [], dict[str, str]()
    for seed, split in splits.items():
        configs = {system: _config(ablation, system, seed) for system in systems}
        tokenizer = _tokenizer(ablation, split, list(configs.values()))
        for system, config in configs.items():
            folder = ablation.out / RUNS / f"{system.folder}-seed{seed}"
            config.output_dir = str(folder)
            config.data.train = TrainSplitConfig(**dataclasses.asdict(split.train))
            config.data.val = split.val
            own = any(word.startswith("text.tokenizer=") for word in system.overrides)
            if config.text.selection != "none" and tokenizer is not None and not own:
                config.text.tokenizer = str(tokenizer)
            facts = {
                "system": system.name,
                "seed": seed,
                "size": ablation.size
                if ablation.size in ("base", "tiny")
                else Path(ablation.size).stem,
                "init": ablation.init is not None,
                "pages": split.pages,
                "settings": settings(config),
            }
            run = Run(system.name, seed, folder, config, facts, ablation.keep_checkpoints)
            if ablation.init is not None and not (folder / METRICS).is_file():
                start = _initial(ablation.init, system, seed)
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


def _tokenizer(ablation: Ablation, split: Split, configs: Sequence[Config]) -> Path | None:
    """The tokenizer of all systems with text; None where the configs name their own."""
    readers = [config for config in configs if config.text.selection != "none"]
    given = any(word.startswith("text.tokenizer=") for word in ablation.overrides)
    if given or not readers:
        return None
    if ablation.size == "base" and all(
        config.text.tokenizer and Path(config.text.tokenizer).is_dir() for config in readers
    ):
        return None
    if any(config.model.weights for config in readers):
        raise InputError(
            "model.weights is set, so the tokenizer that belongs to it is needed: give it by "
            "text.tokenizer=FOLDER"
        )
    if ablation.init is not None:
        folders = sorted((ablation.init / "tokenizer").glob("*/tokenizer.json"))
        if len(folders) != 1:
            raise InputError(
                f"--init {ablation.init}: {len(folders)} tokenizers in its folder tokenizer/; give "
                "the one that its models were trained with by text.tokenizer=FOLDER"
            )
        return folders[0].parent
    size = min(MAX_ENTRIES, *(config.backbone.vocab_size for config in readers))
    folder = ablation.out / "tokenizer" / str(split.pages["digest"])
    return tokenizer_of_pages(folder, split, readers[0], size)
