"""What a run shows and writes: a progress bar, metrics.jsonl, TensorBoard, curves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lmv3det.files import replacing

METRICS = "metrics.jsonl"


def read_entries(folder: Path) -> list[dict[str, Any]]:
    """The entries of metrics.jsonl in order; a last line that was cut off is left out."""
    path = folder / METRICS
    if not path.is_file():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def write_entries(folder: Path, entries: list[dict[str, Any]]) -> None:
    """Replace metrics.jsonl, atomically."""
    with replacing(folder / METRICS) as path:
        path.write_text("".join(json.dumps(e) + "\n" for e in entries), encoding="utf-8")


def memory_gib(device: torch.device) -> float:
    """Peak memory in GiB: of the card in use, else of the process (0 on Windows)."""
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
        """A line of training: mean losses since the last one, rate, speed."""
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
        with open(self.folder / METRICS, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        self.bar.close()
        self.board.close()


def _part(values: dict[str, float | int], prefix: str) -> float:
    return sum(value for name, value in values.items() if name.startswith(prefix))
