"""The folder for what is prepared once."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$LMV3DET_CACHE``, or ``lmv3det`` in the user's cache folder; there ``pagegen``."""
    given = os.environ.get("LMV3DET_CACHE")
    start = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lmv3det"
    return (Path(given) if given else start) / "pagegen"
