"""Parts that a setting names: a built-in one by its name, or a class of the user's own.

A class is written `module:Class` and must be importable (`PYTHONPATH`). What `options` (of a
section's `kind`) or `head_options` (of `head`, say) holds is handed to its constructor as keyword
arguments.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection, Mapping
from typing import Any

from lmv3det.config.checks import nearest
from lmv3det.errors import InputError

CODE_SETTINGS = (
    "backbone.kind",
    "rpn.kind",
    "roi.head",
    "roi.predictor",
    "fusion.kind",
    "text.sentence_encoder",
)
"""The settings that may name a class (`module:Class`), which building the model imports. Whatever
decides if a config is trusted reads this list, and `find_part` takes no other setting."""


def code_in(values: Mapping[str, Any]) -> dict[str, str]:
    """The settings that name a class, by key, and the class.

    Args:
        values: nested values as `read_yaml` and `to_dict` give, or a part of them.
    """
    found = {}
    for key in CODE_SETTINGS:
        inner: Any = values
        for part in key.split("."):
            inner = inner.get(part) if isinstance(inner, Mapping) else None
        if isinstance(inner, str) and ":" in inner:
            found[key] = inner
    return found


def find_part(name: str, key: str, base: type, built_in: Mapping[str, type] | None = None) -> type:
    """The class that a setting names.

    Args:
        name: a built-in name or `module:Class`.
        key: the setting, one of `CODE_SETTINGS`; messages name it.
        base: what the class must derive from.
        built_in: classes by built-in name.

    Raises:
        InputError: no such name; the class cannot be imported, or does not derive from `base`.
    """
    if key not in CODE_SETTINGS:
        raise ValueError(f"{key} is not in CODE_SETTINGS, which says what is trusted: add it there")
    if built_in and name in built_in:
        return built_in[name]
    module_name, _, class_name = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # the module is someone's own code and may raise anything
        names = f"; the built-in ones are {', '.join(built_in)}" if built_in else ""
        raise InputError(
            f"{key} is {name!r}, which cannot be imported ({type(error).__name__}: {error}); write "
            f"module:Class and run where the module can be found (PYTHONPATH){names}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{key} is {name!r}, which does not derive from {base.__name__}")
    return found


def build_part(
    name: str,
    key: str,
    base: type,
    *args: Any,
    options: Mapping[str, Any] | None = None,
    built_in: Mapping[str, type] | None = None,
    **given: Any,
) -> Any:
    """The part that a setting names, built.

    Args:
        name, key, base, built_in: as for `find_part`.
        args, given: what every part of its kind gets, in order and by keyword.
        options: those of the section; each must be a further parameter of the class's constructor,
            or the constructor takes `**kwargs`.

    Raises:
        InputError: as `find_part`; an option that the class does not take, with those that it
            takes; an error of its constructor.
    """
    kind = find_part(name, key, base, built_in)
    options = options or {}
    section, _, name_of_part = key.rpartition(".")
    holder = f"{section}.options" if name_of_part == "kind" else f"{key}_options"
    check_options(kind, options, holder, len(args), given)
    arguments = {**given, **options}
    try:
        return kind(*args, **arguments)
    except InputError:
        raise
    except Exception as error:  # someone's own code
        shown = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in arguments.items())])
        raise InputError(
            f"{key} is {name!r}, which cannot be built by {kind.__name__}({shown}) "
            f"({type(error).__name__}: {error})"
        ) from error


def check_options(
    kind: type,
    options: Mapping[str, Any],
    key: str,
    filled: int = 0,
    given: Collection[str] = (),
) -> None:
    """Check that a class's constructor takes options by name.

    Args:
        kind: the class.
        options: by name.
        key: the setting that holds them, for the message.
        filled: how many of its first parameters are given anyway, in order.
        given: parameters that are given by keyword anyway.

    Raises:
        InputError: it takes one of them not; the message names those that it takes.
    """
    parameters = list(inspect.signature(kind).parameters.values())
    in_order = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    taken = {*[p.name for p in parameters if p.kind in in_order][:filled], *given}
    for name in options:
        if name in taken:
            raise InputError(f"{key} has {name!r}, which a setting of its own gives; leave it out")
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return
    named = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_POSITIONAL]
    free = [name for name in named if name not in taken]
    unknown = [name for name in options if name not in free]
    if unknown:
        takes = f"its options are {', '.join(free)}" if free else "it has no options"
        raise InputError(
            f"{key} has {unknown[0]!r}, which {kind.__name__} does not take"
            f"{nearest(unknown[0], free)}; {takes}"
        )
