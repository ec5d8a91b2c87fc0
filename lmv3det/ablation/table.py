"""The table of an ablation: from the runs' metrics files to Markdown, CSV and a bar chart."""

from __future__ import annotations

import csv
import hashlib
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmv3det.ablation.splits import Split
from lmv3det.ablation.systems import REFERENCE, SYSTEMS
from lmv3det.data.coco import CocoDataset
from lmv3det.errors import InputError
from lmv3det.evaluation.tables import markdown_table, number
from lmv3det.files import is_number, read_json, replacing, write_json

METRICS = "metrics.json"
PEERS = "peers"
"""The folder of the peers' scores."""
ANY = -1
"""The seed of a peer's row, whose detections are the same for all seeds."""


@dataclass
class Row:
    """A row of the table.

    Attributes:
        name: of the system.
        runs: seed → its bbox metrics `{"AP", "AP50", "AP75", "AR100", "per_class": {…}}`.
    """

    name: str
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)

    def values(self, key: str = "AP", name: str | None = None) -> dict[int, float]:
        """Seed → a figure of all classes, or of one; seeds without it are left out."""
        scores = {
            seed: run if name is None else run["per_class"].get(name, {})
            for seed, run in self.runs.items()
        }
        return {seed: s[key] for seed, s in scores.items() if s.get(key) is not None}


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of n figures; None where there are too few."""

    mean: float | None
    deviation: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        values = list(values)
        return cls(
            statistics.fmean(values) if values else None,
            statistics.stdev(values) if len(values) > 1 else None,
            len(values),
        )

    def text(self, sign: bool = False) -> str:
        """`12.3 ± 0.4`, with `sign` `+12.3 ± 0.4`; a dash without figures."""
        if self.mean is None:
            return number(None)
        value = round(self.mean, 1) + 0.0  # no "-0.0"
        shown = f"{value:+.1f}" if sign and value else f"{value:.1f}"
        return shown if self.deviation is None else f"{shown} ± {self.deviation:.1f}"


def difference(row: Row, reference: Row | None) -> Spread:
    """mAP of a row less that of the reference: of runs with the same seed, which differ in the
    system alone; a peer's is compared with the mean over the reference's seeds."""
    if reference is None:
        return Spread.of([])
    own, other = row.values(), reference.values()
    if ANY in own:
        return Spread.of([own[ANY] - statistics.fmean(other.values())] if other else [])
    return Spread.of(own[seed] - other[seed] for seed in sorted(own.keys() & other.keys()))


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """The contents of `<folder>/*/metrics.json`.

    Raises:
        InputError: one that cannot be read.
    """
    return [read_run(path) for path in sorted(folder.glob(f"*/{METRICS}"))]


def read_run(path: Path) -> dict[str, Any]:
    """A run's metrics file.

    Raises:
        InputError: it is not one.
    """
    try:
        run = read_json(path)
    except InputError as error:
        raise InputError(f"{error}; remove it to run it again") from None
    if not _is_run(run):
        raise InputError(f"{path}: not a run of an ablation; remove it to run it again")
    return run


def _is_run(run: Any) -> bool:
    kinds = {"system": str, "seed": int, "size": str, "settings": dict, "metrics": dict}
    if not isinstance(run, dict) or any(type(run.get(key)) is not k for key, k in kinds.items()):
        return False
    pages, scores = run.get("pages"), run["metrics"].get("bbox")
    if not isinstance(pages, dict) or not isinstance(pages.get("digest"), str):
        return False
    per_class = scores.get("per_class") if isinstance(scores, dict) else None
    return isinstance(per_class, dict) and all(
        value is None or is_number(value)
        for part in (scores, *per_class.values())
        for value in (part.values() if isinstance(part, dict) else [part])
        if value is not per_class
    )


def check_comparable(runs: Sequence[dict[str, Any]]) -> None:
    """See that one table may hold the runs: the same size, budget and, for each seed, pages.

    Raises:
        InputError: they differ; names two runs and what differs.
    """
    first: dict[Any, tuple[Any, str]] = {}
    for run in runs:
        seed, steps = run["seed"], run["settings"].get("solver.steps")
        batch = run["settings"].get("solver.batch_size")
        facts: dict[Any, Any] = {
            "--size": run["size"],
            "solver.steps": steps,
            "solver.batch_size": batch,
            f"pages of seed {seed}": run["pages"]["digest"],
            "--init": run.get("init"),
        }
        name = f"{run['system']} (seed {seed})"
        for what, value in facts.items():
            known, by = first.setdefault(what, (value, name))
            if known != value:
                raise InputError(
                    f"{what} is {known!r} in the run {by} and {value!r} in {name}, which one table "
                    "cannot compare: use another --out, or remove the folders of the runs that "
                    "are not wanted"
                )


def rows_of(runs: Sequence[dict[str, Any]], peers: Sequence[Row] = ()) -> list[Row]:
    """The rows of a table: peers first, then the known systems in their order, each followed by
    its variants, then others by name."""
    rows: dict[str, Row] = {}
    for run in runs:
        row = rows.setdefault(run["system"], Row(run["system"]))
        row.runs[run["seed"]] = run["metrics"]["bbox"]

    def place(name: str) -> tuple[int, str]:
        stem = name.partition("+")[0]
        return (SYSTEMS.index(stem) if stem in SYSTEMS else len(SYSTEMS), name)

    return [*peers, *(rows[name] for name in sorted(rows, key=place))]


def peer_row(name: str, path: Path, splits: dict[int, Split]) -> Row:
    """Score a peer's COCO results on the held-back pages.

    Args:
        name: of the row.
        path: a JSON list of `{"image_id", "category_id", "bbox": [x, y, w, h], "score"}` with the
            ids of the data set; results of other pages are left out.
        splits: seed → split. Where all are the same, the row has one run.

    Raises:
        InputError: a file that is not such a list, an unknown category, no result of a held-back
            page.
    """
    from lmv3det.evaluation.coco import score

    results = _read_results(path)
    row, scored = Row(name), {}
    one = len({split.pages["digest"] for split in splits.values()}) == 1
    for seed, split in splits.items():
        digest = split.pages["digest"]
        if digest not in scored:
            dataset = split.held_back()
            kept = _of_pages(results, dataset, path)
            scored[digest] = score(dataset, kept, ["bbox"]).metrics["bbox"]
        row.runs[ANY if one else seed] = scored[digest]
    return row


def keep_peers(out: Path, peers: Sequence[Row], splits: dict[int, Split]) -> None:
    """Keep the scores of peers in `out`, so that a later table has their rows too."""
    digests = {str(seed): split.pages["digest"] for seed, split in splits.items()}
    for row in peers:
        runs = {str(seed): scores for seed, scores in row.runs.items()}
        content = {"name": row.name, "pages": digests, "runs": runs}
        digest = hashlib.sha256(row.name.encode()).hexdigest()[:12]
        write_json(out / PEERS / f"{digest}.json", content)


def kept_peers(out: Path, runs: Sequence[dict[str, Any]], others: Sequence[Row]) -> list[Row]:
    """The peers of earlier calls that were scored on the pages of these runs.

    Args:
        out: folder of the ablation.
        runs: the finished ones.
        others: peers of this call, which take the place of those with their names.

    Raises:
        InputError: a file of one that cannot be read.
    """
    pages = {str(run["seed"]): run["pages"]["digest"] for run in runs}
    found = []
    for path in sorted((out / PEERS).glob("*.json")):
        content = read_json(path)
        try:
            kept = Row(content["name"], {int(seed): r for seed, r in content["runs"].items()})
            known = content["pages"].items()
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError(f"{path}: not a peer of an ablation; remove it") from None
        same = all(pages.get(seed, digest) == digest for seed, digest in known)
        if same and kept.name not in {row.name for row in others}:
            found.append(kept)
    return found


def _read_results(path: Path) -> list[dict[str, Any]]:
    try:
        results = read_json(path)
    except InputError as error:
        raise InputError(f"--peer: {error}") from None
    if not isinstance(results, list):
        raise InputError(f"--peer: {path} holds {type(results).__name__}, not a list of results")
    for place, result in enumerate(results):
        box = result.get("bbox") if isinstance(result, dict) else None
        whole = isinstance(box, list) and len(box) == 4 and all(map(is_number, box))
        if not whole or not is_number(result.get("score")) or "image_id" not in result:
            raise InputError(
                f"--peer: {path}, entry {place}: {str(result)[:120]}; it must have image_id, "
                "category_id, bbox [x, y, w, h] and score"
            )
    return results


def _of_pages(
    results: list[dict[str, Any]], dataset: CocoDataset, path: Path
) -> list[dict[str, Any]]:
    pages = {record.image_id for record in dataset.records}
    kept = [result for result in results if result["image_id"] in pages]
    if not kept:
        raise InputError(
            f"--peer: {path} has no result of the {len(pages)} held-back pages: image_id must be "
            f"that of {dataset.annotations}, such as {min(pages)}"
        )
    known = {category.id for category in dataset.file_categories}
    strange = {result.get("category_id") for result in kept} - known
    if strange:
        raise InputError(
            f"--peer: {path} has category_id {sorted(strange, key=str)[0]!r}, which is not in "
            f"{dataset.annotations} ({sorted(known)}): renumber the results"
        )
    return [
        {key: result[key] for key in ("image_id", "category_id", "bbox", "score")}
        for result in kept
    ]


def class_names(rows: Sequence[Row]) -> list[str]:
    """All classes, in the order of the metrics."""
    return list(dict.fromkeys(n for row in rows for r in row.runs.values() for n in r["per_class"]))


def table(rows: Sequence[Row]) -> str:
    """The table in Markdown: a row a system, its name first."""
    names, reference = class_names(rows), _reference(rows)
    # Runs from before it was measured have none.
    more = ["precision"] if any(row.values("precision") for row in rows) else []
    header = ["config", *names, "mAP", *more, f"against {REFERENCE}", "n"]
    cells = []
    for row in rows:
        against = difference(row, reference)
        cells.append(
            [
                row.name,
                *(number(Spread.of(row.values(name=name).values()).mean) for name in names),
                Spread.of(row.values().values()).text(),
                *(number(Spread.of(row.values(key).values()).mean) for key in more),
                number(None) if row is reference else against.text(sign=True),
                str(len(row.runs)),
            ]
        )
    return markdown_table(header, cells)


def caption(runs: Sequence[dict[str, Any]]) -> str:
    """What the table's figures are, in a paragraph."""
    text = (
        "COCO mAP@[.5:.95] of boxes on the held-back pages after the last step, per cent; the mean "
        "over n seeds, ± the sample standard deviation over them. "
        f"`against {REFERENCE}` is the mean difference of runs with the same seed."
    )
    if not runs:
        return text
    settings, pages = runs[0]["settings"], runs[0]["pages"]
    return (
        f"{text} Size {runs[0]['size']}, {pages['train']} pages to train on and {pages['val']} "
        f"held back, {settings['solver.steps']} steps of {settings['solver.batch_size']} pages."
    )


def write_tables(out: Path, runs: Sequence[dict[str, Any]], peers: Sequence[Row] = ()) -> list[Row]:
    """Write `table.md`, `table.csv` and `table.png` into a folder; without runs and peers nothing.

    Raises:
        InputError: runs that one table cannot hold.
    """
    check_comparable(runs)
    rows = rows_of(runs, peers)
    if not rows:
        return rows
    with replacing(out / "table.md") as path:
        path.write_text(f"{table(rows)}\n\n{caption(runs)}\n", encoding="utf-8")
    with replacing(out / "table.csv") as path:
        _write_csv(path, rows)
    with replacing(out / "table.png") as path:
        _draw(path, rows)
    return rows


def _reference(rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if row.name == REFERENCE), None)


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    names, reference = class_names(rows), _reference(rows)
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        totals = ["AP", "AP_sd", f"AP_minus_{REFERENCE}", f"AP_minus_{REFERENCE}_sd"]
        more = ["AP50", "AP75", "AR100", "precision"]
        precisions = [f"{name} precision" for name in names]
        writer.writerow(["config", "n", *totals, *more, *names, *precisions])
        for row in rows:
            own, against = Spread.of(row.values().values()), difference(row, reference)
            means = [Spread.of(row.values(key).values()).mean for key in more]
            for key in ("AP", "precision"):
                means += [Spread.of(row.values(key, name).values()).mean for name in names]
            figures = [own.mean, own.deviation, against.mean, against.deviation, *means]
            writer.writerow(
                [row.name, len(row.runs), *("" if v is None else f"{v:.4f}" for v in figures)]
            )


def _draw(path: Path, rows: Sequence[Row]) -> None:
    """A bar a system, error bars over the seeds, a line at the reference."""
    from matplotlib.figure import Figure

    spreads = [Spread.of(row.values().values()) for row in rows]
    figure = Figure(figsize=(8, 1.2 + 0.36 * len(rows)), layout="constrained")
    axes = figure.subplots()
    means = [spread.mean or 0.0 for spread in spreads]
    bars = axes.barh(
        [row.name for row in rows],
        means,
        xerr=[math.nan if s.deviation is None else s.deviation for s in spreads],
        color=["#888888" if row.name == REFERENCE else "#4878b0" for row in rows],
        ecolor="black",
        capsize=3,
    )
    axes.bar_label(bars, [spread.text() for spread in spreads], padding=6, fontsize="small")
    reference = _reference(rows)
    if reference is not None and reference.values():
        level = statistics.fmean(reference.values().values())
        axes.axvline(level, color="#888888", linestyle="--", linewidth=1)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set(xlabel="mAP@[.5:.95], per cent")
    figure.savefig(path, dpi=120)
