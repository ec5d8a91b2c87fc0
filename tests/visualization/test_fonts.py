"""A font for every letter."""

from __future__ import annotations

import numpy as np
import pytest

from lmv3det.visualization.fonts import font_path, runs
from lmv3det.visualization.labels import make_label


def drawn(letter: str) -> np.ndarray:
    ((part, face),) = make_label(letter, 40).runs
    mask = face.getmask(part)
    return np.array(mask).reshape(mask.size[::-1])


BOX = "\U0010fffd"  # no font has a letter there: what stands in for it is a box


@pytest.mark.parametrize("letter", ["ß", "Ж", "λ", "∑", "ب", "𝔸", "𝑥", "𝜶"])
def test_letters_of_the_bundled_fonts(letter):
    assert font_path(letter).name in ("DejaVuSans.ttf", "STIXGeneral.ttf")
    assert drawn(letter).shape != drawn(BOX).shape or (drawn(letter) != drawn(BOX)).any()


@pytest.mark.parametrize("letter", ["表", "한", "あ"])
def test_letters_of_other_fonts_where_there_are_any(letter):
    """Chinese, Korean, Japanese: whatever font says that it has the letter draws it."""
    if font_path(letter) == font_path(BOX):
        pytest.skip(f"no font with {letter} on this machine")
    other = drawn(letter)
    assert other.any()
    assert other.shape != drawn(BOX).shape or (other != drawn(BOX)).any()


def test_a_text_is_cut_where_the_font_changes():
    parts = runs("Table 𝑥+ب")
    assert [part for part, _ in parts] == ["Table ", "𝑥", "+ب"]
    assert parts[0][1] == parts[2][1] != parts[1][1]
    assert runs("") == []


def test_control_characters_are_escaped():
    assert "".join(part for part, _ in runs("a\nb\x1b[0m\ud800")) == r"a\nb\x1b[0m\ud800"


def test_a_damaged_font_is_passed_over(tmp_path, monkeypatch):
    from lmv3det.visualization import fonts

    (tmp_path / "NotoSansKR.ttf").write_bytes(b"no font")
    monkeypatch.setattr(fonts, "_found", lambda: iter([tmp_path / "NotoSansKR.ttf"]))
    fonts.font_path.cache_clear()
    assert fonts.font_path("한").name == "DejaVuSans.ttf"
    fonts.font_path.cache_clear()
