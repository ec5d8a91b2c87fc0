"""Reading settings: YAML files, the bases they name, and `key=value` overrides.

A config file may name another in `base:` and then holds only what differs: by a path relative to
itself, or by the name of one that comes with the package, such as `af2`.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import logging
import os
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lmv3det.config.checks import nearest
from lmv3det.config.schema import Config
from lmv3det.config.yaml_text import check_values, parse_yaml, read_yaml_file, to_yaml_text
from lmv3det.errors import InputError
from lmv3det.files import is_path

log = logging.getLogger(__name__)

BUNDLED = Path(__file__).parents[1] / "configs"
"""The configs in an installed package. In a clone they are in `configs/` beside the package."""


def bundled_configs() -> Path:
    """The folder of the configs that come with the package."""
    return BUNDLED if BUNDLED.is_dir() else Path(__file__).parents[2] / "configs"


def find_config(name: str | os.PathLike, folder: Path | None = None) -> Path:
    """The file that a user means by a path or a name.

    Args:
        name: a path (it has a folder or ends in .yaml or .yml), or the bare name of a config: of
            one in `folder`, else of one that comes with the package.
        folder: what a path is relative to, and where a name is looked for first; None: the
            working directory, and its `configs/`.

    Returns:
        The path, which need not exist if it was given as one.

    Raises:
        InputError: no config has this name; the known ones are listed.
    """
    path = Path(os.path.expanduser(name))
    given = (folder or Path()) / path
    if len(path.parts) != 1 or path.suffix in (".yaml", ".yml") or os.path.isfile(given):
        return given
    folders = (Path("configs") if folder is None else folder, bundled_configs())
    for found in (place / f"{path}.yaml" for place in folders):
        if os.path.isfile(found):
            return found
    known = sorted({p.stem for place in folders for p in place.glob("*.yaml")})
    raise InputError(
        f"no config named {str(path)!r} in {folders[0].resolve()} or among those of the package"
        f"{nearest(str(path), known)}; they are {', '.join(known) or 'none'}; a path ends in .yaml"
    )


def _nested(key: str, value: Any) -> dict[str, Any]:
    """`{"a": {"b": value}}` of the dotted key `a.b`."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _suggestion(key: str, known: set[str]) -> str:
    """The known dotted keys nearest to an unknown one: those of the same last part, else the one
    whose spelling is nearest, in the same section first."""
    section, _, leaf = key.rpartition(".")
    same_leaf = sorted(k for k in known if k.rpartition(".")[2] == leaf)
    if same_leaf:
        return f" (did you mean {' or '.join(map(repr, same_leaf))}?)"
    siblings = [k for k in known if k.rpartition(".")[0] == section]
    leaves = {k.rpartition(".")[2]: k for k in sorted(known)}
    for word, candidates in (
        (leaf, {k.rpartition(".")[2]: k for k in siblings}),
        (leaf, leaves),
        (key, {k: k for k in sorted(known)}),
    ):
        near = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.65)
        if near:
            return f" (did you mean {candidates[near[0]]!r}?)"
    return ""


def walk(cls: type = Config, prefix: str = "") -> typing.Iterator[tuple[str, dataclasses.Field]]:
    """Every setting as (dotted key, dataclass field), sections left out."""
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        section = section_of(hints[item.name])
        if section is not None:
            yield from walk(section, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item


def section_of(hint: Any) -> type | None:
    """The dataclass of a section, of which there may be a list; None where a hint is no section."""
    if dataclasses.is_dataclass(hint):
        return typing.cast(type, hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next((found for part in typing.get_args(hint) if (found := section_of(part))), None)
    return None


@functools.cache
def _mappings() -> frozenset[str]:
    """The settings whose value may be a mapping: no section, whatever it holds."""
    hints = {
        key: typing.get_type_hints(cls)[name]
        for cls, prefix in _sections()
        for name in typing.get_type_hints(cls)
        for key in [prefix + name]
    }
    return frozenset(key for key, hint in hints.items() if _takes_mapping(hint))


@functools.cache
def _listed() -> frozenset[str]:
    """The sections of which there may be a list."""
    return frozenset(
        prefix + name
        for cls, prefix in _sections()
        for name, hint in typing.get_type_hints(cls).items()
        if section_of(hint) is not None and not dataclasses.is_dataclass(hint)
    )


def _takes_mapping(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(map(_takes_mapping, typing.get_args(hint)))
    return hint is dict or typing.get_origin(hint) is dict


def _sections(cls: type = Config, prefix: str = "") -> typing.Iterator[tuple[type, str]]:
    yield cls, prefix
    for name, hint in typing.get_type_hints(cls).items():
        section = section_of(hint)
        if section is not None:
            yield from _sections(section, f"{prefix}{name}.")


def flatten(values: dict[str, Any], prefix: str = "") -> typing.Iterator[tuple[str, Any]]:
    """Nested values as (dotted key, value); an empty section gives nothing."""
    for name, value in values.items():
        if isinstance(value, dict) and f"{prefix}{name}" not in _mappings():
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def from_dict(values: dict[str, Any], source: str = "config") -> Config:
    """Check nested values and build the config.

    Raises:
        InputError: an unknown key (with the nearest known one), a wrong type, or values that
            contradict each other; `source` is named in the message.
    """
    try:
        check_values(values)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from None
    keys = [key for key, _ in walk()]
    sections = {key.rsplit(".", n)[0] for key in keys for n in range(1, key.count(".") + 1)}
    _check_keys(values, "", {*keys, *sections}, sections, source)
    try:
        # By way of JSON, where strict types still take a mapping for a section.
        return TypeAdapter(Config).validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":  # half of a surrogate pair: all else is valid JSON
            raise InputError(f"{source}: a text in it is not valid Unicode") from None
        # The tags of "a section or a list of them" are no part of the key.
        parts = [part for part in first["loc"] if part not in ("one", "several")]
        where = ".".join(map(str, parts))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] != "value_error":
            message = f"{where} is {first['input']!r}: {message[0].lower()}{message[1:]}"
        raise InputError(f"{source}: {message}") from None


def _check_keys(values: Any, prefix: str, known: set[str], sections: set[str], source: str) -> None:
    if not isinstance(values, dict):
        where = prefix.rstrip(".") or "the file"
        raise InputError(f"{source}: {where} is {values!r}; it must be a mapping of settings")
    for name, value in values.items():
        key = f"{prefix}{name}"
        if key not in known:
            raise InputError(f"{source}: unknown setting {key!r}{_suggestion(key, known)}")
        if key in sections:
            several = isinstance(value, list) and key in _listed()
            for section in value if several else [value]:
                _check_keys(section, key + ".", known, sections, source)


def load_config(
    path: str | os.PathLike | None = None, overrides: typing.Sequence[str] = ()
) -> Config:
    """Read a YAML config, its bases, and `key=value` overrides (values are YAML).

    Args:
        path: the file, or the name of a config that comes with the package, such as `af2`; None
            for the defaults.
        overrides: such as `["solver.lr=1e-4", "input.min_size_train=[640, 672]"]`.

    Raises:
        InputError: a missing or unreadable file, an unknown key, a wrong type, a bad value.
    """
    if path is None:
        return with_overrides({}, overrides)
    path = find_config(path)
    return with_overrides(read_yaml(path), overrides, str(path))


def with_overrides(
    values: dict[str, Any], overrides: typing.Sequence[str], source: str = "config"
) -> Config:
    """The config of nested values with `key=value` overrides.

    Args:
        values: as `read_yaml` and `to_dict` give.
        overrides: as for `load_config`.
        source: what messages name.

    Raises:
        InputError: an unknown key, a wrong type, a bad value; the override at fault is named.
    """
    try:
        return from_dict(lay_over(values, overrides), source)
    except InputError as error:
        message = str(error)
    # An override is at fault where the message is another one without it.
    at_fault = [
        override
        for number, override in enumerate(overrides)
        if _fault(values, [*overrides[:number], *overrides[number + 1 :]], source) != message
    ]
    if at_fault:
        source = f"{source} with {' '.join(at_fault)}"
    return from_dict(lay_over(values, overrides), source)


def _fault(values: dict[str, Any], overrides: typing.Sequence[str], source: str) -> str | None:
    try:
        from_dict(lay_over(values, overrides), source)
    except InputError as error:
        return str(error)
    return None


def lay_over(values: dict[str, Any], overrides: typing.Sequence[str]) -> dict[str, Any]:
    """Nested values with `key=value` overrides (values are YAML) in them.

    Raises:
        InputError: a word that is no such override.
    """
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise InputError(f"{override!r} is not key=value, such as solver.lr=1e-4")
        try:
            value = parse_yaml(text)
        except ValueError as error:
            raise InputError(f"{override[:200]!r}: {error}") from None
        parents = key.split(".")[:-1]
        inner: Any = values
        for parent in parents:
            inner = inner.get(parent, {})
            if not isinstance(inner, dict):
                raise InputError(
                    f"{override!r}: {parent!r} is {inner!r} in the config, not a section"
                )
        values = merge(values, _nested(key, value))
    return values


def read_yaml(path: str | os.PathLike) -> dict[str, Any]:
    """The nested values of a config file (or name) merged over those of its `base:`.

    Raises:
        InputError: a file that is missing or cannot be used, or bases that lead in a circle.
    """
    values: dict[str, Any] = {}
    for _, above in reversed(list(_files(find_config(path)))):
        values = merge(values, above)
    return values


def bases(path: Path) -> list[Path]:
    """The files that a config file is built on, nearest first.

    Raises:
        InputError: as `read_yaml`.
    """
    return [below for below, _ in _files(path)][1:]


def _files(path: Path) -> typing.Iterator[tuple[Path, dict[str, Any]]]:
    """A config file and those below it, nearest first, with what each itself says."""
    seen: set[str] = set()
    while True:
        own = os.path.realpath(path)
        if own in seen:
            raise InputError(f"{path}: base: leads back to this file")
        seen.add(own)
        values = _read_file(path)
        base = values.pop("base", None)
        yield path, values
        if base is None:
            return
        if not isinstance(base, str) or not base or not is_path(base):
            raise InputError(f"{path}: base is {base!r}; it must be the path or name of a config")
        try:
            path = find_config(base, path.parent)
        except InputError as error:
            raise InputError(f"{path}: base: {error}") from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return read_yaml_file(path)
    except InputError as error:
        packed = bundled_configs() / path.name
        if os.path.exists(path) or not os.path.isfile(packed):
            raise
        raise InputError(f"{error}; {path.stem!r} alone names the package's own") from None


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Nested values of `below`, with those of `above` in their place where both have one."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def to_dict(config: Config) -> dict[str, Any]:
    """The config as nested plain values, which `from_dict` reads back."""
    return dataclasses.asdict(config)  # type: ignore[call-overload]


def to_yaml(config: Config) -> str:
    """The config as YAML text, which `load_config` reads back."""
    return to_yaml_text(to_dict(config))
