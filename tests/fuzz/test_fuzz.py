"""A few bad inputs for every reader; `python -m tests.fuzz` tries thousands."""

from __future__ import annotations

import logging

import pytest

from tests.fuzz.mutations import json_bytes, mutate_bytes, mutate_value
from tests.fuzz.runner import Tally, table
from tests.fuzz.target import CODE, ERROR, FINE, HANG, RESULT, TRACEBACK, Target, try_input
from tests.fuzz.targets import TARGETS

INPUTS = {
    "checkpoint": 12,
    "overwriting": 12,
    "resume": 12,
    "folder": 12,
    "weights": 12,
    "onnx": 30,
    "tokenizer": 20,
}
"""Of the targets whose inputs take longest; the others get 60."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_bad_inputs_are_read_or_refused_in_one_line(name, tmp_path, monkeypatch):
    if name == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    if name == "corpus":
        pytest.importorskip("typst")
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    target = TARGETS[name]
    (tmp_path / "seeds").mkdir()
    seeds = target.prepare(tmp_path / "seeds")
    counts = dict.fromkeys(FINE, 0)
    for number in range(INPUTS.get(name, 60)):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome, detail, _ = try_input(target, seeds, 1, number, folder)
        assert outcome in FINE, f"{name} {number}: {outcome}\n{detail}"
        counts[outcome] += 1
    assert counts[RESULT] and (counts[ERROR] or name in ("index", "tars")), counts


def _nothing(*_: object) -> None:
    return None


def test_outcomes_are_told_apart(tmp_path):
    """The harness itself: each kind of failure is seen as what it is."""
    import os
    import time

    from lmv3det.errors import InputError
    from tests.fuzz import target as module

    def fail(error: BaseException):
        raise error

    reads = {
        RESULT: lambda: 3,
        ERROR: lambda: fail(InputError("no")),
        TRACEBACK: lambda: fail(KeyError("no")),
        CODE: lambda: os.system("true"),
        HANG: lambda: time.sleep(60),
    }
    for wanted, read in reads.items():
        target = Target("t", _nothing, _nothing, lambda *_, read=read: read())
        before, module.SECONDS = module.SECONDS, 0.2 if wanted == HANG else 10
        try:
            assert try_input(target, None, 0, 0, tmp_path)[0] == wanted
        finally:
            module.SECONDS = before


def test_the_same_seed_makes_the_same_inputs(tmp_path):
    from random import Random

    value = {"a": [1, 2, {"b": "text"}], "c": 1.5}
    for make in (
        lambda rng: json_bytes(rng, value),
        lambda rng: mutate_bytes(rng, b"some bytes"),
        lambda rng: repr(mutate_value(rng, value)),
    ):
        first, again = ([make(Random(seed)) for seed in range(50)] for _ in range(2))
        assert first == again and len(set(first)) > 25
    assert value == {"a": [1, 2, {"b": "text"}], "c": 1.5}


def test_table_counts_by_outcome():
    tally = Tally(peak=5_000_000, slowest=(0.25, 7))
    tally.counts.update([RESULT, RESULT, ERROR, HANG])
    assert table({"ocr": tally}).splitlines()[-1] == (
        "| ocr | 4 | 2 | 1 | 0 | 1 | 0 | 0 | 0 | 5 | 0.2 (no. 7) |"
    )
