"""The making of the bundled model, in small: pages, stages, a release, the folder."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # tools/ is not installed

from lmv3det.checkpoint.file import load_checkpoint
from lmv3det.config import load_config
from lmv3det.errors import InputError
from lmv3det.inference.detector import Detector
from tools import bundled_model
from tools.bundled_model import RECIPES, Recipe, Stage, export, make, release

SMALL = (
    "data.workers=0",
    "input.min_size_train=[64]",
    "input.min_size_test=64",
    "input.crop=0",
    "backbone.hidden_size=24",
    "backbone.heads=2",
    "backbone.intermediate_size=24",
    "backbone.coordinate_size=4",
    "backbone.shape_size=4",
    "backbone.stem_channels=[8,8,8]",
    "backbone.vocab_size=400",
    "neck.out_channels=8",
    "roi.fc_dim=16",
    "solver.batch_size=1",
    "solver.warmup_steps=0",
    "precision=fp32",
)


@pytest.fixture
def recipe() -> Recipe:
    pytest.importorskip("typst")
    sets = {"a": (0.5, {"seed": 1, "language": "en"}), "b": (0.5, {"seed": 2, "language": "en"})}
    stages = (Stage(1, ()), Stage(2, ("input.min_size_train=[96]",)))
    return Recipe(sets, 4, stages, 2, SMALL)


def test_from_pages_to_a_model_that_predicts(recipe: Recipe, tmp_path: Path) -> None:
    model = make(tmp_path, recipe)
    assert load_checkpoint(tmp_path / "run/last.pth").step == 2
    branch = load_checkpoint(tmp_path / "release/last.pth")
    assert branch.step == 4 and branch.config.input.min_size_train == [96]
    detector = Detector.load(model, device="cpu")
    tokenizer = json.loads((model / "tokenizer/tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast" and "is_local" not in tokenizer
    assert str(tmp_path) not in (model / "config.yaml").read_text()
    assert detector.names[0] == "Text" and detector.uses_text
    page = next((tmp_path / "pages/a/images").iterdir())
    (found,) = detector.predict(page, tmp_path / "pages/a/OCR")
    assert found.page.file == str(page)
    with pytest.raises(InputError, match="is there already"):
        release(tmp_path / "run/last.pth", tmp_path, 2)


def test_a_model_that_is_too_large_is_not_left(recipe, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(bundled_model, "LARGEST", 1000)
    with pytest.raises(InputError, match="more than 1000"):
        make(tmp_path, recipe)
    assert not (tmp_path / "model").exists()
    monkeypatch.undo()
    export(load_checkpoint(tmp_path / "release/last.pth"), tmp_path / "model")
    assert (tmp_path / "model/model.safetensors").exists()


def test_pages_by_latex_where_it_is_found(recipe, tmp_path: Path, monkeypatch, caplog) -> None:
    recipe = dataclasses.replace(recipe, latex=0.5)

    def missing() -> None:
        raise InputError("no pdflatex")

    asked = []
    monkeypatch.setattr(bundled_model, "latex_pages", lambda out, n, **_: asked.append((out, n)))
    monkeypatch.setattr(bundled_model, "check_latex", missing)
    without = bundled_model.make_pages(tmp_path / "without", recipe, 1)
    assert [folder.name for folder in without] == ["a", "b"] and not asked
    assert [len(list((f / "images").iterdir())) for f in without] == [2, 2]
    assert "no pdflatex; goes on without pages by LaTeX" in caplog.text
    monkeypatch.setattr(bundled_model, "check_latex", lambda: None)
    found = bundled_model.make_pages(tmp_path / "with", recipe, 1)
    assert [folder.name for folder in found] == ["a", "b", "latex"]
    assert [len(list((f / "images").iterdir())) for f in found[:2]] == [1, 1]
    assert asked == [(tmp_path / "with/latex", 2)]


@pytest.mark.parametrize("name", RECIPES)
def test_a_fraction_of_a_recipe_keeps_its_stages(name: str) -> None:
    whole, least = RECIPES[name], RECIPES[name].part(1e-6)
    assert whole.part(1.0) == whole
    assert [stage.last_step for stage in least.stages] == [1, 2] and least.decay_steps == 1
    assert [s.overrides for s in least.stages] == [s.overrides for s in whole.stages]
    assert least.pages == len(whole.sets)


def test_the_command_lays_settings_over_the_recipe(tmp_path: Path, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(bundled_model, "make", lambda out, recipe, _: made.append((out, recipe)))
    words = ["make", str(tmp_path), "device=cpu", "--recipe", "gpu"]
    assert bundled_model.main([*words, "--fraction", "0.01", "precision=fp32"]) == 0
    ((out, recipe),) = made
    assert out == tmp_path and recipe.pages == RECIPES["gpu"].pages // 100
    config = load_config(bundled_model.CONFIG, recipe.overrides)
    assert (config.device, config.precision) == ("cpu", "fp32")
    with pytest.raises(SystemExit):
        bundled_model.main([*words, "--fractoin=0.01"])


def test_a_fraction_out_of_range_is_refused(tmp_path: Path, capsys) -> None:
    assert bundled_model.main(["make", str(tmp_path), "--fraction", "0"]) == 1
    assert "--fraction is 0.0" in capsys.readouterr().err


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_name_settings_that_exist(name: str) -> None:
    recipe = RECIPES[name]
    ends = [stage.last_step for stage in recipe.stages]
    assert ends == sorted(set(ends)) and sum(s for s, _ in recipe.sets.values()) == 1
    for stage in recipe.stages:
        load_config(bundled_model.CONFIG, [*recipe.overrides, *stage.overrides])
