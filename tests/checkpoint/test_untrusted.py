"""Checkpoints of someone else: no code, no network; one line that says what is wrong."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_detector import tiny_checkpoint, tiny_config
from torch import nn

from lmv3det.checkpoint.file import load_checkpoint
from lmv3det.checkpoint.folder import from_pretrained, read_tokenizer, save_pretrained
from lmv3det.checkpoint.loading import checkpoint_page_tokenizer, load_detector
from lmv3det.cli import main
from lmv3det.errors import InputError
from lmv3det.inference.detector import Detector
from lmv3det.model.detector import build_detector

HEAD = """
from pathlib import Path
from torch import nn
Path(__file__).with_name("imported").touch()

class Head(nn.Sequential):
    def __init__(self, channels, size, dim):
        super().__init__(nn.Flatten(), nn.Linear(channels * size**2, dim), nn.ReLU())
"""


def rewritten(path: Path, **changes: Any) -> Path:
    """A checkpoint with other fields."""
    content = {**torch.load(tiny_checkpoint(path), weights_only=True), **changes}
    torch.save(content, path)
    return path


class TestCode:
    @pytest.fixture
    def own_head(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A checkpoint whose config names a class; importing it leaves a file `imported`."""
        (tmp_path / "own_head.py").write_text(HEAD, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        path = tiny_checkpoint(tmp_path / "a.pth", tiny_config(roi={"head": "own_head:Head"}))
        (tmp_path / "imported").unlink()
        sys.modules.pop("own_head")
        return path

    @pytest.mark.parametrize(
        ("section", "key"), [("roi", "head"), ("fusion", "kind"), ("text", "sentence_encoder")]
    )
    def test_is_not_imported(self, tmp_path: Path, monkeypatch, section: str, key: str) -> None:
        (tmp_path / "evil.py").write_text("open('marker', 'w')\n", encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.chdir(tmp_path)
        config = torch.load(tiny_checkpoint(tmp_path / "a.pth"), weights_only=True)["config"]
        config["text"]["selection"] = "sentence"
        config[section][key] = "evil:Part"
        path = rewritten(tmp_path / "a.pth", config=config)
        for read in (load_checkpoint, load_detector, lambda path: Detector.load(path, "cpu")):
            with pytest.raises(InputError, match=rf"its {section}\.{key} is 'evil:Part'.*trust"):
                read(path)
        save = load_checkpoint(path, trust_code=True)
        save_pretrained(save, tmp_path / "folder")
        for read in (from_pretrained, load_detector):
            with pytest.raises(InputError, match=r"'evil:Part'.*--trust-code"):
                read(tmp_path / "folder")
        assert not (tmp_path / "marker").exists()

    def test_of_every_command(self, own_head: Path, tmp_path: Path, capsys) -> None:
        out, page = str(tmp_path / "out"), str(tmp_path)
        for words in (
            ["evaluate", str(own_head), "--out", out],
            ["predict", page, "--ckpt", str(own_head), "--out", str(tmp_path / "drawn")],
            ["convert", str(own_head), "--to", "pretrained", "--out", out],
        ):
            if words[0] == "predict":
                (tmp_path / "page.png").write_bytes(b"")
            assert main(words) == 1
            assert "--trust-code" in capsys.readouterr().err, words
        assert not (tmp_path / "imported").exists() and not (tmp_path / "out").exists()
        assert main(["convert", str(own_head), "--to", "pretrained", "--out", out,
                     "--trust-code"]) == 0  # fmt: skip

    def test_runs_where_it_is_trusted(self, own_head: Path, tmp_path: Path) -> None:
        model, _ = load_detector(own_head, trust_code=True)
        assert type(model.cascade.heads[0]).__name__ == "Head"
        assert Detector.load(own_head, "cpu", trust_code=True).names
        load_detector(own_head, overrides=["roi.head=own_head:Head"])  # the user's own word
        assert (tmp_path / "imported").exists()

    def test_with_mistakes_is_one_line(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "spelt.py").write_text("class Head(:\n", encoding="utf-8")
        (tmp_path / "dies.py").write_text("1 / 0\n", encoding="utf-8")
        (tmp_path / "few.py").write_text(
            "from torch import nn\nclass Head(nn.Module):\n    def __init__(self): ...\n",
            encoding="utf-8",
        )
        for name, said in (
            ("spelt", "SyntaxError"), ("dies", "ZeroDivisionError"), ("few", r"Head\(16, 7, 32\)")
        ):  # fmt: skip
            with pytest.raises(InputError, match=rf"roi\.head is '{name}:Head'.*{said}"):
                build_detector(tiny_config(roi={"head": f"{name}:Head"}))


class TestSizes:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("backbone.layers", 30_000),
            ("backbone.layers", 100_000),
            ("backbone.hidden_size", 2**31),
            ("roi.iou_thresholds", [0.5] * 10_000),
            ("rpn.aspect_ratios", [1.0] * 10_000),
            ("mask.convs", 10**6),
            ("relation.layers", 10**6),
            ("input.min_size_test", 10**6),
            ("input.size_divisibility", 32 * 10**5),
            ("test.batch_size", 10**6),
            ("data.workers", 10**4),
        ],
    )
    def test_beyond_measure_are_refused_before_anything_is_built(
        self, tmp_path: Path, monkeypatch, key: str, value: Any
    ) -> None:
        import lmv3det.model.detector

        path = tiny_checkpoint(tmp_path / "a.pth")
        config = torch.load(path, weights_only=True)["config"]
        section, _, name = key.partition(".")
        config[section][name] = value
        rewritten(path, config=config)
        monkeypatch.setattr(lmv3det.model.detector, "build_detector", pytest.fail)
        with pytest.raises(InputError, match=rf"{section}\.{name}|roi\.box_weights"):
            load_detector(path)

    def test_of_another_model_allocate_nothing(self, tmp_path: Path) -> None:
        """Legal sizes that are not those of the weights: a model of 50 GB would be needed."""
        path = tiny_checkpoint(tmp_path / "a.pth")
        config = torch.load(path, weights_only=True)["config"]
        config["backbone"] |= {"layers": 100, "intermediate_size": 250_000}
        config["roi"]["fc_dim"] = 60_000
        with pytest.raises(InputError, match="the weights do not fit the config"):
            load_detector(rewritten(path, config=config))


class TestFields:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("version", "1"),
            ("version", None),
            ("version", [1]),
            ("version", 1.5),
            ("categories", {"id": 1}),
            ("categories", []),
            ("categories", [3, 4]),
            ("categories", [{"id": "3", "name": "A"}]),
            ("categories", [{"id": 3, "name": None}]),
            ("weights", [1, 2]),
            ("weights", {3: torch.zeros(2)}),
            ("weights", {"a": [1.0]}),
            ("weights", None),
            ("tokenizer_files", [torch.zeros(2)]),
            ("tokenizer_files", {"a.json": "text"}),
            ("tokenizer_files", {"a.json": torch.zeros(3)}),
            ("tokenizer_files", {"a.json": torch.zeros(2, 2, dtype=torch.uint8)}),
            ("step", -1),
            ("step", "3"),
            ("training", [1]),
            ("libraries", "torch"),
            ("config", [1]),
            ("config", None),
            ("config", {"backbone": [1]}),
            ("config", {"backbone": {"layers": torch.zeros(2)}}),
        ],
    )
    def test_of_another_type(self, tmp_path: Path, key: str, value: Any) -> None:
        path = rewritten(tmp_path / "a.pth", **{key: value})
        with pytest.raises(InputError) as caught:
            load_checkpoint(path)
        said = str(caught.value)
        assert said.startswith(str(path)) and "\n" not in said
        assert key.split("_")[0] in said or key == "weights"

    @pytest.mark.parametrize(
        ("tensor", "said"),
        [
            (torch.zeros(4, 4).to_sparse(), "sparse"),
            (torch.zeros(3, device="meta"), "without data"),
            (torch.zeros(1).expand(10**12), "larger than its data"),
            (torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8), "quantized"),
        ],
    )
    def test_odd_tensors(self, tmp_path: Path, tensor: torch.Tensor, said: str) -> None:
        path = tiny_checkpoint(tmp_path / "a.pth")
        weights = load_checkpoint(path).weights
        weights["fpn.output.0.weight"] = tensor
        rewritten(path, weights=weights)
        with pytest.raises(InputError, match=rf"fpn\.output\.0\.weight is a.*{said}"):
            load_checkpoint(path)
        torch.save({"model": weights}, path)
        assert main(["convert", str(path), "--to", "lmv3det", "--out", str(tmp_path / "o")]) == 1

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_weights_that_are_not_finite(self, tmp_path: Path, capsys, value: float) -> None:
        """They would find nothing, without a word."""
        path = tiny_checkpoint(tmp_path / "a.pth")
        weights = {name: tensor.clone() for name, tensor in load_checkpoint(path).weights.items()}
        weights["fpn.output.1.bias"][3] = value
        rewritten(path, weights=weights)
        said = r"1 of the 16 values of fpn\.output\.1\.bias are NaN or infinite"
        with pytest.raises(InputError, match=said):
            load_detector(path)
        assert main(["convert", str(path), "--to", "lmv3det", "--out", str(tmp_path / "o")]) == 1
        assert "fpn.output.1.bias" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "changes",
        [{"version": "1"}, {"categories": 3}, {"categories": [{"id": 1}]}, {"step": None}],
    )
    def test_of_a_folder(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        save_pretrained(load_checkpoint(tiny_checkpoint(tmp_path / "a.pth")), tmp_path / "folder")
        marker = tmp_path / "folder" / "lmv3det.json"
        about = {**json.loads(marker.read_text(encoding="utf-8")), **changes}
        marker.write_text(json.dumps(about), encoding="utf-8")
        with pytest.raises(InputError, match="folder"):
            from_pretrained(tmp_path / "folder")

    def test_the_config_of_a_folder_reads_no_other_file(self, tmp_path: Path) -> None:
        save_pretrained(load_checkpoint(tiny_checkpoint(tmp_path / "a.pth")), tmp_path / "folder")
        config = tmp_path / "folder" / "config.yaml"
        (tmp_path / "other.yaml").write_text("seed: 3\n", encoding="utf-8")
        config.write_text("base: ../other.yaml\n" + config.read_text(encoding="utf-8"), "utf-8")
        with pytest.raises(InputError, match="base"):
            from_pretrained(tmp_path / "folder")


class TestTokenizer:
    @pytest.mark.parametrize("name", ["owner/name", "hub:owner/name", "runs/tokenizer", None])
    def test_is_never_fetched(self, tmp_path: Path, monkeypatch, name: str | None) -> None:
        import socket

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("network"))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("network"))
        config = tiny_config(text={"selection": "all", "tokenizer": name})
        path = tiny_checkpoint(tmp_path / "a.pth", config)
        with pytest.raises(InputError, match=r"carries no tokenizer.*text\.tokenizer=DIR"):
            checkpoint_page_tokenizer(load_checkpoint(path))

    def test_an_empty_file_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "tokenizer").mkdir()
        (tmp_path / "tokenizer" / "merges.txt").touch()
        (tmp_path / "tokenizer" / "vocab.json").write_text("{}", encoding="utf-8")
        files = read_tokenizer(tmp_path / "tokenizer")
        assert {name: len(data) for name, data in files.items()} == {
            "merges.txt": 0, "vocab.json": 2
        }  # fmt: skip
        path = tiny_checkpoint(tmp_path / "a.pth", tokenizer_files=files)
        save_pretrained(load_checkpoint(path), tmp_path / "folder")
        assert (tmp_path / "folder" / "tokenizer" / "merges.txt").read_bytes() == b""


class TestLoading:
    def test_initialises_nothing_at_random(self, tmp_path: Path) -> None:
        path = tiny_checkpoint(tmp_path / "a.pth")
        expected = load_checkpoint(path).weights
        before = torch.get_rng_state()
        model, _ = load_detector(path)
        assert torch.equal(torch.get_rng_state(), before)
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, expected[name]) and not tensor.is_meta
        assert all(p.requires_grad and isinstance(p, nn.Parameter) for p in model.parameters())

    def test_weights_are_copies(self, tmp_path: Path) -> None:
        """A file that is written over while a model is in use changes nothing."""
        path = tiny_checkpoint(tmp_path / "a.pth")
        model, _ = load_detector(path)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with open(path, "r+b") as stream:
            stream.write(b"\0" * path.stat().st_size)
        assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())

    def test_half_precision_computes_in_float32(self, tmp_path: Path) -> None:
        path = tiny_checkpoint(tmp_path / "a.pth")
        weights = {
            n: t.half() if t.is_floating_point() else t
            for n, t in load_checkpoint(path).weights.items()
        }
        model, _ = load_detector(rewritten(path, weights=weights))
        assert {p.dtype for p in model.parameters()} == {torch.float32}

    @pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
    def test_the_state_of_the_run_is_not_read(self, tmp_path: Path) -> None:
        state = {"exp_avg": torch.ones(50_000_000)}  # 200 MB
        path = tiny_checkpoint(tmp_path / "a.pth", training={"optimizer": state})
        del state

        def resident() -> int:
            return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

        before = resident()
        checkpoint = load_checkpoint(path)
        assert resident() - before < 100_000_000
        assert float(checkpoint.training["optimizer"]["exp_avg"][-1]) == 1.0
