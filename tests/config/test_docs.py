"""docs/settings.md is what the dataclasses say."""

from __future__ import annotations

import re
from pathlib import Path

from lmv3det.config import walk
from lmv3det.config.detectron2_keys import DEFAULTS, DETECTRON2_KEYS, NOT_TAKEN, ONLY
from lmv3det.config.docs import make

FILE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_up_to_date():
    command = "python -m lmv3det.config.docs > docs/settings.md"
    assert FILE.read_text(encoding="utf-8") == make(), f"run {command}"


def test_every_setting_has_one_row():
    rows = re.findall(r"^\| `([\w.]+)` \|", make(), flags=re.MULTILINE)
    assert sorted(rows) == sorted(key for key, _ in walk())


def test_rows_hold_meaning_type_default_and_their_key():
    page = make()
    assert "| `solver.lr` | Peak learning rate. | number | `0.0002` | `SOLVER.BASE_LR` |\n" in page
    assert "| `rpn.box_weights` | Weights of dx, dy, dw, dh. | list of number |" in page
    assert "| text or null | `null` | `MODEL.WEIGHTS` |" in page


def test_the_table_of_keys_names_settings_that_exist():
    assert set(DETECTRON2_KEYS) <= {key for key, _ in walk()}
    theirs = set(DETECTRON2_KEYS.values())
    assert set(DEFAULTS) - {"SOLVER.CLIP_GRADIENTS.ENABLED"} <= theirs
    assert not theirs & set(ONLY)
    assert not set(ONLY) & set(NOT_TAKEN)
