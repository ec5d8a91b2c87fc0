"""Reading settings: YAML files, the bases they name, and `key=value` overrides.

A config file may name another in `base:` (relative to itself) and then holds only what differs.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import logging
import os
import re
import typing
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from lmv3det.config.schema import Config
from lmv3det.errors import InputError

log = logging.getLogger(__name__)

RENAMED = {
    "backbone.taps": "backbone.out_indices",
    "backbone.checkpoint": "backbone.gradient_checkpointing",
    "roi.ious": "roi.iou_thresholds",
    "fusion.keep_uncovered": "fusion.only_where_text",
    "solver.accumulate": "solver.grad_accum_steps",
    "solver.clip_norm": "solver.max_grad_norm",
    "solver.ema": "solver.ema_decay",
    "solver.amp": "precision",
}
"""Old dotted key → the key it has now. Configs and checkpoints with old keys are still read."""

_RENAMED_VALUES: dict[str, dict[Any, Any]] = {"solver.amp": {"off": "fp32"}}
"""Old dotted key → its values that are called otherwise now."""


def with_new_names(values: dict[str, Any], source: str) -> dict[str, Any]:
    """Nested values with old keys replaced by their new ones, and a notice for each.

    Raises:
        InputError: a setting stands under both of its names.
    """
    for old, new in RENAMED.items():
        section, _, name = old.partition(".")
        inner = values.get(section)
        if not isinstance(inner, dict) or name not in inner:
            continue
        new_section, _, new_name = new.rpartition(".")
        there = values.get(new_section, {}) if new_section else values
        if new_name in there:
            raise InputError(f"{source}: {old} is the old name of {new}, and both are set: drop it")
        log.info("%s: %s is called %s now", source, old, new)
        if new_section == section:
            renamed = {new_name if key == name else key: value for key, value in inner.items()}
            values = {**values, section: renamed}
        else:
            rest = {key: value for key, value in inner.items() if key != name}
            values = merge({**values, section: rest}, _nested(new, _new_value(old, inner[name])))
    return values


def _new_value(old: str, value: Any) -> Any:
    renamed = _RENAMED_VALUES.get(old, {})
    return renamed.get(value, value) if isinstance(value, str) else value


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


class _Loader(yaml.SafeLoader):
    """The safe loader, with YAML 1.2's numbers and booleans: `2e-4` is a number, `off` a word.
    A key that stands twice in a mapping is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands twice in this mapping", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """The safe dumper, which quotes what `_Loader` would not read as a string."""


for _yaml in (_Loader, _Dumper):
    _yaml.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:bool"]
    for first, pairs in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def walk(cls: type = Config, prefix: str = "") -> typing.Iterator[tuple[str, dataclasses.Field]]:
    """Every setting as (dotted key, dataclass field), sections left out."""
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        section = hints[item.name]
        if dataclasses.is_dataclass(section):
            yield from walk(typing.cast(type, section), f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item


def from_dict(values: dict[str, Any], source: str = "config") -> Config:
    """Check nested values and build the config.

    Raises:
        InputError: an unknown key (with the nearest known one), a wrong type, or values that
            contradict each other; `source` is named in the message.
    """
    if isinstance(values, dict):
        values = with_new_names(values, source)
    keys = [key for key, _ in walk()]
    sections = {key.rsplit(".", n)[0] for key in keys for n in range(1, key.count(".") + 1)}
    _check_keys(values, "", {*keys, *sections}, sections, source)
    try:
        # By way of JSON, where strict types still let a mapping stand for a section.
        return TypeAdapter(Config).validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
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
            _check_keys(value, key + ".", known, sections, source)


def load_config(
    path: str | os.PathLike | None = None, overrides: typing.Sequence[str] = ()
) -> Config:
    """Read a YAML config, its bases, and `key=value` overrides (values are YAML).

    Args:
        path: the file, or None for the defaults.
        overrides: such as `["solver.lr=1e-4", "input.min_size_train=[640, 672]"]`.

    Raises:
        InputError: a missing or unreadable file, an unknown key, a wrong type, a bad value.
    """
    values = read_yaml(Path(path)) if path is not None else {}
    return with_overrides(values, overrides, str(path) if path is not None else "config")


def with_overrides(
    values: dict[str, Any], overrides: typing.Sequence[str], source: str = "config"
) -> Config:
    """The config of nested values with `key=value` overrides laid over them.

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
    """Nested values with `key=value` overrides (values are YAML) laid over them.

    Raises:
        InputError: a word that is no such override.
    """
    values = with_new_names(values, "config")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise InputError(f"{override!r} is not key=value, such as solver.lr=1e-4")
        try:
            value = yaml.load(text, Loader=_Loader)
        except yaml.YAMLError as error:
            raise InputError(
                f"{override!r}: the value is not YAML ({_first_line(error)})"
            ) from None
        if key in RENAMED:
            log.info("%s: %s is called %s now", override, key, RENAMED[key])
            key, value = RENAMED[key], _new_value(key, value)
        parents = key.split(".")[:-1]
        inner: Any = values
        for parent in parents:
            inner = inner.get(parent, {})
            if not isinstance(inner, dict):
                raise InputError(f"{override!r}: {parent!r} is {inner!r} below, not a section")
        values = merge(values, _nested(key, value))
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """The nested values of a YAML file laid over those of its `base:`."""
    values: dict[str, Any] = {}
    for _, above in reversed(list(_files(path))):
        values = merge(values, above)
    return values


def bases(path: Path) -> list[Path]:
    """The files that a config file is laid over, nearest first.

    Raises:
        InputError: as `read_yaml`.
    """
    return [below for below, _ in _files(path)][1:]


def _files(path: Path) -> typing.Iterator[tuple[Path, dict[str, Any]]]:
    """A config file and those below it, nearest first, with what each itself says."""
    seen: set[Path] = set()
    while True:
        if path.resolve() in seen:
            raise InputError(f"{path}: base: leads back to this file")
        seen.add(path.resolve())
        values = _read_file(path)
        base = values.pop("base", None)
        yield path, values
        if base is None:
            return
        path = path.parent / str(base)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader) or {}
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML ({_first_line(error)})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds {type(values).__name__}, not a mapping of settings")
    return with_new_names(values, str(path))


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Nested values of `above` laid over `below`."""
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
    return yaml.dump(to_dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
