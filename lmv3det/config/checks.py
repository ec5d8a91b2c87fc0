"""What the sections of the settings share: strict types, and checks whose errors name the key."""

from __future__ import annotations

import difflib
import typing
from typing import Any

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False)
"""Of every section: no other keys, no conversions, a docstring a field, finite numbers."""
MAX_WIDTH = 2**16
"""Of a layer, in channels: what is larger is a mistake, or meant to fill the memory."""


def nearest(word: str, known: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def require_between(section: Any, name: str, **limits: tuple[int, int]) -> None:
    """See that integers are within their limits, both included."""
    for key, (low, high) in limits.items():
        value = getattr(section, key)
        wanted = "more than 0" if low == 1 and value < 1 else f"from {low} to {high}"
        require(low <= value <= high, f"{name}.{key}", value, wanted)


def require_positive(section: Any, name: str, keys: typing.Iterable[str]) -> None:
    for key in keys:
        require(getattr(section, key) > 0, f"{name}.{key}", getattr(section, key), "more than 0")


def require(holds: bool, key: str, value: Any, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{key} is {value!r}; it must be {wanted}")


def require_fraction(value: float, key: str) -> None:
    require(0 <= value <= 1, key, value, "from 0 to 1")


def require_class(name: str | None, key: str, options: dict[str, Any], options_key: str) -> None:
    """See that a setting names a class, `module:Class`, and that options are not for none."""
    require(name is None or ":" in name, key, name, "module:Class")
    require(name is not None or not options, options_key, options, f"empty without {key}")
