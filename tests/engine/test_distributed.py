"""Two gloo processes against one: gradients, skipped steps, signals, whole runs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from test_trainer import losses, make_pages, same
from torch import Tensor
from training_helpers import tiny_config

from lmv3det import distributed
from lmv3det.checkpoint.file import Checkpoint, load_checkpoint, write_torch
from lmv3det.config import Config
from lmv3det.device import choose_device
from lmv3det.distributed import World
from lmv3det.engine.callbacks import Callback
from lmv3det.engine.log import read_entries
from lmv3det.engine.optim import build_optimizer
from lmv3det.engine.randomness import seed_everything
from lmv3det.engine.run import find_checkpoint, train
from lmv3det.engine.step import TrainStep
from lmv3det.engine.trainer import Interrupted, Trainer
from lmv3det.errors import InputError
from lmv3det.model.detector import build_detector
from lmv3det.structures import Batch, Page, Target

CPU = torch.device("cpu")
LENGTHS = (5, 0, 3, 2)
"""Tokens of the four pages; one has no text."""


def exact_config(pages: int, accumulate: int) -> Config:
    """A model with text, fusion and relations without anything random: no dropout, every anchor
    and region taken."""
    return tiny_config(
        Path(),
        Path(),
        backbone={"dropout": 0.0, "attention_dropout": 0.0},
        neck={"norm": "frozen"},
        model={"num_classes": 3, "mask_on": True},
        text={"selection": "first"},
        fusion={"kind": "gated"},
        relation={"enabled": True, "dim": 8, "heads": 2},
        rpn={"batch_size_per_image": 100_000},
        roi={"batch_size_per_image": 100_000},
        solver={"batch_size": pages, "grad_accum_steps": accumulate, "max_grad_norm": 0.0},
    )


def exact_model(config: Config) -> torch.nn.Module:
    seed_everything(0)
    return build_detector(config).double()


def page(number: int) -> Batch:
    """Page `number` as a batch, in float64; the third one has no regions."""
    generator = torch.Generator().manual_seed(number)
    boxes = [] if number == 2 else [[4.0, 6.0, 40.0, 30.0], [10.0 + number, 32.0, 60.0, 60.0]]
    outlines = [[torch.tensor(b)[[0, 1, 2, 1, 2, 3, 0, 3]].view(4, 2).double().numpy()]
                for b in boxes]  # fmt: skip
    length = LENGTHS[number]
    corners = torch.randint(0, 500, (1, length, 2), generator=generator)
    return Batch(
        torch.randn(1, 3, 64, 64, generator=generator, dtype=torch.float64),
        [(64, 64)],
        torch.randint(2, 40, (1, length), generator=generator),
        torch.cat([corners, corners + 300], dim=2),
        torch.ones(1, length, dtype=torch.bool),
        [
            Target(
                torch.tensor(boxes, dtype=torch.float64).view(-1, 4),
                torch.arange(len(boxes)) % 3,
                outlines,
            )
        ],
        [Page(f"{number}.png", 64, 64)],
    )


def exact_step(config: Config, world: World) -> TrainStep:
    model = exact_model(config)
    return TrainStep(model, build_optimizer(model, config.solver), config.solver, world)


def gradients(numbers: list[int], pages: int, world: World) -> dict[str, Tensor]:
    """Gradients of a step over the given pages of this process, in micro-batches of one."""
    config = exact_config(pages, len(numbers))
    training = exact_step(config, world)
    training._forward_backward([page(number) for number in numbers])
    return {n: p.grad.clone() for n, p in training.model.named_parameters() if p.grad is not None}


def poisoned_step(world: World, bad_rank: int) -> dict:
    """A step in which one process has a page of NaN, then a good one."""
    config = exact_config(2, 1)
    training = exact_step(config, world)
    before = {n: p.detach().clone() for n, p in training.model.named_parameters()}
    batch = page(world.rank)
    if world.rank == bad_rank:
        batch.images = batch.images * float("nan")
    result = training(0, [batch], lambda: 15 * (world.rank == 1))
    same_weights = all(torch.equal(p, before[n]) for n, p in training.model.named_parameters())
    after = training(1, [page(world.rank)])
    return {
        "signal": result.signal,
        "skipped": result.skipped and result.reported,
        "causes": result.causes,
        "same": same_weights,
        "then": after.skipped,
        "weights": {n: p.detach().clone() for n, p in training.model.named_parameters()},
        "losses": training.take_means(),
    }


def work(rank: int, port: int, folder: Path) -> None:
    """What each of the two processes does."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )  # fmt: skip
    torch.set_num_threads(1)
    with distributed.start("cpu") as world:
        found = {
            "gradients": gradients([rank], 2, world),
            "accumulated": gradients([rank, rank + 2], 4, world),
            "poisoned": poisoned_step(world, bad_rank=1),
            "gathered": distributed.gather(f"rank {rank}", world),
            "from_main": distributed.from_main(rank, world),
            "max": distributed.reduce_max(torch.tensor([rank, -rank]), world).tolist(),
        }
        write_torch(folder / f"{rank}.pth", found)
        train(run_config(folder, "whole"))
        # SIGTERM reaches one process alone; both save and stop.
        original = Trainer._train_step

        def with_signal(self, batches):
            if self.step == 1 and rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return original(self, batches)

        Trainer._train_step = with_signal  # type: ignore[method-assign]
        try:
            train(run_config(folder, "parts"))
        except Interrupted as stop:
            (folder / f"stopped_{rank}").write_text(f"{stop.signum} {stop.step}")
        Trainer._train_step = original  # type: ignore[method-assign]
        write_torch(folder / f"found_{rank}.pth", find_checkpoints(folder, world))
        train(run_config(folder, "parts"), resume=True)
        train(run_config(folder, "ended"), callbacks=[EndsInOne()])


class EndsInOne(Callback):
    """After its first step, one process wants the run to end."""

    def after_step(self, trainer, result):
        if trainer.world.rank == 1 and trainer.step == 1:
            trainer.stop()


def find_checkpoints(folder: Path, world: World) -> dict:
    """What a process finds where each host has a folder of its own: `whole` is of step 5, `parts`
    of step 2."""
    whole, parts, nowhere = (folder / name / "last.pth" for name in ("whole", "parts", "nowhere"))

    def find(*paths: Path, or_start: bool) -> Checkpoint | None:
        return find_checkpoint(paths[world.rank], world, False, or_start)

    found: dict = {"none": find(nowhere, nowhere, or_start=True) is None}
    for owner, paths in enumerate(((whole, nowhere), (nowhere, whole))):
        checkpoint = find(*paths, or_start=False)
        assert checkpoint is not None
        found[f"sent by {owner}"] = checkpoint.step
        found[f"weights of {owner}"] = checkpoint.weights
    newest = find(parts, whole, or_start=True)
    found["newest"] = newest.step if newest is not None else -1
    for name, paths in {"differ": (parts, whole), "nothing": (nowhere, nowhere)}.items():
        try:
            find(*paths, or_start=False)
        except InputError as error:
            found[name] = str(error)
    return found


def run_config(folder: Path, name: str) -> Config:
    solver = {"steps": 5, "batch_size": 2, "log_every": 2, "evaluate_every": 5}
    solver |= {"freeze": ["fpn", "backbone.layers.0"], "freeze_steps": 3}  # in two wrappings
    return tiny_config(folder, folder / name, neck={"norm": "frozen"}, solver=solver)


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    """Where two processes have left what they found."""
    folder = tmp_path_factory.mktemp("two")
    make_pages(folder)
    torch.multiprocessing.spawn(work, (free_port(), folder), nprocs=2)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read(folder: Path, rank: int) -> dict:
    return torch.load(folder / f"{rank}.pth", weights_only=True)


@pytest.mark.parametrize(("name", "numbers"), [("gradients", 2), ("accumulated", 4)])
def test_two_processes_have_the_gradients_of_one_that_accumulates(both, name, numbers):
    """Page by page with text, without text, without regions; masks, fusion and relations on."""
    expected = gradients(list(range(numbers)), numbers, World(0, 1, CPU))
    first, second = (read(both, rank)[name] for rank in (0, 1))
    assert first.keys() == second.keys()
    largest = max(float(g.abs().max()) for g in expected.values())
    for key, gradient in first.items():
        assert torch.equal(gradient, second[key]), key
        wanted = expected.get(key, torch.zeros_like(gradient))
        torch.testing.assert_close(gradient, wanted, rtol=1e-12, atol=1e-12 * largest, msg=key)


def test_pages_without_text_leave_parameters_unused_alone_and_zero_among_two():
    """Why DistributedDataParallel needs `reach_all`: page 1 has no text."""
    config = exact_config(1, 1)
    training = exact_step(config, World(0, 1, CPU))
    training._forward_backward([page(1)])
    without = {n for n, p in training.model.named_parameters() if p.grad is None}
    assert without and all(n.startswith("backbone.text_embedding.") for n in without)
    training(0, [page(1)])
    assert all(p.grad is not None for p in training.parameters)


def test_a_fault_in_one_process_is_left_out_in_both(both):
    first, second = (read(both, rank)["poisoned"] for rank in (0, 1))
    assert first["skipped"] and second["skipped"] and first["same"] and second["same"]
    assert first["causes"] == [] and "1.png" in second["causes"][0]
    assert not first["then"] and not second["then"]
    assert same(first["weights"], second["weights"])
    assert same(first["losses"], second["losses"]) and len(first["losses"]) > 0


def test_a_signal_to_one_process_is_known_to_both(both):
    assert [read(both, rank)["poisoned"]["signal"] for rank in (0, 1)] == [15, 15]


def test_collectives(both):
    for rank in (0, 1):
        found = read(both, rank)
        assert found["gathered"] == ["rank 0", "rank 1"]
        assert found["from_main"] == 0
        assert found["max"] == [1, 0]


def test_both_stop_together_and_go_on_exactly(both):
    stops = {(both / f"stopped_{rank}").read_text() for rank in (0, 1)}
    assert stops == {"15 2"}  # sent in the second step, whose line is logged
    assert losses(both / "parts") == losses(both / "whole")
    whole, parts = (load_checkpoint(both / name / "last.pth") for name in ("whole", "parts"))
    assert same(whole.weights, parts.weights) and same(whole.training, parts.training)
    assert len(whole.training["random"]) == 2
    assert not same(*whole.training["random"])


def test_a_callback_of_one_process_ends_both(both):
    """With the next step, in which they tell one another; evaluated and saved as at the end."""
    entries = read_entries(both / "ended")
    assert [e["step"] for e in entries if "evaluation" in e] == [2]
    assert load_checkpoint(both / "ended" / "last.pth").step == 2


def test_hosts_without_the_checkpoint_are_sent_it(both):
    """Failed before: every host had to have the file."""
    weights = load_checkpoint(both / "whole" / "last.pth").weights
    for rank in (0, 1):
        found = torch.load(both / f"found_{rank}.pth", weights_only=True)
        assert found["none"] and found["newest"] == 5
        for owner in (0, 1):
            assert found[f"sent by {owner}"] == 5
            assert same(found[f"weights of {owner}"], weights)
        assert "step 2 where process 0 runs" in found["differ"] and "step 5" in found["differ"]
        assert "nothing to resume" in found["nothing"]


def test_a_run_of_two_processes_goes_on_in_one(both, caplog):
    config = run_config(both, "whole")
    config.solver.steps, config.solver.grad_accum_steps = 6, 2
    train(config, resume=True)
    assert "had 2 processes and now has 1" in caplog.text
    checkpoint = load_checkpoint(both / "whole" / "last.pth")
    assert checkpoint.step == 6 and checkpoint.training["pages_seen"] == 12


def test_devices():
    assert choose_device("cpu") == CPU
    for name in ("gpu", "cpu:x", "xpu"):
        with pytest.raises(InputError, match="auto, cpu, cuda, cuda:N or mps"):
            choose_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device=cpu"):
            choose_device("cuda")


def test_one_process_needs_no_group(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with distributed.start("cpu") as world:
        assert (world.rank, world.size, world.is_main) == (0, 1, True)
        assert distributed.gather(3, world) == [3] and distributed.from_main(4, world) == 4
        distributed.barrier(world)
    model = torch.nn.BatchNorm2d(2)
    assert distributed.synchronise_batch_norm(model, world) is model
    assert distributed.wrap(model, world) is model


def test_batch_norm_on_a_cpu_is_not_synchronised_and_says_so(caplog):
    world = World(0, 2, CPU)
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
    assert distributed.synchronise_batch_norm(model, world) is model
    assert "neck.norm=frozen" in caplog.text
    caplog.clear()
    distributed.synchronise_batch_norm(torch.nn.Linear(1, 1), world)
    assert not caplog.text


def test_batch_norm_on_gpus_is_synchronised():
    world = World(0, 2, torch.device("cuda", 0))
    model = distributed.synchronise_batch_norm(torch.nn.Sequential(torch.nn.BatchNorm2d(2)), world)
    assert isinstance(model[0], torch.nn.SyncBatchNorm)


def scoring(rank: int, port: int, folder: Path) -> None:
    """Process 0 works for longer than the timeout while the other waits; then one fails alone."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )  # fmt: skip
    with distributed.start("cpu", timeout=1 / 3) as world:
        if world.is_main:
            time.sleep(25)
        distributed.barrier(world)
        try:
            with distributed.failing_together(world):
                if rank == 1:
                    raise InputError("page.png: cannot be read")
        except InputError as error:
            (folder / f"failed_{rank}").write_text(str(error))
        config = run_config(folder, "whole")
        if rank == 1:  # sees no checkpoint, as on a host without the folder
            config.output_dir = str(folder / "elsewhere")
        train(config, resume=True)
        (folder / f"resumed_{rank}").write_text(f"in {sorted(folder.glob('*/last.pth'))}")
        if world.is_main:
            time.sleep(25)  # leaving waits too


@pytest.mark.slow
def test_waiting_for_process_0_outlasts_the_timeout_and_faults_are_shared(tmp_path):
    make_pages(tmp_path)
    train(run_config(tmp_path, "whole"))
    torch.multiprocessing.spawn(scoring, (free_port(), tmp_path), nprocs=2)
    for rank in (0, 1):
        assert (tmp_path / f"failed_{rank}").read_text() == "page.png: cannot be read"
        said = (tmp_path / f"resumed_{rank}").read_text()
        assert "whole" in said and "elsewhere" not in said, "one host keeps the checkpoint"


def joining(rank: int, port: int) -> None:
    """Process 1 dies when it has met process 0, before the group for long waits is made."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )  # fmt: skip
    if rank == 1:
        torch.distributed.new_group = lambda **settings: os.kill(os.getpid(), signal.SIGKILL)
    with distributed.start("cpu", timeout=0.05):
        pass


@pytest.mark.skipif(not hasattr(torch.distributed, "set_timeout"), reason="torch is too old")
def test_a_process_that_dies_while_they_meet_is_not_waited_for_for_days():
    context = multiprocessing.get_context("spawn")
    port = free_port()
    both = [context.Process(target=joining, args=(rank, port)) for rank in (0, 1)]
    for process in both:
        process.start()
    both[0].join(120)
    code = both[0].exitcode
    both[0].kill()
    assert code == 1 and both[1].exitcode == -signal.SIGKILL
