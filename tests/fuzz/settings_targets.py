"""Fuzz targets: configs, detectron2's yaml, arguments, and the files of jobs that go on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from lmv3det.ablation.table import read_run
from lmv3det.checkpoint.untrusted import check_sizes
from lmv3det.cli.ocr import engine_options
from lmv3det.cli.predict_options import read_score
from lmv3det.cli.report import _report_training
from lmv3det.config import load_config, to_dict, to_yaml
from lmv3det.config.detectron2_yaml import convert_config, to_detectron2_yaml, to_short_yaml
from lmv3det.config.yaml_text import to_yaml_text
from lmv3det.convert.conversion import read_classes
from lmv3det.data.categories import Category
from lmv3det.engine.log import read_entries, write_entries
from lmv3det.engine.trainer import _best_so_far
from lmv3det.evaluation.classes import match_classes, read_map
from lmv3det.inference.journal import Journal, count_entries
from lmv3det.inference.selection import Selection
from pagegen.annotations import read_record, write_annotations
from pagegen.typst.generate import _claim
from pagegen.typst.maker import Settings, stem
from tests.fuzz.mutations import (
    NUMBERS,
    TEXTS,
    json_bytes,
    mutate_bytes,
    mutate_digits,
    mutate_text,
    mutate_value,
)
from tests.fuzz.target import Target

CONFIG = {
    "base": "tiny",
    "output_dir": "output",
    "seed": 3,
    "precision": "auto",
    "data": {"train": {"annotations": "a.json", "images": "images"}, "workers": 0},
    "input": {"min_size_train": [480, 512], "max_size_train": 800, "pixel_mean": [127.5] * 3},
    "backbone": {"hidden_size": 96, "heads": 4, "out_indices": [0, 1, 2, 3], "dropout": 0.1},
    "rpn": {"anchor_sizes": [16, 32, 64, 128, 256], "aspect_ratios": [0.5, 1.0, 2.0]},
    "roi": {"iou_thresholds": [0.5, 0.6, 0.7], "head": None},
    "text": {"selection": "first", "first_k": 3, "tokenizer": "folder"},
    "fusion": {"kind": "gated"},
    "solver": {"steps": 100, "lr": 2e-4, "milestones": [50, 80], "schedule": "multistep"},
}
DETECTRON2 = {
    "MODEL": {
        "META_ARCHITECTURE": "VLGeneralizedRCNN",
        "MASK_ON": True,
        "IMAGE_ONLY": True,
        "PIXEL_MEAN": [127.5, 127.5, 127.5],
        "VIT": {"NAME": "layoutlmv3_base", "IMG_SIZE": [224, 224], "DROP_PATH": 0.1,
                "OUT_FEATURES": ["layer3", "layer5", "layer7", "layer11"]},
        "RPN": {"IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"], "IOU_THRESHOLDS": [0.3, 0.7],
                "PRE_NMS_TOPK_TRAIN": 2000},
        "ROI_HEADS": {"NUM_CLASSES": 5, "NAME": "CascadeROIHeads"},
        "ROI_BOX_CASCADE_HEAD": {"IOUS": [0.5, 0.6, 0.7]},
        "ANCHOR_GENERATOR": {"SIZES": [[32], [64], [128], [256], [512]],
                             "ASPECT_RATIOS": [[0.5, 1.0, 2.0]]},
        "WEIGHTS": "",
    },
    "INPUT": {"MIN_SIZE_TRAIN": "(480, 512, 544)", "CROP": {"ENABLED": True}},
    "SOLVER": {"IMS_PER_BATCH": 16, "BASE_LR": 2e-4, "MAX_ITER": 60000, "WARMUP_ITERS": 1000,
               "STEPS": [30000, 50000], "LR_SCHEDULER_NAME": "WarmupMultiStepLR",
               "GRADIENT_ACCUMULATION_STEPS": 2, "CLIP_GRADIENTS": {"ENABLED": True}},
    "TEST": {"EVAL_PERIOD": 2000},
    "CUDNN_BENCHMARK": False,
}  # fmt: skip
BOMBS = (
    "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n"
    "c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\n"
    "e: &e [*d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e]\n"
    "g: &g [*f, *f, *f, *f, *f, *f, *f, *f]\nh: &h [*g, *g, *g, *g, *g, *g, *g, *g]\n",
    "a: &a {b: *a}\n",
    "model: &m\n  num_classes: 2\nbackbone: *m\n",
    "<<: {seed: 3}\n",
    "? [1, 2]\n: 3\n",
    "? {a: 1}\n: 3\n",
    "x: !!python/object/apply:os.system ['touch /tmp/lmv3det-code']\n",
    "x: !!python/name:os.system\n",
    "x: !!python/tuple [1, 2]\n",
    "x: !!binary aGVsbG8\n",
    "x: !!timestamp 2001-99-99\n",
    "x: !!set {a, b}\n",
    "x: !!omap [a: 1]\n",
    "x: 0x" + "f" * 5000 + "\n",
    "x: 1:99:99:99\n",
    "%YAML 9.9\n---\nseed: 3\n",
    "seed: 3\n---\nseed: 4\n",
    "a: " + "[" * 3000 + "\n",
    "a: " + "{b: " * 300 + "\n",
    "- " * 3000 + "\n",
    "base: /dev/zero\n",
    "base: config.yaml\n",
)
"""Texts that are YAML at its corners."""
KEYS = ("seed", "solver.lr", "data.train.annotations", "backbone.out_indices", "roi.head", "text",
        "input.min_size_train", "precision", "fusion.kind", "x.y.z", "",
        "text.selection", "precision", "base", "model.num_classes")  # fmt: skip


def _no_files(folder: Path) -> None:
    return None


def _yaml_bytes(rng: Random, values: dict[str, Any]) -> bytes:
    kind = rng.randrange(10)
    if kind < 6:
        values = mutate_value(rng, values)
    try:
        text = to_yaml_text(values)
    except RecursionError:
        text = json.dumps(values)
    if kind == 6:
        text += rng.choice(BOMBS)
    elif kind == 7:
        return mutate_bytes(rng, text.encode())
    elif kind == 8:
        text = mutate_text(rng, text)
    elif kind == 9:
        text = mutate_digits(rng, text.encode()).decode()
        if rng.random() < 0.3:
            text = mutate_text(rng, rng.choice(BOMBS))
    return text.encode("utf-8", "surrogatepass" if rng.random() < 0.1 else "replace")


def _write_config(rng: Random, seeds: Any, folder: Path) -> None:
    (folder / "config.yaml").write_bytes(_yaml_bytes(rng, CONFIG))


def _read_config(rng: Random, seeds: Any, folder: Path) -> object:
    overrides = []
    for _ in range(rng.choice((0, 0, 1, 2))):
        value = rng.choice((*TEXTS, *map(str, NUMBERS), *BOMBS, "[640, 672]", "1e-4", "{a: 1}"))
        overrides.append(f"{rng.choice(KEYS)}={value}")
    config = load_config(folder / "config.yaml", overrides)
    (folder / "again.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert to_dict(load_config(folder / "again.yaml")) == to_dict(config)
    check_sizes(config, "config")
    return config


def _write_detectron2(rng: Random, seeds: Any, folder: Path) -> None:
    (folder / "config.yaml").write_bytes(_yaml_bytes(rng, DETECTRON2))


def _read_detectron2(rng: Random, seeds: Any, folder: Path) -> object:
    converted = convert_config(folder / "config.yaml")
    text = to_short_yaml(converted.values, "config.yaml")
    (folder / "ours.yaml").write_text(text, encoding="utf-8")
    to_detectron2_yaml(load_config(folder / "ours.yaml"))
    return converted.summary()


def _write_arguments(rng: Random, seeds: Any, folder: Path) -> None:
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "Text"}]}
    (folder / "annotations.json").write_bytes(json_bytes(rng, content))


def _read_arguments(rng: Random, seeds: Any, folder: Path) -> object:
    words = [
        mutate_text(
            rng, rng.choice(("Text=0.5,Table=0.3", "best", "0.5", "List=Text,A=B", "a=[1]"))
        )
        for _ in range(2)
    ]
    categories = [Category(1, "Text"), Category(2, "Table")]

    def options() -> Any:
        return engine_options(words)

    def scores() -> Any:
        thresholds = read_score(words[0])
        return Selection.choose(["Text", "Table"], 0.1, thresholds, {"Text": 0.5})

    def classes() -> Any:
        return match_classes(categories, [Category(5, "Text")], read_map(words))

    def annotations() -> Any:
        return read_classes(None, folder / "annotations.json")

    def names() -> Any:
        return read_classes(words[0], None)

    return rng.choice((options, scores, classes, annotations, names))()


ENTRIES = [
    {"step": 1, "lr": 1e-4, "total": 2.0, "loss_cls_stage0": 0.5, "pages_per_second": 3.0,
     "memory_gib": 0.5, "data_wait": 0.1, "skipped": 0},
    {"step": 2, "lr": 2e-4, "total": 1.0, "loss_cls_stage0": 0.2, "pages_per_second": 3.0,
     "memory_gib": 0.5, "data_wait": 0.1, "skipped": 0},
    {"step": 2, "evaluation": {"bbox": {"AP": 10.0, "AP50": 20.0, "AP75": None, "AR100": 1.0,
     "per_class": {"Text": {"AP": 10.0, "count": 3}}}}, "seconds": 1.0},
]  # fmt: skip


def _json_lines(rng: Random, entries: list[Any]) -> bytes:
    lines = [json.dumps(entry).encode() for entry in entries]
    for number in range(len(lines)):
        if rng.random() < 0.4:
            lines[number] = json_bytes(rng, entries[number]).replace(b"\n", b" ")
    data = b"\n".join(lines) + b"\n"
    if rng.random() < 0.2:
        data = data[: rng.randrange(len(data))]
    return data


def _write_metrics(rng: Random, seeds: Any, folder: Path) -> None:
    (folder / "metrics.jsonl").write_bytes(_json_lines(rng, ENTRIES))
    (folder / "best.pth").write_bytes(b"")
    if rng.random() < 0.2:
        (folder / "config.yaml").write_bytes(_yaml_bytes(rng, CONFIG))


def _read_metrics(rng: Random, seeds: Any, folder: Path) -> object:
    _best_so_far(folder)
    _report_training(folder, folder / "report.html")
    # As a run that goes on.
    write_entries(folder, [entry for entry in read_entries(folder) if entry["step"] <= 1])
    return read_entries(folder)


RUN = {"system": "af2", "seed": 0, "size": "tiny", "pages": {"train": 2, "val": 1, "digest": "5d"},
       "settings": {"solver.steps": 3, "solver.batch_size": 2},
       "metrics": {"bbox": {"AP": 1.0, "AP50": 2.0, "per_class": {}}}}  # fmt: skip


def _write_run(rng: Random, seeds: Any, folder: Path) -> None:
    (folder / "metrics.json").write_bytes(json_bytes(rng, RUN))


def _read_run(rng: Random, seeds: Any, folder: Path) -> object:
    return read_run(folder / "metrics.json")


def _write_journal(rng: Random, seeds: Any, folder: Path) -> None:
    head = {"format": "lmv3det pages", "settings": {"dpi": 144, "ocr": None}}
    pages = [
        {"file": f"{n}.png", "page": 1, "width": 4, "height": 5, "detections": []} for n in range(3)
    ]
    (folder / "pages.jsonl").write_bytes(_json_lines(rng, [head, *pages]))


def _read_journal(rng: Random, seeds: Any, folder: Path) -> object:
    path = folder / "pages.jsonl"
    count_entries(path)
    journal = Journal(path, {"dpi": 144, "ocr": None}, resume=True)
    try:
        journal.append({"file": "new.png", "page": 1, "detections": []})
        assert all(isinstance(entry, dict) for entry in journal.entries())
    except BaseException:
        journal.close()
        raise
    journal.finish(folder / "detections.json", list(journal.places))
    return json.loads((folder / "detections.json").read_bytes())


PAGES = Settings(0, "plain", 0.0, "en", None, False, None, 0.0)


def _write_pages(rng: Random, seeds: Any, folder: Path) -> None:
    """A folder of synthetic pages, whose settings or one of whose records is wrong."""
    record: Any = {"file_name": "page_000001.png", "width": 40, "height": 60,
                   "regions": [{"category": "Text", "box": [1, 2, 30, 40]}]}  # fmt: skip
    settings = json.dumps(asdict(PAGES)).encode()
    page = json.dumps(record).encode()
    if rng.random() < 0.5:
        settings = json_bytes(rng, asdict(PAGES))
    else:
        page = json_bytes(rng, record)
    (folder / ".pages").mkdir()
    (folder / ".pages" / f"{stem(0)}.json").write_bytes(page)
    (folder / "settings.json").write_bytes(settings)


def _read_pages(rng: Random, seeds: Any, folder: Path) -> object:
    _claim(folder, PAGES)
    record = read_record(folder / ".pages" / f"{stem(0)}.json")
    return write_annotations(folder / "annotations.json", [record])


TARGETS = (
    Target("config", _no_files, _write_config, _read_config),
    Target("detectron2", _no_files, _write_detectron2, _read_detectron2),
    Target("arguments", _no_files, _write_arguments, _read_arguments),
    Target("metrics", _no_files, _write_metrics, _read_metrics),
    Target("ablation", _no_files, _write_run, _read_run),
    Target("journal", _no_files, _write_journal, _read_journal),
    Target("synthetic", _no_files, _write_pages, _read_pages),
)
