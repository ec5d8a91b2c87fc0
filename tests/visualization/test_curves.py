"""Curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lmv3det.visualization.curves import draw_precision_recall, draw_training


def test_curves_leave_out_classes_without_truth(tmp_path):
    precision = np.stack([np.linspace(1, 0, 101), np.full(101, -1.0)], axis=1)
    draw_precision_recall(tmp_path / "new" / "curves.png", precision, ["Text", "Table"], "bbox")
    with Image.open(tmp_path / "new" / "curves.png") as picture:
        picture.load()
        assert min(picture.size) > 300
    draw_precision_recall(tmp_path / "empty.png", precision[:, 1:], ["Table"], "bbox")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.png", "new"]


def test_names_are_drawn_as_they_are(tmp_path):
    """A dollar sign is no formula, and letters of any script do not stop the drawing."""
    precision = np.tile(np.linspace(1, 0, 101)[:, None], (1, 4))
    names = ["Cost $x^{$", "表格 한글 ب", "a\nb\x1b\ud800", "𝑥"]
    draw_precision_recall(tmp_path / "curves.png", precision, names, "bbox")
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_the_legend_hides_no_curve(tmp_path, monkeypatch):
    """Also with very many classes."""
    from matplotlib.figure import Figure

    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: figures.append(self) or
                        Path(path).write_bytes(b""))  # fmt: skip
    for count in (2, 60):
        precision = np.tile(np.linspace(1, 0, 101)[:, None], (1, count))
        draw_precision_recall(
            tmp_path / "x.png", precision, [f"class {k}" for k in range(count)], ""
        )
        figures[-1].draw_without_rendering()
        figures[-1].canvas.draw()
        (legend,), (axes,) = figures[-1].legends, figures[-1].axes
        assert not legend.get_window_extent().overlaps(axes.get_window_extent())
        assert figures[-1].bbox.height >= legend.get_window_extent().height


def test_both_plots_of_a_training_say_what_they_show(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: figures.append(self) or
                        Path(path).write_bytes(b""))  # fmt: skip
    entries = [{"step": 1, "total": 2.0, "loss_mask": 1.0}, {"step": 1, "evaluation": {}}]
    draw_training(entries, tmp_path / "curves.png")
    assert [axes.get_ylabel() for axes in figures[0].axes] == ["loss", "per cent"]
