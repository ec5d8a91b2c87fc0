"""The jobs that are tortured: their commands, what they have done so far, and their end."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from pyarrow.parquet import read_table

from lmv3det.checkpoint.file import Checkpoint, load_checkpoint, save_checkpoint
from lmv3det.checkpoint.folder import from_pretrained
from lmv3det.config import Config, from_dict, to_yaml
from lmv3det.data.categories import Category
from lmv3det.data.shards import INDEX
from lmv3det.engine.log import METRICS, read_entries
from lmv3det.engine.run_files import LAST
from lmv3det.inference.job import JOURNAL, RESULT
from lmv3det.model.detector import build_detector

PAGES = 12
CATEGORIES = [Category(1, "Text"), Category(2, "Table")]
INTERVAL = 3
"""Steps between two checkpoints."""
_OF_THE_MACHINE = ("pages_per_second", "data_wait", "memory_gib", "seconds")
"""Numbers of metrics.jsonl that no two runs have in common."""


@dataclass(frozen=True)
class Job:
    """A command that can be killed.

    Attributes:
        name: as `--only` names it.
        words: (folder of the inputs, folder of the job) → its command line.
        done: job's folder → what it has finished, by name; nothing of it may change or go.
        end: job's folder → what the finished job wrote, to be compared.
        processes: how many run it together.
        resumed: job's folder → further words of a job that goes on.
        once: whether it refuses to make again what is there whole.
    """

    name: str
    words: Callable[[Path, Path], list[str]]
    done: Callable[[Path], dict[str, Any]]
    end: Callable[[Path], dict[str, Any]]
    processes: int = 1
    resumed: Callable[[Path], list[str]] = lambda folder: []
    once: bool = False


def prepare(folder: Path) -> None:
    """What the jobs read: pages with annotations and OCR, a PDF, a tiny checkpoint, a config."""
    (folder / "images").mkdir(parents=True)
    (folder / "OCR").mkdir()
    draw = random.Random(0)
    images, annotations = [], []
    for number in range(PAGES):
        name, size = f"page_{number:02}", (draw.randrange(70, 100), draw.randrange(90, 120))
        page = Image.new("RGB", size, "white")
        for _ in range(3):
            x, y = draw.randrange(40), draw.randrange(60)
            box = [x, y, draw.randrange(10, 30), draw.randrange(8, 30)]
            ImageDraw.Draw(page).rectangle((x, y, x + box[2], y + box[3]), fill="navy")
            annotations.append({"id": len(annotations) + 1, "image_id": number + 1, "bbox": box,
                                "category_id": draw.randrange(1, 3), "area": box[2] * box[3],
                                "iscrowd": 0})  # fmt: skip
        page.save(folder / "images" / f"{name}.png")
        lines = {"bbox": [[5, 5, 40, 9]], "words": [f"line {number}"], "W": size[0], "H": size[1]}
        (folder / "OCR" / f"{name}.json").write_text(json.dumps(lines))
        images.append({"id": number + 1, "file_name": f"{name}.png",
                       "width": size[0], "height": size[1]})  # fmt: skip
    content = {"images": images, "annotations": annotations,
               "categories": [{"id": c.id, "name": c.name} for c in CATEGORIES]}  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps(content))
    config = tiny_config(folder)
    (folder / "config.yaml").write_text(to_yaml(config))
    config.model.num_classes = len(CATEGORIES)
    torch.manual_seed(0)
    weights = build_detector(config).state_dict()
    save_checkpoint(folder / "model.pth", Checkpoint(weights, config, CATEGORIES))
    with PdfPages(folder / "text.pdf", metadata={"CreationDate": None}) as pdf:
        for number in range(PAGES):
            figure = Figure(figsize=(1, 1.2))
            figure.text(0.1, 0.5, f"words of page {number}", size=6)
            pdf.savefig(figure)


def tiny_config(folder: Path) -> Config:
    """A detector of some thousand parameters, and a run of twelve steps."""
    split = {"annotations": str(folder / "annotations.json"), "images": str(folder / "images")}
    return from_dict({
        "device": "cpu", "distributed_timeout": 0.3,
        "data": {"train": split, "val": split, "workers": 0},
        "input": {"min_size_train": [64], "max_size_train": 96, "min_size_test": 64,
                  "max_size_test": 96},
        "model": {"mask_on": False},
        "backbone": {"hidden_size": 24, "layers": 4, "heads": 2, "intermediate_size": 48,
                     "input_size": 64, "out_indices": [0, 1, 2, 3], "coordinate_size": 4,
                     "shape_size": 4, "vocab_size": 40},
        "neck": {"out_channels": 16},
        "rpn": {"anchor_sizes": [8, 16, 32, 64, 128], "pre_nms_train": 100, "pre_nms_test": 50,
                "post_nms_train": 60, "post_nms_test": 20, "batch_size_per_image": 64},
        "roi": {"batch_size_per_image": 16, "fc_dim": 32, "sampling_ratio": 1},
        "solver": {"steps": 4 * INTERVAL, "batch_size": 2, "lr": 1e-3, "warmup_steps": 2,
                   "log_every": 1, "evaluate_every": 2 * INTERVAL, "checkpoint_every": INTERVAL,
                   "keep_last": 2, "ema_decay": 0.9},
    })  # fmt: skip


def files(folder: Path, pattern: str) -> dict[str, Any]:
    """The bytes of the files of a folder that a pattern matches; hidden ones left out."""
    found = sorted(path for path in folder.rglob(pattern) if path.is_file())
    names = {str(path.relative_to(folder)): path for path in found}
    return {name: path.read_bytes() for name, path in names.items() if not _hidden(name)}


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in Path(name).parts)


def _nothing(folder: Path) -> dict[str, Any]:
    return {}


def _trained(folder: Path) -> dict[str, Any]:
    """The step of the last checkpoint, at least that of the last interval that was logged."""
    entries = read_entries(folder)
    saved = load_checkpoint(folder / LAST).step if (folder / LAST).exists() else 0
    logged = max((entry["step"] for entry in entries), default=0)
    lost = logged - saved
    if lost > INTERVAL:
        raise AssertionError(f"step {logged} is logged, but the checkpoint is of step {saved}")
    return {f"step {n * INTERVAL}": True for n in range(1, saved // INTERVAL + 1)}


def _training_end(folder: Path) -> dict[str, Any]:
    end: dict[str, Any] = {}
    for name in (LAST, "best.pth"):
        checkpoint = load_checkpoint(folder / name)
        end |= {
            f"{name} {key}": value.numpy().tobytes() for key, value in checkpoint.weights.items()
        }
        end[f"{name} step"] = checkpoint.step
    lines = [
        {k: v for k, v in entry.items() if k not in _OF_THE_MACHINE}
        for entry in read_entries(folder)
    ]
    end[METRICS] = lines
    end["checkpoints"] = sorted(path.name for path in folder.glob("step_*.pth"))
    return end


def _resume_training(folder: Path) -> list[str]:
    return ["--resume"] if (folder / LAST).exists() else []


def _train_words(inputs: Path, folder: Path) -> list[str]:
    return ["train", "--config", str(inputs / "config.yaml"), f"output_dir={folder}"]


def _evaluate_words(inputs: Path, folder: Path) -> list[str]:
    # It writes the thresholds into the checkpoint too: each job has its own.
    own = inputs / f"{folder.name}.pth"
    if not own.exists():
        own.write_bytes((inputs / "model.pth").read_bytes())
    load_checkpoint(own)
    return ["evaluate", str(own), "--out", str(folder), "--save-thresholds",
            "test.score_threshold=0.2", "--report", str(folder / "report")]  # fmt: skip


def _predicted(folder: Path) -> dict[str, Any]:
    """The pages in the journal, and in the result when it is there."""
    if (folder / RESULT).exists():
        return dict.fromkeys(_entries(json.loads((folder / RESULT).read_bytes())), True)
    if not (folder / JOURNAL).exists():
        return {}
    lines = (folder / JOURNAL).read_bytes().split(b"\n")[1:-1]
    return dict.fromkeys(_entries([json.loads(line) for line in lines]), True)


def _entries(entries: list[Any]) -> list[str]:
    return [json.dumps(entry, sort_keys=True) for entry in entries]


def _converted(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        return {}
    weights = from_pretrained(folder).weights
    return {name: value.numpy().tobytes() for name, value in weights.items()}


def _exported(folder: Path) -> dict[str, Any]:
    path = folder / "model.ts"
    if not path.exists():
        return {}
    model = torch.jit.load(path)
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def _ocr_words(inputs: Path, folder: Path) -> list[str]:
    return ["ocr", str(inputs / "text.pdf"), "--out", str(folder), "--engine", "pdf-text"]


def _predict_words(inputs: Path, folder: Path) -> list[str]:
    pages, model = [str(inputs / "images"), str(inputs / "text.pdf")], str(inputs / "model.pth")
    how = ["--format", "markdown,coco", "--score", "0.2"]
    return ["predict", *pages, "--ckpt", model, "--out", str(folder), *how]


def _convert_words(inputs: Path, folder: Path) -> list[str]:
    return ["convert", str(inputs / "model.pth"), "--to", "pretrained", "--out", str(folder)]


def _synthetic_words(inputs: Path, folder: Path) -> list[str]:
    return ["synthetic", str(folder), "--pages", "8", "--height", "300", "--language", "en"]


def _export_words(inputs: Path, folder: Path) -> list[str]:
    to = ["--format", "torchscript", "--out", str(folder / "model.ts")]
    return ["export", str(inputs / "model.pth"), *to]


def _batch_words(inputs: Path, folder: Path) -> list[str]:
    sources, model = [str(inputs / "images"), str(inputs / "text.pdf")], str(inputs / "model.pth")
    how = ["--engine", "local", "--shard-size", "2", "--threads", "1", "--score", "0.2"]
    return ["batch", *sources, "--ckpt", model, "--out", str(folder), *how]


def _shards_words(inputs: Path, folder: Path) -> list[str]:
    pages = {"annotations": "annotations.json", "images": "images", "ocr": "OCR"}
    words = [word for key, name in pages.items() for word in (f"--{key}", str(inputs / name))]
    return ["shards", *words, "--out", str(folder), "--shards", "6"]


def _rows(folder: Path) -> dict[str, Any]:
    """The rows of each Parquet file, without their seconds."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("pages-*.parquet")):
        table = read_table(path, use_threads=False)
        found[path.name] = table.drop_columns("seconds").to_pylist()
    return found


def _batch_end(folder: Path) -> dict[str, Any]:
    """All rows in their order, none of them twice, and the plan."""
    rows = [row for found in _rows(folder).values() for row in found]
    pages = [(row["document"], row["page"]) for row in rows]
    if len(set(pages)) < len(pages):
        raise AssertionError("rows are there twice")
    return {"rows": rows, **files(folder, "*.json*")}


def _tar_files(folder: Path) -> dict[str, Any]:
    return files(folder, "*.tar")


def _all_files(folder: Path) -> dict[str, Any]:
    return files(folder, "*")


def _text_files(folder: Path) -> dict[str, Any]:
    return {**files(folder, "*.json"), **files(folder, "*.md")}


def _pages_and_text(folder: Path) -> dict[str, Any]:
    return {**files(folder, "*.png"), **files(folder, "page_*.json")}


def _resume(folder: Path) -> list[str]:
    return ["--resume"]


def _overwrite_shards(folder: Path) -> list[str]:
    return ["--overwrite"] if (folder / INDEX).exists() else []


_ALL = (
    Job("train", _train_words, _trained, _training_end, resumed=_resume_training),
    Job("train on two", _train_words, _trained, _training_end, 2, _resume_training),
    Job("evaluate", _evaluate_words, _nothing, _text_files),
    Job("ocr", _ocr_words, _all_files, _all_files),
    Job("predict", _predict_words, _predicted, _all_files, resumed=_resume),
    Job("convert", _convert_words, _nothing, _converted, once=True),
    Job("synthetic", _synthetic_words, _pages_and_text, _all_files),
    Job("export", _export_words, _exported, _exported),
    Job("batch", _batch_words, _rows, _batch_end, resumed=_resume),
    Job("shards", _shards_words, _tar_files, _all_files, resumed=_overwrite_shards),
)
JOBS = {job.name: job for job in _ALL}
"""Every job by its name."""
