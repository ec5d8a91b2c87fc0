"""What all commands have in common: examples, groups, short options, pipes, JSON, pages."""

from __future__ import annotations

import io
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hand_made_pdf import write_pdf
from PIL import Image
from tiny_detector import tiny_checkpoint

from lmv3det.cli import COMMANDS, main
from lmv3det.cli.commands import GROUPS
from lmv3det.cli.examples import examples
from lmv3det.cli.parsing import SHORT, make_parser
from lmv3det.errors import InputError, count_of
from lmv3det.inference.job import read_ranges

TEXT = "BT /F 24 Tf 30 300 Td (Hello page) Tj ET"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return str(tiny_checkpoint(tmp_path_factory.mktemp("model") / "model.pth"))


@pytest.fixture
def pages(tmp_path, monkeypatch) -> Path:
    """The current folder has a PDF of four pages and a folder of two images."""
    monkeypatch.chdir(tmp_path)
    write_pdf(tmp_path / "four.pdf", TEXT, TEXT, TEXT, TEXT)
    (tmp_path / "scans").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (80, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "scans" / f"{number}.png")
    return tmp_path


def predict(checkpoint: str, *words: str) -> int:
    return main(["predict", *words, "--ckpt", checkpoint, "--device", "cpu", "--no-drawings"])


def pages_of(folder: str) -> list[int]:
    return [entry["page"] for entry in json.loads((Path(folder) / "detections.json").read_text())]


class Piped(io.TextIOWrapper):
    def __init__(self, content: bytes = b"") -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8", write_through=True)


def test_every_command_is_in_one_group():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_command_lines(name, capsys):
    """Each is parsed by the command's own parser, and stands in its help."""
    lines = examples(name)
    assert lines
    for line in lines:
        if name == "completion":
            line = line.removeprefix('eval "$(').removesuffix(')"')
        words = shlex.split(line.partition("<")[0].partition(" > ")[0])
        assert words[:2] == ["lmv3det", name]
        make_parser(name).parse_intermixed_args(words[2:])
    assert main([name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("\\\n", " ").split())
    for line in lines:
        assert " ".join(line.split()) in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_short_options(name):
    options = make_parser(name)._option_string_actions
    for long, short in SHORT.items():
        if long in options:
            assert options[short] is options[long] or long in ("--jobs", "--workers")
    assert options["-q"].dest == "quiet" and options["-v"].dest == "verbose"


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("1-3", [1, 2, 3]),
        ("2", [2]),
        ("1,4", [1, 4]),
        ("3-", [3, 4, 5, 6]),
        (" 5 , 1-2", [1, 2, 5]),
    ],
)
def test_ranges(text, pages):
    assert [n for n in range(1, 7) if read_ranges(text)(n)] == pages


@pytest.mark.parametrize("text", ["", "0", "3-1", "-3", "a", "1,,2", "1-2-3", "1.5", "²"])
def test_ranges_that_are_none(text):
    with pytest.raises(InputError, match="--pages"):
        read_ranges(text)


def test_pages(checkpoint, pages, capsys):
    assert predict(checkpoint, "four.pdf", "--pages", "2-3", "-o", "out") == 0
    assert pages_of("out") == [2, 3]
    # A file that has none of them is told of; the others are done.
    assert predict(checkpoint, "four.pdf", "scans/0.png", "--pages", "4", "-o", "more") == 1
    assert "scans/0.png: has 1 page, none of those asked for" in capsys.readouterr().err
    assert pages_of("more") == [4]


def test_from_a_pipe_to_a_pipe(checkpoint, pages, monkeypatch):
    content = (pages / "four.pdf").read_bytes()
    (pages / "empty").mkdir()
    monkeypatch.chdir(pages / "empty")
    out = Piped()
    monkeypatch.setattr(sys, "stdin", Piped(content))
    monkeypatch.setattr(sys, "stdout", out)
    assert predict(checkpoint, "-", "-o", "-", "--pages", "1-2") == 0
    found = json.loads(out.buffer.getvalue())  # type: ignore[attr-defined]
    assert [(entry["file"], entry["page"]) for entry in found] == [("-", 1), ("-", 2)]
    for name, start in (("markdown", b""), ("html", b"<!DOCTYPE html>")):
        out = Piped()
        monkeypatch.setattr(sys, "stdin", Piped(content))
        monkeypatch.setattr(sys, "stdout", out)
        assert predict(checkpoint, "-", "-o", "-", "-f", name, "--draw-score", "0") == 0
        document = out.buffer.getvalue()  # type: ignore[attr-defined]
        assert document.startswith(start) and b"pictures/" not in document
    assert list(Path().iterdir()) == []


def test_standard_input_into_a_folder(checkpoint, pages, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Piped((pages / "four.pdf").read_bytes()))
    assert predict(checkpoint, "-", "scans", "-o", "out") == 0
    assert pages_of("out") == [1, 2, 3, 4, 1, 1]
    for content, why in ((b"", "is empty"), (b"no page", "not an image")):
        monkeypatch.setattr(sys, "stdin", Piped(content))
        assert predict(checkpoint, "-", "-o", "other") == 1
        assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["-f", "cvat"], ["-f", "html,markdown"], ["--json"], ["--resume"]]
)
def test_what_does_not_go_to_standard_output(checkpoint, pages, words, capsys):
    assert predict(checkpoint, "scans", "-o", "-", *words) == 1
    assert "--out -" in capsys.readouterr().err


def test_a_summary(checkpoint, pages, capsys):
    words = ["scans", "scans/0.png", "-s", "0", "--draw-score", "0.01"]
    assert predict(checkpoint, *words, "-o", "out") == 0
    said = capsys.readouterr().out.splitlines()
    entries = json.loads(Path("out/detections.json").read_text())
    regions = [r for entry in entries for r in entry["detections"] if r["score"] >= 0.01]
    assert said[0] == "out: 2 pages"
    assert said[1].startswith(f"{count_of(len(regions), 'region')} of score 0.01 or more: ")
    assert predict(checkpoint, *words, "-o", "json", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert sum(facts.pop("regions").values()) == len(regions)
    assert facts == {
        "out": "json", "pages": 2, "resumed": 0, "failed": [], "files": ["json/detections.json"],
        "words": 0, "words_left_out": 0, "words_missing": 0,
    }  # fmt: skip
    assert predict(checkpoint, *words, "-o", "quiet", "-q") == 0
    assert capsys.readouterr() == ("", "")
    assert logging.getLogger("lmv3det").level == logging.ERROR
    assert main(["ocr", "four.pdf", "-o", "text", "--engine", "pdf-text", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == 4
    assert main(["ocr", "four.pdf", "-q", "-v", "-o", "text"]) == 1


def test_no_bars_in_a_log(checkpoint, pages, capsys):
    assert predict(checkpoint, "scans", "-o", "out") == 0
    assert "%|" not in capsys.readouterr().err


def test_results_of_earlier_runs_stay(checkpoint, pages, capsys):
    for number in range(3):
        assert predict(checkpoint, "scans", "--pages", "1") == 0
        assert ("stay" in capsys.readouterr().err) == (number > 0)
    names = sorted(path.name for path in pages.glob("predictions*"))
    assert names == ["predictions", "predictions-2", "predictions-3"]
    assert predict(checkpoint, "scans", "-o", "predictions") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert predict(checkpoint, "scans", "--overwrite") == 0


def test_the_model_of_the_package_by_its_name(tiny_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = ["--annotations", str(tiny_data.annotations), "--images", str(tiny_data.images)]
    words = ["evaluate", "default", *data, "--worst", "0", "device=cpu"]
    assert main([*words, "--save-thresholds"]) == 1
    assert "not written to" in capsys.readouterr().err
    assert main([*words, "data.missing_ocr=empty"]) == 0
    assert (tmp_path / "evaluation" / "metrics.json").exists()
    assert main(["predict", str(tiny_data.images), "-c", "defaults"]) == 1
    assert "no such checkpoint" in capsys.readouterr().err


def test_advice_is_in_the_words_that_were_used(checkpoint, pages, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["predict", "scans", "--ckpt", checkpoint, "--device", "cuda"]) == 1
    said = capsys.readouterr().err
    assert "device is 'cuda'" in said and "give --device cpu" in said and "device=" not in said


def test_one_page_is_one_page():
    assert [count_of(n, "page") for n in (0, 1, 2, 1000)] == [
        "0 pages", "1 page", "2 pages", "1,000 pages"
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_completion(capsys, tmp_path):
    for shell in ("zsh", "fish"):
        assert main(["completion", shell]) == 0
        assert "predict" in capsys.readouterr().out
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out

    def complete(*words: str) -> set[str]:
        line = " ".join(shlex.quote(word) for word in ("lmv3det", *words))
        code = (
            f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _lmv3det; "
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True,
            env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
        return set(done.stdout.split())

    assert complete("pre") == {"predict"} and complete("") == set(COMMANDS)
    assert {"--resume", "--pages", "--out"} <= complete("predict", "--")
    assert complete("batch", "--engine", "r") == {"ray"}


def test_settings_are_words_among_the_inputs(tmp_path, monkeypatch):
    """`key=value` is a setting, unless a file is called so."""
    from lmv3det.cli.predict_options import split_settings

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.png").touch()
    words = [
        "scan.png",
        "input.min_size_test=640",
        "a=b.png",
        "Page=1.png",
        "precision=fp32",
        "x/y=z",
    ]
    assert split_settings(words) == (
        ["scan.png", "a=b.png", "Page=1.png", "x/y=z"],
        ["input.min_size_test=640", "precision=fp32"],
    )


def test_predict_takes_settings(tmp_path, capsys):
    checkpoint = str(tiny_checkpoint(tmp_path / "model.pth"))
    Image.new("RGB", (60, 80), "white").save(tmp_path / "page.png")
    words = ["predict", str(tmp_path / "page.png"), "--ckpt", checkpoint, "--device", "cpu"]
    words += ["--out", str(tmp_path / "out")]
    assert main([*words, "test.score_treshold=0.5"]) == 1
    assert "test.score_treshold" in capsys.readouterr().err
    assert main([*words, "test.score_threshold=0.999"]) == 0
    (entry,) = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert entry["detections"] == []
