"""The ablation: systems at a size, splits, runs that go on, the table, peers, the command."""

from __future__ import annotations

import csv
import json
import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lmv3det.ablation import runs as ablation_runs
from lmv3det.ablation.splits import data_folder, given_split, split_pages
from lmv3det.ablation.systems import SYSTEMS, read_systems, system_config
from lmv3det.ablation.table import (
    ANY,
    Row,
    Spread,
    check_comparable,
    difference,
    keep_peers,
    kept_peers,
    peer_row,
    rows_of,
    table,
)
from lmv3det.checkpoint.loading import load_detector
from lmv3det.cli import ablation
from lmv3det.errors import InputError
from lmv3det.inference.detector import Detector

SMALL = """
input: {min_size_train: [64], max_size_train: 96, min_size_test: 64, max_size_test: 96}
model: {mask_on: false}
backbone: {hidden_size: 32, layers: 4, heads: 2, intermediate_size: 64, out_indices: [0, 1, 2, 3],
           coordinate_size: 6, shape_size: 4, vocab_size: 300}
neck: {out_channels: 16}
rpn: {anchor_sizes: [8, 16, 32, 48, 64], pre_nms_train: 50, pre_nms_test: 50, post_nms_train: 20,
      post_nms_test: 20}
roi: {fc_dim: 32, sampling_ratio: 2, batch_size_per_image: 16}
relation: {dim: 16, heads: 4}
solver: {steps: 2, batch_size: 2, warmup_steps: 1, log_every: 1}
output_dir: not/this
device: nonsense
text: {selection: all}
"""


@pytest.fixture
def size(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


def make_pages(folder: Path, count: int, seed: int = 0) -> Path:
    """Pages of 80×64 (height × width) with a text and a title, and two lines of text."""
    generator = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    (folder / "OCR").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        name = f"{folder.name}{number}"
        pixels = generator.integers(0, 256, (80, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
        images.append({"id": number, "file_name": f"{name}.png", "width": 64, "height": 80})
        for category, box in ((1, [4, 20, 50, 30]), (2, [10, 5, 40, 8])):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
        ocr = {
            "bbox": [[4, 20, 50, 8], [10, 5, 40, 8]],
            "words": ["Figure one shows", f"第 {number} page"],
            "W": 64,
            "H": 80,
        }
        (folder / "OCR" / f"{name}.json").write_text(json.dumps(ocr), encoding="utf-8")
    categories = [{"id": 1, "name": "Text"}, {"id": 2, "name": "Title"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch) -> None:
    """The trainer's pictures take longer than its steps here."""
    monkeypatch.setattr("lmv3det.visualization.curves.draw_training", lambda *args: None)
    monkeypatch.setattr("lmv3det.visualization.training.draw_validation", lambda *args: None)
    monkeypatch.setattr("lmv3det.engine.trainer.Trainer._draw_first", lambda *args: None)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    return make_pages(tmp_path / "pages", 5)


def call(*words: str) -> int:
    parser = ArgumentParser()
    ablation.add_arguments(parser)
    args = parser.parse_intermixed_args([*words, "data.workers=0", "device=cpu"])
    return ablation.run(args)


def annotated(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "annotations.json").read_text())


def boxes_as_results(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": 1}
        for a in content["annotations"]
    ]


# Systems and sizes.


def test_names_paths_and_variants(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("text: {selection: none}\n")
    words = ["af2", "af2:fusion.only_where_text=true:fusion.levels=[4, 5]", str(own)]
    plain, variant, mine = read_systems(words)
    assert plain.name == "af2" and mine.name == "mine"
    assert variant.name == "af2+fusion.only_where_text=true+fusion.levels=[4, 5]"
    assert variant.overrides == ("fusion.only_where_text=true", "fusion.levels=[4, 5]")
    assert "/" not in variant.folder and "[" not in variant.folder and " " not in variant.folder
    config = system_config(variant, "base")
    assert config.fusion.only_where_text and config.fusion.levels == [4, 5]
    assert not system_config(plain, "base").fusion.only_where_text
    (only,) = read_systems(["af2:fusion.kind=my.module:MyFusion"])
    assert only.overrides == ("fusion.kind=my.module:MyFusion",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["af3"], "no config named 'af3'"),
        (["nowhere/af2.yaml"], "no such config file"),
        (["af2", "af2"], "share the name 'af2'"),
    ],
)
def test_wrong_names(words: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_systems(words)


def test_a_wrong_setting_names_the_system() -> None:
    (system,) = read_systems(["af2:fusion.only_where_txt=true"])
    with pytest.raises(InputError, match=r"af2\.yaml.*did you mean 'fusion.only_where_text'"):
        system_config(system, "tiny")


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_size_keeps_what_makes_a_system(name: str, size: str) -> None:
    (system,) = read_systems([name])
    base, small = system_config(system, "base"), system_config(system, size)
    assert small.text == base.text and small.fusion == base.fusion
    assert small.relation.enabled == base.relation.enabled
    assert small.data == base.data and small.device == "auto"
    assert small.output_dir == base.output_dir
    assert small.backbone.hidden_size == 32 and small.solver.steps == 2
    wide = 3 if name == "af2_rm_fpn768" else 1
    assert small.neck.out_channels == 16 * wide
    assert small.relation.dim == 16 * wide and small.relation.heads == 4


@pytest.mark.parametrize("name", SYSTEMS)
def test_tiny_is_small_and_alike_for_all(name: str) -> None:
    (system,) = read_systems([name])
    config = system_config(system, "tiny", ["solver.lr=0.5"])
    first = system_config(read_systems(["image_only"])[0], "tiny")
    assert config.backbone == first.backbone and config.backbone.hidden_size < 200
    assert config.solver.lr == 0.5
    assert config.input == first.input and config.roi == first.roi and config.rpn == first.rpn
    assert not config.model.mask_on
    assert config.fusion.levels == first.fusion.levels
    assert config.relation.dim % config.relation.heads == 0


# Pages.


def test_a_split_is_seeded_whole_and_disjoint(pages: Path, tmp_path: Path) -> None:
    def names(split, side: str) -> list[str]:
        content = json.loads(Path(getattr(split, side).annotations).read_text())
        ids = {image["id"] for image in content["images"]}
        assert {a["image_id"] for a in content["annotations"]} == ids
        return [image["file_name"] for image in content["images"]]

    data = data_folder(pages)
    found = [split_pages(data, 0.4, seed, tmp_path / f"s{seed}") for seed in range(6)]
    again = split_pages(data, 0.4, 0, tmp_path / "again")
    assert again.pages == found[0].pages
    assert len({split.pages["digest"] for split in found}) > 1
    everything = {image["file_name"] for image in annotated(pages)["images"]}
    for split in found:
        train, val = names(split, "train"), names(split, "val")
        assert (len(train), len(val)) == (3, 2) == (split.pages["train"], split.pages["val"])
        assert {*train, *val} == everything


def test_copies_of_a_page_stay_on_one_side(pages: Path, tmp_path: Path) -> None:
    for copy in (2, 3, 4):
        shutil.copy(pages / "images/pages1.png", pages / f"images/pages{copy}.png")
    for seed in range(4):
        split = split_pages(data_folder(pages), 0.3, seed, tmp_path / f"s{seed}")
        assert {split.pages["train"], split.pages["val"]} == {1, 4}


def test_the_regions_are_part_of_the_digest(pages: Path, tmp_path: Path) -> None:
    before = split_pages(data_folder(pages), 0.4, 0, tmp_path / "a").pages
    content = annotated(pages)
    content["annotations"][0]["bbox"][2] -= 3
    (pages / "annotations.json").write_text(json.dumps(content))
    after = split_pages(data_folder(pages), 0.4, 0, tmp_path / "b").pages
    assert before["digest"] != after["digest"]


def test_a_page_in_both_folders_is_refused(pages: Path, tmp_path: Path) -> None:
    held = make_pages(tmp_path / "held", 2, seed=1)
    split = given_split(data_folder(pages), data_folder(held))
    assert (split.pages["train"], split.pages["val"]) == (5, 2)
    shutil.copy(pages / "images/pages3.png", held / "images/held2.png")
    with pytest.raises(InputError, match=r"1 of 2 held-back pages .*held2\.png \(= .*pages3\.png"):
        given_split(data_folder(pages), data_folder(held))


def test_too_few_pages_and_no_folder(tmp_path: Path) -> None:
    data = data_folder(make_pages(tmp_path / "one", 1))
    with pytest.raises(InputError, match="cannot be split"):
        split_pages(data, 0.5, 0, tmp_path / "s")
    with pytest.raises(InputError, match=r"annotations\.json"):
        data_folder(tmp_path / "nowhere")


# The table.


def run_of(system: str, seed: int, ap: float, **fields: Any) -> dict[str, Any]:
    scores = {"AP": ap, "AP50": ap, "AP75": ap, "AR100": ap}
    per_class = {"Text": {**scores, "count": 3}, "Title": dict.fromkeys([*scores, "count"])}
    return {
        "system": system,
        "seed": seed,
        "size": "tiny",
        "init": False,
        "pages": {"train": 8, "val": 2, "digest": "d"},
        "settings": {"solver.steps": 10, "solver.batch_size": 2},
        "metrics": {"bbox": {**scores, "per_class": per_class}},
        **fields,
    }


def test_means_spreads_and_differences_by_hand() -> None:
    runs = [
        run_of("af2", 0, 33.0),
        run_of("af2", 1, 37.0),
        run_of("image_only", 0, 30.0),
        run_of("image_only", 1, 31.0),
        run_of("image_only", 2, 32.0),
        run_of("we_f3", 2, 31.5),
    ]
    image_only, we_f3, af2 = rows_of(runs)
    assert [image_only.name, we_f3.name, af2.name] == ["image_only", "we_f3", "af2"]
    assert Spread.of(image_only.values().values()) == Spread(31.0, 1.0, 3)
    against = difference(af2, image_only)  # 3 and 6
    assert against.mean == 4.5 and against.deviation == pytest.approx(2.1213, abs=1e-4)
    assert difference(we_f3, image_only) == Spread(-0.5, None, 1)
    text = table([image_only, we_f3, af2])
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert lines[0] == ["config", "Text", "Title", "mAP", "against image_only", "n"]
    assert lines[2] == ["image_only", "31.0", "–", "31.0 ± 1.0", "–", "3"]
    assert lines[3] == ["we_f3", "31.5", "–", "31.5", "-0.5", "1"]
    assert lines[4] == ["af2", "35.0", "–", "35.0 ± 2.8", "+4.5 ± 2.1", "2"]


def test_nothing_is_compared_without_a_common_seed() -> None:
    runs = [run_of("image_only", 0, 30.0), run_of("af2", 1, 31.0)]
    assert difference(rows_of(runs)[1], rows_of(runs)[0]) == Spread(None, None, 0)
    assert difference(rows_of(runs)[1], None).mean is None


def test_a_difference_of_nothing_has_no_sign() -> None:
    assert Spread(-0.04, None, 1).text(sign=True) == "0.0"
    assert Spread(0.06, None, 1).text(sign=True) == "+0.1"


def test_rows_stand_in_the_order_of_the_systems() -> None:
    names = ["mine", "roi_text", "af2+x=1", "af2", "image_only", "we_f3"]
    rows = rows_of([run_of(name, 0, 1.0) for name in names], [Row("yolo")])
    expected = ["yolo", "image_only", "we_f3", "af2", "af2+x=1", "roi_text", "mine"]
    assert [row.name for row in rows] == expected


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("size", "base", "--size is 'tiny' in the run a"),
        ("settings", {"solver.steps": 20, "solver.batch_size": 2}, "solver.steps is 10"),
        ("pages", {"train": 8, "val": 2, "digest": "e"}, "pages of seed 0"),
        ("init", True, "--init"),
    ],
)
def test_runs_that_differ_do_not_share_a_table(field: str, value: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_comparable([run_of("a", 0, 1.0), run_of("b", 0, 1.0, **{field: value})])


def test_a_perfect_peer_has_100(pages: Path, tmp_path: Path) -> None:
    results = tmp_path / "peer.json"
    results.write_text(json.dumps(boxes_as_results(annotated(pages))))
    data = data_folder(pages)
    split = split_pages(data, 0.4, 0, tmp_path / "s")
    row = peer_row("yolo", results, {0: split, 1: split})
    assert row.runs[ANY]["AP"] == pytest.approx(100) and list(row.runs) == [ANY]
    assert row.runs[ANY]["per_class"]["Text"]["count"] == 2  # held-back pages alone
    reference = rows_of([run_of("image_only", 0, 30.0), run_of("image_only", 1, 40.0)])[0]
    assert difference(row, reference).mean == pytest.approx(65)
    other = split_pages(data, 0.4, 1, tmp_path / "t")
    assert list(peer_row("yolo", results, {0: split, 1: other}).runs) == [0, 1]
    # Its row is in later tables, of the same pages only, unless it is scored anew.
    keep_peers(tmp_path, [row], {0: split, 1: split})
    run = {"seed": 0, "pages": split.pages}
    assert kept_peers(tmp_path, [run], []) == [row] == kept_peers(tmp_path, [], [])
    assert kept_peers(tmp_path, [run], [Row("yolo")]) == []
    assert kept_peers(tmp_path, [run | {"pages": {"digest": "others"}}], []) == []


def test_a_peer_that_misses_half_has_less(pages: Path, tmp_path: Path) -> None:
    results = tmp_path / "peer.json"
    content = annotated(pages)
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] == 1]
    results.write_text(json.dumps(boxes_as_results(content)))
    split = split_pages(data_folder(pages), 0.4, 0, tmp_path / "s")
    assert peer_row("yolo", results, {0: split}).runs[ANY]["AP"] == pytest.approx(50)


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({}, "holds dict"),
        ([{"image_id": 1}], "entry 0"),
        ([{"image_id": 99, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 1}], "no result of"),
        (
            [{"image_id": n, "category_id": 8, "bbox": [1, 1, 2, 2], "score": 1} for n in range(6)],
            "category_id 8",
        ),
    ],
)
def test_faulty_peers(results: Any, said: str, pages: Path, tmp_path: Path) -> None:
    file = tmp_path / "peer.json"
    file.write_text(json.dumps(results))
    split = split_pages(data_folder(pages), 0.4, 0, tmp_path / "s")
    with pytest.raises(InputError, match=said):
        peer_row("yolo", file, {0: split})


# The command.


def test_every_system_trains_and_the_rest_is_resumed(
    pages: Path, tmp_path: Path, size: str, monkeypatch
) -> None:
    out = tmp_path / "out"
    peer = tmp_path / "peer.json"
    peer.write_text(json.dumps(boxes_as_results(annotated(pages))))
    words = ["--data", str(pages), "--size", size, "--out", str(out), "--val-fraction", "0.4"]
    words += ["--keep-checkpoints"]
    variant = "af2:fusion.only_where_text=true"
    configs = ["--configs", *SYSTEMS, variant]
    assert call(*words, *configs, "--peer", f"yolo={peer}") == 0
    lines = (out / "table.md").read_text().splitlines()
    names = [line.split("|")[1].strip() for line in lines if line.startswith("|")][2:]
    assert [name for name in names if "+" not in name] == ["yolo", *SYSTEMS]
    assert names[names.index("af2") + 1] == "af2+fusion.only_where_text=true"
    with open(out / "table.csv", newline="", encoding="utf-8") as stream:
        rows = {row["config"]: row for row in csv.DictReader(stream)}
    assert float(rows["yolo"]["AP"]) == 100 and rows["af2"]["n"] == "1"
    with Image.open(out / "table.png") as picture:
        assert picture.width > 100
    for name in SYSTEMS:
        run = json.loads((out / "runs" / f"{name}-seed0" / "metrics.json").read_text())
        assert run["system"] == name and run["settings"]["solver.steps"] == 2
        assert sorted(p.name for p in (out / "runs" / f"{name}-seed0").glob("*.pth")) == [
            "model.pth"
        ]
    # The models predict.
    for name in ("image_only", "roi_text", "af2_rm_fpn768"):
        detector = Detector.load(out / "runs" / f"{name}-seed0" / "model.pth")
        with_text = name != "image_only"
        ocr = pages / "OCR" if with_text else None
        assert len(detector.predict([pages / "images/pages1.png"], ocr=ocr)) == 1

    # Only the metrics files are left, and one run is missing: only that one is trained.
    keep = tmp_path / "kept"
    for path in out.glob("runs/*/metrics.json"):
        target = keep / path.relative_to(out)
        target.parent.mkdir(parents=True)
        shutil.copy(path, target)
    shutil.rmtree(keep / "runs/af1-seed0")
    trained = []
    train_run = ablation_runs.train_run
    monkeypatch.setattr(
        ablation_runs, "train_run", lambda run: (trained.append(run.name), train_run(run))
    )
    words[words.index(str(out))] = str(keep)
    assert call(*words, *configs, "--peer", f"yolo={peer}") == 0
    assert trained == ["af1-seed0"]
    assert (keep / "table.md").read_text() == (out / "table.md").read_text()
    assert call("--out", str(keep)) == 0  # the table alone
    with pytest.raises(InputError, match=r"solver\.lr = 0\.0002, now it is 0\.5"):
        call(*words, *configs, "solver.lr=0.5")
    with pytest.raises(InputError, match="steps"):
        call(*words, "--configs", "image_only", "--steps", "3")


def test_a_stopped_run_goes_on(pages: Path, tmp_path: Path, size: str, monkeypatch) -> None:
    from lmv3det.engine.signals import StopSignals

    words = ["--data", str(pages), "--size", size, "--configs", "image_only", "we_f3"]
    words += ["--steps", "3", "--seeds", "2", "solver.warmup_steps=0"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert call(*words, "--out", str(whole)) == 0
    enter = StopSignals.__enter__

    def stop(self: StopSignals) -> StopSignals:
        enter(self)
        self.received = 15
        return self

    monkeypatch.setattr(StopSignals, "__enter__", stop)
    codes = [call(*words, "--out", str(parts)) for _ in range(2)]
    assert codes == [143, 143]
    first = parts / "runs/image_only-seed0"
    assert (first / "last.pth").exists() and not (first / "metrics.json").exists()
    assert not (parts / "runs/we_f3-seed0").exists()
    monkeypatch.setattr(StopSignals, "__enter__", enter)
    with pytest.raises(InputError, match=r"solver\.lr"):
        call(*words, "--out", str(parts), "solver.lr=0.5")
    assert call(*words, "--out", str(parts)) == 0
    assert len(list(parts.glob("runs/*/metrics.json"))) == 4
    for path in whole.glob("runs/*/metrics.json"):
        one = json.loads(path.read_text())
        other = json.loads((parts / path.relative_to(whole)).read_text())
        assert one["metrics"] == other["metrics"]
    assert not list(parts.glob("runs/*/*.pth"))


def test_a_failing_run_does_not_stop_the_others(
    pages: Path, tmp_path: Path, size: str, monkeypatch
) -> None:
    train_run = ablation_runs.train_run

    def failing(run: ablation_runs.Run) -> None:
        if run.system == "image_only":
            raise InputError("it broke")
        train_run(run)

    monkeypatch.setattr(ablation_runs, "train_run", failing)
    out = tmp_path / "out"
    words = ["--data", str(pages), "--size", size, "--configs", "image_only", "af1"]
    with pytest.raises(InputError, match=r"1 runs failed: image_only-seed0 \(it broke\)"):
        call(*words, "--out", str(out))
    assert "af1" in (out / "table.md").read_text()


def test_one_starts_from_another(pages: Path, tmp_path: Path, size: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    words = ["--data", str(pages), "--size", size, "--configs", "af2"]
    with pytest.raises(InputError, match=r"none of af2-seed0, we_f3-seed0, .*--keep-checkpoints"):
        call(*words, "--out", str(second), "--init", str(first), "text.tokenizer=x")
    assert call(*words, "--out", str(first), "--keep-checkpoints") == 0
    start = load_detector(first / "runs/af2-seed0/model.pth")[0].state_dict()
    more = ["--init", str(first), "--keep-checkpoints", "solver.lr=0", "solver.weight_decay=0"]
    assert call(*words, "--out", str(second), *more, "--resplit") == 0
    end = load_detector(second / "runs/af2-seed0/model.pth")[0].state_dict()
    same = [name for name in start if "running" not in name and "num_batches" not in name]
    assert all(start[name].equal(end[name]) for name in same)


def test_a_system_starts_from_the_one_it_is_built_on(
    pages: Path, tmp_path: Path, size: str
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    words = ["--data", str(pages), "--size", size]
    kept = ["--out", str(first), "--keep-checkpoints", "--configs", "image_only", "we_f3"]
    assert call(*words, *kept) == 0
    systems = ["image_only", "af1", "se_af2", "af2:fusion.gate_relu=false"]
    still = ["solver.lr=0", "solver.weight_decay=0", "--keep-checkpoints", "--seeds", "2"]
    more = ["--init", str(first), "--out", str(second), "--configs", *systems]
    assert call(*words, *more, *still) == 0
    starts = {
        run["system"]: run["start"].split("/model.pth (")[0]
        for run in (json.loads(p.read_text()) for p in second.glob("runs/*-seed1/metrics.json"))
    }
    assert starts == {
        "image_only": "image_only-seed0",
        "af1": "we_f3-seed0",
        "se_af2": "we_f3-seed0",
        "af2+fusion.gate_relu=false": "we_f3-seed0",
    }
    again = ["--init", str(first), "--out", str(second), "--configs", "af1", *still]
    assert call(*words, *again) == 0  # nothing to do
    other, trained = first / "runs/we_f3-seed0/model.pth", tmp_path / "model.pth"
    shutil.copy(other, trained)
    shutil.copy(first / "runs/image_only-seed0/model.pth", other)
    (second / "runs/af1-seed1/metrics.json").rename(tmp_path / "metrics.json")
    with pytest.raises(InputError, match=r"the start = 'we_f3-seed0/model\.pth"):
        call(*words, *again)
    start = load_detector(trained)[0].state_dict()
    end = load_detector(second / "runs/af1-seed1/model.pth")[0].state_dict()
    same = [name for name in start if "running" not in name and "num_batches" not in name]
    assert same and all(start[name].equal(end[name]) for name in same)


def test_other_pages_for_every_seed(pages: Path, tmp_path: Path, size: str) -> None:
    out = tmp_path / "out"
    words = ["--data", str(pages), "--size", size, "--out", str(out), "--configs", "image_only"]
    assert call(*words, "--seeds", "3", "--resplit", "--val-fraction", "0.4", "--steps", "1") == 0
    runs = [json.loads(p.read_text()) for p in sorted(out.glob("runs/*/metrics.json"))]
    assert len({run["pages"]["digest"] for run in runs}) > 1
    assert "| 3 |" in (out / "table.md").read_text().replace("  ", " ").replace("  ", " ")


@pytest.mark.slow
def test_processes_give_the_same_as_one(pages: Path, tmp_path: Path, size: str) -> None:
    words = ["--data", str(pages), "--size", size, "--configs", "image_only", "af2"]
    tables = []
    for jobs in ("1", "2"):
        out = tmp_path / jobs
        assert call(*words, "--out", str(out), "--jobs", jobs) == 0
        tables.append((out / "table.csv").read_text())
    assert tables[0] == tables[1]
    assert (tmp_path / "2/runs/af2-seed0/log.txt").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "0"], "--seeds is 0"),
        (["seed=3"], "--seeds"),
        (["data.val.images=x"], "--val"),
        (["--peer", "yolo"], "NAME=results.json"),
        (["--configs", "af2", "solver.lrr=1"], "solver.lr"),
    ],
)
def test_wrong_words(words: list[str], said: str, pages: Path, tmp_path: Path, size: str) -> None:
    with pytest.raises(InputError, match=said):
        call("--data", str(pages), "--size", size, "--out", str(tmp_path / "out"), *words)


def test_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        call("--out", str(tmp_path / "out"))
    with pytest.raises(InputError, match="--peer needs --data"):
        call("--out", str(tmp_path / "out"), "--peer", "a=b")
