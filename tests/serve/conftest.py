"""A server with a tiny detector that reads text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from live_server import Live, running
from PIL import Image
from tiny_detector import tiny_checkpoint, tiny_config

from lmv3det.inference.detector import Detector
from lmv3det.inference.options import PredictOptions
from lmv3det.serve.limits import Limits
from lmv3det.text.tokenization import PageTokenizer
from lmv3det.text.train_tokenizer import train_tokenizer

LIMITS = Limits(
    requests=6, file_bytes=200_000, pages=5, pixels=1_000_000, seconds=60, page_seconds=20
)


@pytest.fixture(scope="package")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    train_tokenizer(["one two three", "four five six"] * 20, folder / "tokenizer", 300, "bpe")
    encoder = PageTokenizer(folder / "tokenizer")
    config = tiny_config(
        text={"selection": "first", "page_dropout": 0.5},
        fusion={"kind": "additive"},
        backbone={"vocab_size": encoder.vocab_size, "pad_token_id": encoder.pad_token_id},
    )
    return tiny_checkpoint(folder / "model.pth", config, tokenizer_files=encoder.files())


@pytest.fixture(scope="package")
def detector(checkpoint: Path) -> Detector:
    """As the server has it, which changes its own."""
    return Detector.load(checkpoint, "cpu")


@pytest.fixture(scope="package")
def live(checkpoint: Path) -> Iterator[Live]:
    """It ends with the tests of this folder: those that follow may fork, which a process with the
    threads of a server cannot do safely."""
    with running(
        Detector.load(checkpoint, "cpu"), LIMITS, options=PredictOptions(batch_size=4)
    ) as live:
        yield live


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test the server has its places back, and no file of a request."""
    yield
    if "live" in request.fixturenames:
        from live_server import wait_for

        live = request.getfixturevalue("live")
        live.gate.set()
        wait_for(lambda: live.taken == 0 and live.folders() == [])


@pytest.fixture
def png(tmp_path: Path) -> Path:
    """A page of 96×72 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (96, 72, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "page.png")
    return tmp_path / "page.png"
