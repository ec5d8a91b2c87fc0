"""Checkpoints: there and back, whole or not at all, and files that are something else."""

from __future__ import annotations

import os
import pickle
import stat
import zipfile
from pathlib import Path

import pytest
import torch
from tiny_detector import CATEGORIES, tiny_checkpoint, tiny_config

from lmv3det.checkpoint import file as module
from lmv3det.checkpoint.file import (
    FORMAT,
    VERSION,
    Checkpoint,
    load_checkpoint,
    read_torch,
    save_checkpoint,
    write_torch,
)
from lmv3det.checkpoint.folder import save_tensors
from lmv3det.errors import InputError
from lmv3det.model.detector import build_detector


class RunsCode:
    """A pickle that would make a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_there_and_back(tmp_path: Path) -> None:
    path, config = tmp_path / "a.pth", tiny_config(text={"selection": "all"})
    torch.manual_seed(0)
    weights = build_detector(config).state_dict()
    tokenizer = {"tokenizer.json": torch.tensor([1, 2, 255], dtype=torch.uint8)}
    training = {"optimizer": {"state": {0: {"exp_avg": torch.rand(3)}}}, "position": [1, 2.5, "x"]}
    save_checkpoint(path, Checkpoint(weights, config, CATEGORIES, tokenizer, 17, training))
    loaded = load_checkpoint(path)
    assert loaded.config == config and loaded.categories == CATEGORIES and loaded.step == 17
    assert list(loaded.weights) == list(weights)
    assert all(torch.equal(loaded.weights[name], weights[name]) for name in weights)
    assert all(loaded.weights[name].dtype == weights[name].dtype for name in weights)
    assert torch.equal(loaded.tokenizer_files["tokenizer.json"], tokenizer["tokenizer.json"])
    assert loaded.training["position"] == [1, 2.5, "x"]
    assert torch.equal(
        loaded.training["optimizer"]["state"][0]["exp_avg"],
        training["optimizer"]["state"][0]["exp_avg"],
    )
    assert {"python", "torch", "lmv3det"} <= set(loaded.libraries)
    build_detector(loaded.config).load_state_dict(loaded.weights)


def test_plain_tensors_alone(tmp_path: Path) -> None:
    """What is written is what `weights_only` reads."""
    content = torch.load(tiny_checkpoint(tmp_path / "a.pth"), weights_only=True)
    assert content["format"] == FORMAT and content["version"] == VERSION
    assert {"weights", "config", "categories", "step"} <= set(content)


def test_folders_are_made(tmp_path: Path) -> None:
    assert tiny_checkpoint(tmp_path / "new" / "folder" / "a.pth").is_file()


class TestAtomic:
    @pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
    def test_a_failing_save_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
    ) -> None:
        path = tiny_checkpoint(tmp_path / "a.pth")
        before = path.read_bytes()

        def fails(content, stream) -> None:
            stream.write(b"half of it")
            raise error

        monkeypatch.setattr(torch, "save", fails)
        with pytest.raises(type(error)):
            write_torch(path, {"new": 1})
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["a.pth"]

    def test_what_cannot_be_written_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
            write_torch(tmp_path / "a.pth", {"a": lambda: None})
        assert not list(tmp_path.iterdir())

    def test_the_new_file_takes_its_place_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a.pth"
        write_torch(path, {"number": 1})
        seen = []
        replace = os.replace
        monkeypatch.setattr(
            module.os, "replace", lambda a, b: (seen.append(read_torch(Path(b))), replace(a, b))
        )
        write_torch(path, {"number": 2})
        assert seen == [{"number": 1}] and read_torch(path) == {"number": 2}


class TestOtherFiles:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"none\.pth: no such checkpoint file"):
            load_checkpoint(tmp_path / "none.pth")

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such checkpoint file"):
            load_checkpoint(tmp_path)

    @pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
    def test_cut_off(self, tmp_path: Path, share: float) -> None:
        path = tiny_checkpoint(tmp_path / "a.pth")
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=r"a\.pth: .*copy or download it again"):
            load_checkpoint(path)

    @pytest.mark.parametrize(
        "content",
        [b"", b"a text file\n", b"<!DOCTYPE html><html>", bytes(range(256)) * 4, b"\x89PNG\r\n"],
        ids=["empty", "text", "html", "bytes", "png"],
    )
    def test_not_a_torch_file(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.pth"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.pth: .*not a torch file") as caught:
            load_checkpoint(path)
        assert "\n" not in str(caught.value) and "run code" not in str(caught.value)

    def test_zip_of_something_else(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pth"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("folder/readme.txt", "hello")
        with pytest.raises(InputError, match=r"a\.pth: .*not a torch file"):
            load_checkpoint(path)

    @pytest.mark.parametrize("how", ["torch", 2, 4, 5])
    def test_a_pickle_that_runs_code_is_not_run(self, tmp_path: Path, how) -> None:
        path, marker = tmp_path / "a.pth", tmp_path / "marker"
        if how == "torch":
            torch.save({"weights": RunsCode(marker)}, path)
        else:
            path.write_bytes(pickle.dumps({"weights": RunsCode(marker)}, protocol=how))
        with pytest.raises(InputError, match=r"a\.pth: refused.*torch\.save\(model\.state_dict"):
            load_checkpoint(path)
        assert not marker.exists()

    def test_objects_of_a_library(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pth"
        torch.save({"model": torch.nn.Linear(2, 2)}, path)
        with pytest.raises(InputError, match="refused"):
            load_checkpoint(path)

    @pytest.mark.parametrize("content", [{"weight": torch.zeros(3)}, [1, 2], torch.zeros(2)])
    def test_weights_alone(self, tmp_path: Path, content) -> None:
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(InputError, match=r"not a checkpoint of lmv3det; .*lmv3det convert"):
            load_checkpoint(tmp_path / "a.pth")

    def rewritten(self, tmp_path: Path, **changes) -> Path:
        path = tiny_checkpoint(tmp_path / "a.pth")
        content = {**torch.load(path, weights_only=True), **changes}
        torch.save({k: v for k, v in content.items() if v is not None}, path)
        return path

    def test_a_newer_one(self, tmp_path: Path) -> None:
        path = self.rewritten(tmp_path, version=VERSION + 1)
        with pytest.raises(InputError, match=rf"format {VERSION + 1}.*upgrade lmv3det"):
            load_checkpoint(path)

    def test_without_a_part(self, tmp_path: Path) -> None:
        path = self.rewritten(tmp_path, categories=None, config=None)
        with pytest.raises(InputError, match="without config, categories"):
            load_checkpoint(path)

    def test_a_setting_that_is_not_known(self, tmp_path: Path) -> None:
        path = self.rewritten(tmp_path, config={"solver": {"stepz": 3}})
        with pytest.raises(InputError, match=r"a\.pth \(its config\): unknown.*solver\.steps"):
            load_checkpoint(path)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_tensors_are_as_readable_as_other_files(tmp_path, umask):
    before = os.umask(umask)
    try:
        save_tensors({"a": torch.ones(3)}, tmp_path / "model.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == 0o666 & ~umask
