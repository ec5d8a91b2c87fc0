"""YAML text to plain values and back: safe tags only, and bounds on what a text holds."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from lmv3det.errors import InputError

MAX_BYTES = 1_000_000
"""Of a file, and of its values with every alias written out."""
MAX_DEPTH = 50
"""Levels of mappings and lists in one another."""
_MAX_BITS = 10_000
"""Of a whole number: Python does not print one of more than 4300 digits."""


class BoundedLoader(yaml.SafeLoader):
    """The safe loader, for `[` and `{` at most `MAX_DEPTH` levels deep: its time grows with the
    square of the depth."""

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        if self.flow_level >= MAX_DEPTH:
            raise RecursionError
        super().fetch_flow_collection_start(token)


class SettingsLoader(BoundedLoader):
    """The safe loader, with YAML 1.2's numbers and booleans: `2e-4` is a number, `off` a word.
    A key that occurs twice in a mapping is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} occurs twice in this mapping", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


class SettingsDumper(yaml.SafeDumper):
    """The safe dumper, which quotes what `SettingsLoader` would not read as a string."""


for _yaml in (SettingsLoader, SettingsDumper):
    _yaml.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )
SettingsLoader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:bool"]
    for first, pairs in SettingsLoader.yaml_implicit_resolvers.items()
}
SettingsLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def parse_yaml(text: str, loader: type[yaml.SafeLoader] = SettingsLoader) -> Any:
    """The value of a YAML text; None where it is empty.

    Raises:
        ValueError: not YAML, a tag that is not safe, or values that are too large, nested too
            deeply, or contain themselves; the message says which in one line.
    """
    try:
        parser = loader(text)
        node = parser.get_single_node()
        if node is None:
            return None
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML ({_one_line(error)})") from None
    _check_size(node, _node_parts)
    try:
        value = parser.construct_document(node)
    except yaml.constructor.ConstructorError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ValueError(f"line {line}: refused: {' '.join(str(error.problem).split())}") from None
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError) as error:
        # PyYAML's own conversions raise the plain ones, at dates such as 2001-99-99.
        raise ValueError(f"not YAML ({_one_line(error)})") from None
    check_values(value)
    return value


def read_yaml_file(path: Path, loader: type[yaml.SafeLoader] = SettingsLoader) -> dict[str, Any]:
    """The mapping that a YAML file holds; empty where the file is.

    Raises:
        InputError: no such file, not a regular one, larger than `MAX_BYTES`, not UTF-8, or what
            `parse_yaml` refuses.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as stream:
            regular = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            content = stream.read(MAX_BYTES + 1) if regular else b""
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not regular:
        raise InputError(f"{path}: not a file of settings, but a device or a pipe")
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES} bytes, so not a file of settings")
    try:
        values = parse_yaml(text, loader)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds {type(values).__name__}, not a mapping of settings")
    return values


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for its writer


def to_yaml_text(values: Any, **options: Any) -> str:
    """Nested plain values as YAML, which `parse_yaml` reads back."""
    return yaml.dump(values, Dumper=SettingsDumper, sort_keys=False, allow_unicode=True, **options)


def check_values(values: Any) -> None:
    """See that nested Python values have a size and depth that settings may have.

    Raises:
        ValueError: as `parse_yaml` does for a text with such values.
    """
    _check_size(values, _value_parts)


def _check_size(root: Any, parts: Callable[[Any], tuple[int, list[Any]]]) -> None:
    """Add up a graph as if every part that is referred to twice was written twice.

    Each part is visited once, so that this takes no longer than to read the text.
    """
    known: dict[int, tuple[int, int]] = {}  # id → size, height
    open_parts: set[int] = set()

    def visit(item: Any, depth: int) -> tuple[int, int]:
        key = id(item)
        if key in known:
            return known[key]
        if key in open_parts:
            raise ValueError("holds a value that contains itself")
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        open_parts.add(key)
        size, children = parts(item)
        height = 0
        for child in children:
            child_size, child_height = visit(child, depth + 1)
            size, height = size + child_size, max(height, child_height + 1)
        if size > MAX_BYTES:
            raise ValueError(f"holds more than {MAX_BYTES} characters once aliases are written out")
        open_parts.remove(key)
        known[key] = size, height
        return known[key]

    if visit(root, 0)[1] > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _node_parts(node: yaml.Node) -> tuple[int, list[Any]]:
    if isinstance(node, yaml.ScalarNode):
        return 1 + len(node.value), []
    if isinstance(node, yaml.MappingNode):
        return 1, [part for pair in node.value for part in pair]
    return 1, node.value


def _value_parts(value: Any) -> tuple[int, list[Any]]:
    if isinstance(value, dict):
        return 1, [*value, *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return 1, list(value)
    if isinstance(value, (str, bytes)):
        return 1 + len(value), []
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise ValueError(f"holds a number of {value.bit_length()} bits")
    return 1, []


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
