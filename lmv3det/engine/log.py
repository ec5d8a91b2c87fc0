"""What a run shows and writes: a progress bar, metrics.jsonl, TensorBoard, curves."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lmv3det.files import is_int, naming, replacing

log = logging.getLogger(__name__)

METRICS = "metrics.jsonl"


def read_entries(folder: Path) -> list[dict[str, Any]]:
    """The entries of metrics.jsonl in order. A last line that was cut off is left out; so are other
    lines that a run did not write, with a warning."""
    path = folder / METRICS
    if not path.is_file():
        return []
    entries, odd = [], []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if _is_entry(entry):
            entries.append(entry)
        elif number < len(lines):
            odd.append(number)
    if odd:
        log.warning("%s: lines that no run wrote are left out (line %d)", path, odd[0])
    return entries


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not is_int(entry.get("step")):
        return False
    numbers = [value for key, value in entry.items() if key != "evaluation"]
    if "evaluation" not in entry:
        return all(map(_is_finite, numbers))
    kinds = entry["evaluation"]
    if not isinstance(kinds, dict) or "bbox" not in kinds or not all(map(_is_finite, numbers)):
        return False
    return all(map(_are_scores, kinds.values()))


def _are_scores(scores: Any) -> bool:
    """Whether these are the scores of a kind: numbers or None by name, and those of each class."""
    if not isinstance(scores, dict) or not {"AP", "AP50", "AP75"} <= scores.keys():
        return False
    classes = scores.get("per_class", {})
    if not isinstance(classes, dict):
        return False
    of_classes = [part for part in classes.values() if isinstance(part, dict) and "AP" in part]
    values = [value for key, value in scores.items() if key != "per_class"]
    values += [value for part in of_classes for value in part.values()]
    return len(of_classes) == len(classes) and all(v is None or _is_finite(v) for v in values)


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # NaN is not


def write_entries(folder: Path, entries: list[dict[str, Any]]) -> None:
    """Replace metrics.jsonl, atomically."""
    with replacing(folder / METRICS) as path:
        path.write_text("".join(json.dumps(e) + "\n" for e in entries), encoding="utf-8")


def memory_gib(device: torch.device) -> float:
    """Peak memory in GiB: of the GPU in use, else of the process (0 on Windows)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


class RunLog:
    """Writes a run's numbers, in the first process only.

    Args:
        folder: the run's folder.
        steps: of the whole run.
        start: steps done already; entries of later steps are removed from metrics.jsonl.
        device: whose memory is shown.
    """

    def __init__(self, folder: Path, steps: int, start: int, device: torch.device) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.device = folder, device
        kept = [e for e in read_entries(folder) if e["step"] <= start] if start else []
        write_entries(folder, kept)
        self.board = SummaryWriter(str(folder), purge_step=start + 1 if start else None)
        interactive = sys.stderr.isatty()
        self.bar = tqdm(
            total=steps,
            initial=start,
            desc="train",
            unit="step",
            dynamic_ncols=interactive,
            mininterval=0.5 if interactive else 30,
            smoothing=0.05,
        )

    def advance(self) -> None:
        """One more step is done."""
        self.bar.update()

    def log_step(self, step: int, values: dict[str, float | int]) -> None:
        """A line of training: mean losses since the last one, lr, speed."""
        self._write({"step": step, **values})
        for name, value in values.items():
            group = "loss" if name.startswith("loss") or name == "total" else "run"
            self.board.add_scalar(f"{group}/{name}", value, step)
        self.bar.set_postfix_str(
            f"loss {values['total']:.3f} (rpn {_part(values, 'loss_rpn'):.3f}, cls "
            f"{_part(values, 'loss_cls'):.3f}, box {_part(values, 'loss_box'):.3f}), lr "
            f"{values['lr']:.2e}, {values['pages_per_second']:.2f} pages/s, wait "
            f"{100 * values['data_wait']:.0f} %, {values['memory_gib']:.1f} GiB",
            refresh=False,
        )

    def log_evaluation(self, step: int, metrics: dict[str, Any], seconds: float) -> None:
        """A line of evaluation."""
        self._write({"step": step, "evaluation": metrics, "seconds": round(seconds, 3)})
        for kind, scores in metrics.items():
            for name, value in scores.items():
                if isinstance(value, (int, float)):
                    self.board.add_scalar(f"{kind}/{name}", value, step)
        self.board.flush()

    def _write(self, entry: dict[str, Any]) -> None:
        path = self.folder / METRICS
        with naming(path), open(path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        self.bar.close()
        self.board.close()


def _part(values: dict[str, float | int], prefix: str) -> float:
    return sum(value for name, value in values.items() if name.startswith(prefix))
