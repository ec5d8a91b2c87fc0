"""Every array of the original's files, at the tolerance that fixture.py and README.md give.

The bound is 1e-9 relative (indices, classes and bits: equal); `loss_rpn_cls` and `loss_mask` are
held to 3e-7, because the original rounds those two values to float32.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from check import check_file, main  # noqa: E402
from fixture import Options  # noqa: E402

FILES = sorted(HERE.glob("*.npz"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_agrees_with_the_original(path: Path) -> None:
    results = check_file(path, Options()).results
    assert len(results) > 10
    beyond = [f"{r.name}: {r.difference:.1e}" for r in results if not r.holds]
    assert not beyond


def test_other_weights_are_told_apart(capsys: pytest.CaptureFixture) -> None:
    """The runner can fail: weights of another rule do not give the stored arrays."""
    assert main([str(HERE / "tiny_multimodal.npz"), "--offset", "1"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("FAIL")


def test_unusable_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, something=np.zeros(3))
    assert main([str(path)]) == 1
    path.write_text("not a zip")
    assert main([str(path)]) == 1
    assert main([str(tmp_path / "missing.npz")]) == 1
    assert capsys.readouterr().err.count("cannot be checked") == 3
