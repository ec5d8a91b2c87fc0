"""Makes docs/settings.md from the settings' dataclasses: `python -m lmv3det.config.docs`."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import TypeAdapter

from lmv3det.config import Config
from lmv3det.config.detectron2_keys import DETECTRON2_KEYS
from lmv3det.config.reading import section_of

HEAD = """\
# Settings

A config file is YAML with these sections; it holds only what differs from the defaults, and may
name another in `base:` to differ from that one: by a path relative to itself, or by the name of a
config that comes with the package, such as `af2`. `--config` takes both too. On the command line,
`section.setting=value` overrides both; the value is YAML. An unknown setting or a wrong type is an
error that names the nearest setting. The last column is the key of detectron2, or of the LayoutLMv3
example for it, that says the same or decides it; `lmv3det convert-config` translates a file.

Made from the dataclasses in `lmv3det/config/schema.py` and `model_schema.py` by `python -m
lmv3det.config.docs > docs/settings.md`; change the dataclasses, not this file.
"""


def make() -> str:
    """The whole page."""
    parts = [HEAD]
    plain = [row for row in _rows(Config, "") if row]
    parts.append("## At the top\n\n" + _table(plain))
    docs = _descriptions(Config)
    for name, section in _sections(Config):
        parts.append(f"## {name}\n\n{docs[name]}\n\n" + _table(list(_all(section, f"{name}."))))
    return "\n".join(parts)


def _all(cls: type, prefix: str) -> Iterator[list[str]]:
    yield from _rows(cls, prefix)
    for name, section in _sections(cls):
        yield from _all(section, f"{prefix}{name}.")


def _sections(cls: type) -> list[tuple[str, type]]:
    hints = typing.get_type_hints(cls)
    return [
        (item.name, section)
        for item in dataclasses.fields(cls)
        if (section := section_of(hints[item.name])) is not None
    ]


def _rows(cls: type, prefix: str) -> list[list[str]]:
    hints, docs = typing.get_type_hints(cls), _descriptions(cls)
    rows = []
    for item in dataclasses.fields(cls):
        if section_of(hints[item.name]) is not None:
            continue
        key = prefix + item.name
        theirs = DETECTRON2_KEYS.get(key)
        rows.append(
            [
                f"`{key}`",
                docs[item.name],
                _type(hints[item.name]),
                f"`{_value(_default(item))}`",
                f"`{theirs}`" if theirs else "",
            ]
        )
    return rows


def _descriptions(cls: type) -> dict[str, str]:
    """The docstring under each field, in one line.

    Raises:
        ValueError: a field has none.
    """
    schema = TypeAdapter(cls).json_schema()
    schema = schema.get("$defs", {}).get(cls.__name__, schema)
    found: dict[str, str] = {}
    for parent in cls.__bases__:  # those that are inherited have no docstring here
        if dataclasses.is_dataclass(parent):
            found |= _descriptions(parent)
    for name, entry in schema["properties"].items():
        if not entry.get("description"):
            if name in found:
                continue
            raise ValueError(f"{cls.__name__}.{name} has no docstring")
        found[name] = " ".join(entry["description"].split())
    return found


def _default(item: dataclasses.Field) -> Any:
    """A field's default; pydantic may have wrapped it in a field of its own."""
    for field in (item.default, item):
        factory = getattr(field, "default_factory", None)
        if callable(factory):
            return factory()
    return getattr(item.default, "default", item.default)


def _type(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (types.UnionType, typing.Union):
        named = [_type(part) for part in inner if part is not type(None)]
        return " or ".join(named + (["null"] if type(None) in inner else []))
    if origin is list:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return "mapping" if inner[1] is Any else f"mapping to {_type(inner[1])}"
    names = {int: "integer", float: "number", bool: "true or false", str: "text"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(rows: list[list[str]]) -> str:
    head = ["setting", "meaning", "type", "default", "detectron2"]
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |\n" for row in lines)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(make())
