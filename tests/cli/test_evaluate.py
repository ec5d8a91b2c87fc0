"""The command `evaluate`: files, messages, classes, thresholds, processes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_detector import CATEGORIES, tiny_checkpoint, tiny_config

from lmv3det.checkpoint.file import Checkpoint, load_checkpoint, save_checkpoint
from lmv3det.checkpoint.folder import from_pretrained, save_pretrained
from lmv3det.checkpoint.loading import load_detector
from lmv3det.cli import main
from lmv3det.errors import InputError
from lmv3det.model.detector import build_detector


@pytest.fixture
def command(tiny_data, tmp_path, capsys):
    """Runs `lmv3det evaluate` on the tiny data; returns (code, stdout, stderr)."""
    checkpoint = tiny_checkpoint(tmp_path / "model.pth")

    def run(*words: str, data: bool = True):
        given = ["--annotations", tiny_data.annotations, "--images", tiny_data.images]
        words = ("evaluate", str(checkpoint), *map(str, given if data else ()), *words)
        code = main([*words, "--out", str(tmp_path / "out")])
        return code, *capsys.readouterr()

    return run


def test_command_writes_files_and_prints_the_table(command, tmp_path, caplog):
    caplog.set_level("INFO")
    code, out, err = command("test.score_threshold=0.2", "--worst", "1", "precision=bf16")
    assert code == 0, err
    assert "on cpu in bfloat16" in caplog.text
    assert "| Table" in out and "| Text" in out and "Masks" in out
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert set(metrics) == {"bbox", "segm", "thresholds"}
    assert metrics["bbox"]["per_class"]["Text"]["count"] == 3
    results = json.loads((tmp_path / "out/detections.json").read_text())
    assert {"image_id", "category_id", "bbox", "score", "segmentation"} == set(results[0])
    assert min(result["score"] for result in results) >= 0.2
    assert (tmp_path / "out/table.md").read_text().strip() == out.strip()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"pr_curves.png", "pr_curves_segm.png"} <= names
    assert len(list((tmp_path / "out/pages").iterdir())) == 1
    report = tmp_path / "shown"
    code, out, err = command(
        "test.score_threshold=0.99", "model.mask_on=false", "--report", str(report)
    )
    assert code == 0, err
    assert "Mistakes by kind" in (report / "report.html").read_text()
    assert json.loads((tmp_path / "out/detections.json").read_text()) == []
    assert set(json.loads((tmp_path / "out/metrics.json").read_text())) == {"bbox", "thresholds"}


@pytest.mark.parametrize(
    ("words", "data", "message"),
    [
        ((), False, "its config has no data.val.annotations; give --annotations"),
        (("--annotations", "x.json"), False, "without --images"),
        (("--annotations", "x.json", "--images", "."), False, "x.json: no such annotation file"),
        (("test.score_treshold=0.1",), True, "did you mean"),
        (("score_threshold",), True, "not key=value"),
        (("test.score_threshold=2",), True, "from 0 to 1"),
        (("neck.out_channels=32",), True, "neck.out_channels=32: such settings need a new"),
        (("model.num_classes=5",), True, "names 2 classes"),
        (("device=cuda:77",), True, "cuda:77"),
        (("--worst", "-1"), True, "--worst is -1"),
        (("--map", "Text"), True, "--map 'Text' is not NAME=NAME"),
        (("--map", "Text=Table,Text=Figure"), True, "names 'Text' twice"),
        (("--map", "Lists=Text"), True, "'lists', which neither the checkpoint (Table, Text)"),
    ],
)
def test_command_says_what_is_wrong_in_one_line(command, words, data, message):
    code, out, err = command(*words, data=data)
    assert (code, out) == (1, "")
    assert err.startswith("lmv3det evaluate: ") and err.count("\n") == 1
    assert message in err


def test_validation_data_of_the_config_is_used_and_missed(tiny_data, tmp_path, capsys):
    split = {"annotations": str(tiny_data.annotations), "images": str(tiny_data.images)}
    config = tiny_config(data={"workers": 0, "val": split})
    checkpoint = tiny_checkpoint(tmp_path / "model.pth", config)
    words = ["evaluate", str(checkpoint), "--out", str(tmp_path / "out"), "--worst", "0"]
    assert main(words) == 0
    assert not (tmp_path / "out/pages").exists()
    tiny_data.annotations.unlink()
    assert main(words) == 1
    assert "annotations.json, is not here; give --annotations" in capsys.readouterr().err


def test_damaged_checkpoint(tmp_path):
    config = tiny_config()
    weights = build_detector(config).state_dict()
    name = next(iter(weights))
    del weights[name]
    save_checkpoint(tmp_path / "less.pth", Checkpoint(weights, config, CATEGORIES))
    with pytest.raises(InputError, match=f"{name} is missing.*damaged"):
        load_detector(tmp_path / "less.pth")
    with pytest.raises(InputError, match="no such checkpoint"):
        load_detector(tmp_path / "none.pth")


def test_two_processes_score_like_one(tiny_data, tmp_path):
    """Also with an odd number of pages, where a process has fewer."""
    tiny_data.content["images"] = tiny_data.content["images"][:3]
    tiny_data.content["annotations"] = tiny_data.content["annotations"][:5]
    tiny_data.save()
    checkpoint = tiny_checkpoint(tmp_path / "model.pth")
    root = Path(__file__).resolve().parents[2]
    words = [str(root / "evaluate.py"), str(checkpoint), "--worst", "0"]
    words += ["--annotations", str(tiny_data.annotations), "--images", str(tiny_data.images)]
    assert main(["evaluate", *words[1:], "--out", str(tmp_path / "one")]) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
              "--master_addr", "127.0.0.1", "--master_port", "0", "--standalone"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [*launch, *words, "--out", str(tmp_path / "two")],
        env=environment, capture_output=True, text=True, timeout=600, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("metrics.json", "detections.json"):
        one, two = ((tmp_path / folder / name).read_text() for folder in ("one", "two"))
        assert one == two
    assert json.loads(one)  # there are detections
    assert done.stdout.count("| all") == 2  # boxes and masks, from one process


def test_thresholds_are_written_and_read(command, tmp_path):
    """A tiny detector at random finds nothing: then there are none; made-up ones are kept."""
    code, _, err = command("--save-thresholds", "--worst", "0", "test.score_threshold=0")
    assert code == 0, err
    written = json.loads((tmp_path / "out/metrics.json").read_text())["thresholds"]
    checkpoint = load_checkpoint(tmp_path / "model.pth")
    assert checkpoint.thresholds == written
    checkpoint.thresholds = {"Text": 0.25}
    save_checkpoint(tmp_path / "again.pth", checkpoint)
    assert load_checkpoint(tmp_path / "again.pth").thresholds == {"Text": 0.25}
    for wrong in ({"Text": 2.0}, {"Text": float("nan")}, {"Text": "0.5"}, {7: 0.5}, [0.5]):
        save_checkpoint(tmp_path / "wrong.pth", dataclasses.replace(checkpoint, thresholds=wrong))
        with pytest.raises(InputError, match="its thresholds"):
            load_checkpoint(tmp_path / "wrong.pth")
    save_pretrained(checkpoint, tmp_path / "folder")
    assert from_pretrained(tmp_path / "folder").thresholds == {"Text": 0.25}


def test_names_cannot_fake_lines(command, tiny_data, tmp_path):
    """Line breaks and terminal escapes in a class name are printed as escapes."""
    name = "Text\n| all | 100.0\x1b[2K"
    tiny_data.content["categories"][0]["name"] = name
    tiny_data.save()
    code, out, err = command("--map", f"Text={name}", "--worst", "0", "model.mask_on=false")
    assert code == 0, err
    assert sum("| all" in line for line in out.splitlines()) == 2 and "\x1b" not in out
    assert "Text\\n\\| all \\| 100.0\\x1b[2K" in out
    assert name in json.loads((tmp_path / "out/metrics.json").read_text())["bbox"]["per_class"]


def test_other_classes_are_reported(command, tiny_data, tmp_path, caplog):
    tiny_data.content["categories"][0]["name"] = "List"
    tiny_data.save()
    code, _, err = command("--worst", "0", "model.mask_on=false")
    assert code == 0, err
    assert "the data set lacks them (--map tells which is which): Text" in caplog.text
    assert "the checkpoint lacks them (--map tells which is which): List" in caplog.text
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["left_out"] == {"checkpoint": ["Text"], "data": ["List"]}
    assert list(metrics["bbox"]["per_class"]) == ["Table"]
    caplog.clear()
    assert command("--map", "List=Text", "--worst", "0", "model.mask_on=false")[0] == 0
    assert "lacks" not in caplog.text
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["bbox"]["per_class"]["List"]["count"] == 3


@pytest.mark.slow
def test_predict_scores_as_evaluate_does(lmv3det_data, tmp_path):
    """The AP of `evaluate`, and that of the boxes in `predict`'s JSON."""
    from lmv3det.data.coco import CocoDataset
    from lmv3det.evaluation.coco import score
    from lmv3det.evaluation.results import read_results
    from lmv3det.inference.default_model import default_model_folder

    pages = lmv3det_data / "publaynet"
    words = ["--annotations", str(pages / "annotations.json"), "--images", str(pages / "images"),
             "--ocr", str(pages / "OCR")]  # fmt: skip
    out = tmp_path / "evaluation"
    assert main(["evaluate", str(default_model_folder()), "--out", str(out), *words]) == 0
    wanted = json.loads((out / "metrics.json").read_text())["bbox"]["per_class"]
    words = ["--ocr", str(pages / "OCR"), "--out", str(tmp_path / "found"), "--no-drawings"]
    assert main(["predict", str(pages / "images"), *words]) == 0
    dataset = CocoDataset(pages / "annotations.json", pages / "images", quiet=True)
    image_ids = {record.file_name: record.image_id for record in dataset.records}
    category_ids = {category.name.casefold(): category.id for category in dataset.file_categories}
    results = [
        {"image_id": image_ids[Path(page["file"]).name], "bbox": found["bbox"],
         "score": found["score"], "category_id": category_ids[found["category"].casefold()]}
        for page in json.loads((tmp_path / "found" / "detections.json").read_text())
        for found in page["detections"]
        if found["category"].casefold() in category_ids
    ]  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(results))
    evaluation = score(dataset, read_results(tmp_path / "results.json", dataset), ("bbox",))
    found = evaluation.metrics["bbox"]["per_class"]
    print({name: (of["AP"], found[name]["AP"]) for name, of in wanted.items()})
    assert len(wanted) == 4 and all(of["AP"] > 5 for of in wanted.values())
    for name, of in wanted.items():
        assert found[name]["AP"] == pytest.approx(of["AP"], abs=0.1), name
