"""Training from Python: callbacks, a model of one's own, freezing, loss weights, early stopping."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from training_helpers import tiny_config

import lmv3det
from lmv3det.checkpoint.file import load_checkpoint
from lmv3det.config import SolverConfig, load_config
from lmv3det.distributed import World
from lmv3det.engine.callbacks import EarlyStopping
from lmv3det.engine.log import read_entries
from lmv3det.engine.optim import build_optimizer, named_by
from lmv3det.engine.run import build_trainer
from lmv3det.engine.setup import set_steps
from lmv3det.engine.step import TrainStep
from lmv3det.engine.trainer import Interrupted
from lmv3det.errors import InputError
from lmv3det.model.detector import build_detector

ALONE = World(0, 1, torch.device("cpu"))
QUIET = {"val": {"annotations": None, "images": None}}


class Notes(lmv3det.Callback):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple] = []

    def before_run(self, trainer):
        self.events.append(("before_run", trainer.step))

    def before_step(self, trainer):
        self.events.append(("before_step", trainer.step))

    def after_step(self, trainer, result):
        assert not result.skipped
        self.events.append(("after_step", trainer.step))

    def before_evaluation(self, trainer):
        self.events.append(("before_evaluation", trainer.step))

    def after_evaluation(self, trainer, metrics):
        assert set(metrics) == {"bbox"} and "AP" in metrics["bbox"]
        self.events.append(("after_evaluation", trainer.step))

    def before_save(self, trainer, checkpoint):
        assert checkpoint.step == trainer.step
        self.events.append(("before_save", trainer.step))

    def after_save(self, trainer, path):
        assert load_checkpoint(path).step == trainer.step
        self.events.append(("after_save", trainer.step))

    def after_run(self, trainer):
        self.events.append(("after_run", trainer.step))


def test_callbacks_are_told_in_order(tiny_data, tmp_path):
    config = tiny_config(tiny_data.root, tmp_path / "run", solver={"steps": 2})
    notes = Notes()
    assert lmv3det.train(config, callbacks=[notes]) == tmp_path / "run" / "last.pth"
    assert notes.events == [
        ("before_run", 0),
        ("before_step", 0),
        ("after_step", 1),
        ("before_step", 1),
        ("after_step", 2),
        ("before_save", 2),
        ("after_save", 2),
        ("before_evaluation", 2),
        ("after_evaluation", 2),
        ("after_run", 2),
    ]
    logged = [e for e in read_entries(tmp_path / "run") if "total" in e]
    assert all(e["grad_norm"] > 0 and 0 <= e["foreground_share"] <= 1 for e in logged)
    for entry in logged:
        losses = sum(value for name, value in entry.items() if name.startswith("loss_"))
        assert entry["total"] == pytest.approx(losses)


def test_a_callback_ends_a_run_as_its_last_step_would(tiny_data, tmp_path):
    class Enough(lmv3det.Callback):
        def after_step(self, trainer, result):
            if trainer.step == 2:
                trainer.stop()

    notes = Notes()
    config = tiny_config(tiny_data.root, tmp_path / "run", solver={"steps": 50})
    path = lmv3det.train(config, callbacks=[Enough(), notes])
    assert load_checkpoint(path).step == 2
    assert notes.events[-3:] == [
        ("before_evaluation", 2), ("after_evaluation", 2), ("after_run", 2)
    ]  # fmt: skip


def test_an_error_in_a_callback_is_the_users_own(tiny_data, tmp_path):
    class Faulty(lmv3det.Callback):
        def before_step(self, trainer):
            raise ZeroDivisionError("mine")

    config = tiny_config(tiny_data.root, tmp_path / "run", data=QUIET)
    with pytest.raises(ZeroDivisionError, match="mine"):
        lmv3det.train(config, callbacks=[Faulty()])


def test_patience_ends_a_run_and_holds_when_it_goes_on(tiny_data, tmp_path, monkeypatch, caplog):
    """APs 3, 5, 4, 5, 9: after two evaluations without a better one the run ends at the fourth."""
    scores = iter([3.0, 5.0, 4.0, 5.0, 9.0, 8.0, 8.0, 9.5, 1.0])

    def evaluate(model, dataset, loader, *args, **options):
        from lmv3det.evaluation.coco import Evaluation

        metrics = {"bbox": {"AP": next(scores), "AP50": 0.0, "AP75": 0.0, "per_class": {}}}
        found = Evaluation.__new__(Evaluation)
        found.__dict__.update(metrics=metrics, detections=[])
        return found

    monkeypatch.setattr("lmv3det.evaluation.detector.evaluate_detector", evaluate)
    monkeypatch.setattr("lmv3det.visualization.training.draw_validation", lambda *args: None)
    caplog.set_level("INFO")
    solver = {"steps": 9, "evaluate_every": 1, "patience": 2}
    config = tiny_config(tiny_data.root, tmp_path / "run", solver=solver)
    assert load_checkpoint(lmv3det.train(config)).step == 4
    assert load_checkpoint(tmp_path / "run" / "best.pth").step == 2
    assert "bbox AP was best at step 2 (5.00)" in caplog.text
    assert load_checkpoint(lmv3det.train(config, resume=True)).step == 4, "it has ended"
    config.solver.patience = 3
    assert load_checkpoint(lmv3det.train(config, resume=True)).step == 9, "9 is better"


def frozen_config(root: Path, run: Path, **solver):
    solver = {"freeze": ["backbone", "fpn.lateral.*"], "freeze_steps": 2, "steps": 4, **solver}
    return tiny_config(root, run, data=QUIET, solver=solver)


class Kept(lmv3det.Callback):
    """The parameters after each step."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []

    def before_run(self, trainer):
        self._keep(trainer)

    def after_step(self, trainer, result):
        self._keep(trainer)

    def _keep(self, trainer):
        found = trainer.training.model.named_parameters()
        self.weights.append({name: p.detach().clone() for name, p in found})


def test_freezing_for_the_first_steps(tiny_data, tmp_path):
    kept = Kept()
    lmv3det.train(frozen_config(tiny_data.root, tmp_path / "run"), callbacks=[kept])
    frozen = [n for n in kept.weights[0] if n.startswith(("backbone.", "fpn.lateral."))]
    assert frozen
    start, _, second, third, _ = kept.weights
    assert all(torch.equal(start[name], second[name]) for name in frozen), "not decayed either"
    changed = {n for n in start if not torch.equal(start[n], second[n])}
    assert changed and not changed & set(frozen)
    assert any(not torch.equal(second[name], third[name]) for name in frozen)


def test_a_run_with_frozen_steps_goes_on_bit_for_bit(tiny_data, tmp_path):
    """Interrupted while it is frozen, and after."""

    class Stops(lmv3det.Callback):
        def __init__(self, step: int) -> None:
            self.step = step

        def after_step(self, trainer, result):
            if trainer.step == self.step:
                trainer.signal = 15

    lmv3det.train(frozen_config(tiny_data.root, tmp_path / "whole"))
    config = frozen_config(tiny_data.root, tmp_path / "parts")
    with pytest.raises(Interrupted):
        lmv3det.train(config, callbacks=[Stops(1)])
    with pytest.raises(Interrupted):
        lmv3det.train(config, callbacks=[Stops(3)], resume=True)
    lmv3det.train(config, resume=True)
    whole, parts = (load_checkpoint(tmp_path / n / "last.pth") for n in ("whole", "parts"))
    assert all(torch.equal(whole.weights[n], parts.weights[n]) for n in whole.weights)


def test_what_is_frozen_must_be_there():
    names = ["backbone.layers.1.weight", "backbone.layers.10.weight", "fpn.lateral.0.bias"]
    assert named_by(["backbone.layers.1"], names) == names[:1]
    assert named_by(["fpn", "backbone.*"], names) == names
    with pytest.raises(InputError, match=r"solver\.freeze names 'back', .* backbone, fpn"):
        named_by(["back"], names)
    with pytest.raises(InputError, match="nothing is trained"):
        one_step(freeze=["*"])
    with pytest.raises(InputError, match=r"solver\.freeze is"):
        load_config(None, ["solver.freeze_steps=3"])


class Two(nn.Module):
    """Losses w and 2·w of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, batch):
        return {"loss_a": self.weight * 1, "loss_b": self.weight * 2}


class Nothing:
    pages = ()

    def to(self, *args, **kwargs):
        return self


def one_step(**solver) -> tuple[float, dict[str, float]]:
    """The gradient of a step, and what is logged."""
    model = Two()
    settings = SolverConfig(max_grad_norm=0.0, **solver)
    step = TrainStep(model, build_optimizer(model, settings), settings, ALONE, "fp32")
    step(0, [Nothing()])
    return model.weight.grad.item(), step.take_means()


def test_loss_weights():
    gradient, means = one_step(loss_weights={"loss_b": 0.25})
    assert gradient == 1 + 2 * 0.25
    assert means == {"loss_a": 1.0, "loss_b": 0.5, "grad_norm": 1.5}
    assert one_step() == (3.0, {"loss_a": 1.0, "loss_b": 2.0, "grad_norm": 3.0})
    with pytest.raises(InputError, match="loss_c, but the losses are loss_a, loss_b"):
        one_step(loss_weights={"loss_c": 2.0})
    with pytest.raises(InputError, match=r"solver\.loss_weights\.loss_a is -1"):
        load_config(None, ["solver.loss_weights={loss_a: -1}"])


def test_epochs_take_the_place_of_steps():
    config = load_config(None, ["solver.epochs=2.5", "solver.batch_size=4"])
    set_steps(config, 10)
    assert config.solver.steps == 7  # 25 pages, the last step a whole one
    config.solver.epochs = None
    set_steps(config, 1000)
    assert config.solver.steps == 7


def test_a_model_of_ones_own(tiny_data, tmp_path):
    """A module that shares nothing with the package's detector trains, saves and goes on."""
    from lmv3det.structures import Detections

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, batch):
            return {"loss_pixels": (batch.images.mean((0, 2, 3)) - self.bias).square().sum()}

        def predict(self, batch):
            return [
                Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), size)
                for size in batch.image_sizes
            ]

    config = tiny_config(tiny_data.root, tmp_path / "run", solver={"steps": 2})
    path = lmv3det.train(config, model=Own())
    first = load_checkpoint(path).weights["bias"]
    assert first.abs().sum() > 0
    config.solver.steps = 3
    lmv3det.train(config, model=Own(), resume=True)
    assert not torch.equal(load_checkpoint(path).weights["bias"], first)
    with pytest.raises(InputError, match="not those of the model that was given"):
        lmv3det.train(config, model=nn.Linear(2, 2), resume=True)


def test_a_model_of_other_classes_is_refused(tiny_data, tmp_path):
    config = tiny_config(tiny_data.root, tmp_path / "run", data=QUIET)
    five = tiny_config(tiny_data.root, tmp_path / "run", model={"num_classes": 5})
    with pytest.raises(InputError, match="has 5 classes, the annotations have 2"):
        build_trainer(config, ALONE, model=build_detector(five))


def test_the_trainer_receives_its_parts(tiny_data, tmp_path):
    config = tiny_config(tiny_data.root, tmp_path / "run", data=QUIET)
    trainer = build_trainer(config, ALONE)
    assert isinstance(trainer.training.optimizer, torch.optim.AdamW)
    assert trainer.training.optimizer.param_groups[0]["names"]
    assert [c.name for c in trainer.categories] and trainer.callbacks == []
    config.solver.patience = 1
    assert isinstance(build_trainer(config, ALONE).callbacks[0], EarlyStopping)


def test_metrics_of_a_run_are_json(tiny_data, tmp_path):
    config = tiny_config(tiny_data.root, tmp_path / "run", data=QUIET, solver={"steps": 1})
    lmv3det.train(config)
    (entry,) = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert {"grad_norm", "foreground_share", "lr", "total"} <= set(entry)
