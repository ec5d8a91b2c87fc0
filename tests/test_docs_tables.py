"""Tables of the documentation name their columns, which screen readers say at every cell."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_head_is_empty(path):
    lines = path.read_text(encoding="utf-8").split("\n")
    for head, rule in itertools.pairwise(lines):
        if re.fullmatch(r"\|(\s*:?-+:?\s*\|)+", rule):
            cells = head.strip().strip("|").split("|")
            assert all(cell.strip() for cell in cells), head
