"""The systems of an ablation: from a name, a size and overrides to a config."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmv3det.config import (
    Config,
    find_config,
    flatten,
    merge,
    read_yaml,
    to_dict,
    with_overrides,
)
from lmv3det.errors import InputError

SYSTEMS = (
    "image_only",
    "two_column",
    "we_f3",
    "we_all",
    "we_f3_no_unk",
    "af1",
    "vsr",
    "af2",
    "se_af2",
    "af2_rm",
    "af2_rm_fpn768",
    "concat",
    "roi_text",
)
"""The rows of the table, in its order."""

REFERENCE = "image_only"
"""The row that the others are compared with."""

SIZES = {"tiny": "ablation_tiny"}
"""Size → the config whose numbers every system takes."""

_OF_THE_SYSTEM = {
    "text": (
        "selection",
        "first_k",
        "drop_unk",
        "drop_word_start",
        "reading_order",
        "tokenizer",
        "sentence_encoder",
    ),
    "fusion": ("kind", "reduce", "gate_relu", "only_where_text"),
    "relation": ("enabled",),
}
"""What makes a system: a size leaves it alone."""
_OF_THE_RUN = ("output_dir", "seed", "device", "data")
_PROPORTIONAL = (("neck", "out_channels", 256), ("relation", "dim", 256))
"""Widths in which systems differ: (section, key, the usual one). A size replaces the usual one,
and a system keeps its ratio to it."""

_OVERRIDE = re.compile(r":(?=[a-z_][a-z0-9_]*(?:\.[a-z_0-9]+)*=)")


@dataclass(frozen=True)
class System:
    """A row of the table.

    Attributes:
        name: as the table shows it: `af2`, or `af2+fusion.only_where_text=true`.
        path: its config.
        overrides: its own `key=value` settings.
    """

    name: str
    path: Path
    overrides: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The name as part of a folder's name."""
        return re.sub(r"[^\w.=+,-]", "_", self.name)


def read_systems(words: Sequence[str], option: str = "--configs") -> list[System]:
    """The systems that `--configs` asks for.

    Args:
        words: names of configs (`af2`) or paths (`my/own.yaml`), each maybe with settings behind
            it: `af2:fusion.only_where_text=true`.
        option: what messages name.

    Raises:
        InputError: no such config, or two of one name.
    """
    systems: dict[str, System] = {}
    for word in words:
        name, *overrides = _OVERRIDE.split(word)
        path = config_path(name, option)
        system = System("+".join([path.stem, *overrides]), path, tuple(overrides))
        for other in systems.values():
            if other.folder == system.folder:
                raise InputError(
                    f"{option}: {word!r} would share the name {system.name!r} with "
                    f"{other.path}; name each system once, and files differently"
                )
        systems[system.name] = system
    return list(systems.values())


def config_path(name: str, option: str = "--configs") -> Path:
    """The config that a name or path means, see `lmv3det.config.find_config`.

    Raises:
        InputError: there is none; the message names the option.
    """
    try:
        path = find_config(name)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None
    if not path.is_file():
        raise InputError(f"{option}: {path}: no such config file")
    return path


def system_config(system: System, size: str, overrides: Sequence[str] = ()) -> Config:
    """The config of a system at a size.

    Args:
        system: its own settings win over the size's.
        size: `base` (as the config says), `tiny`, or the path of a config whose numbers replace
            the system's; what makes a system and where its data are stay the system's.
        overrides: `key=value` settings for all systems, which win over everything.

    Raises:
        InputError: a file that is missing or faulty, a setting that is wrong.
    """
    values = read_yaml(system.path)
    if size != "base":
        values = resize(values, read_yaml(config_path(SIZES.get(size, size), "--size")))
    source = f"{system.path} ({system.name})"
    return with_overrides(values, [*system.overrides, *overrides], source)


def resize(values: dict[str, Any], size: dict[str, Any]) -> dict[str, Any]:
    """A system's nested values, with those of a size in their place."""
    size = {key: value for key, value in size.items() if key not in _OF_THE_RUN}
    for section, keys in _OF_THE_SYSTEM.items():
        if section in size:
            size[section] = {k: v for k, v in size[section].items() if k not in keys}
    for section, key, usual in _PROPORTIONAL:
        own = values.get(section, {}).get(key, usual)
        if key in size.get(section, {}):
            size[section] = {**size[section], key: size[section][key] * own // usual}
    return merge(values, size)


def settings(config: Config) -> dict[str, Any]:
    """The settings that a result depends on, by dotted key; paths and logging left out."""
    return {
        key: value
        for key, value in flatten(to_dict(config))
        if key not in _WITHOUT_EFFECT
        and key != "data.train"
        and not key.startswith(("data.train.", "data.val."))
    }


_WITHOUT_EFFECT = {
    "output_dir",
    "device",
    "data.workers",
    "model.weights",
    "model.num_classes",
    "text.tokenizer",
    "backbone.gradient_checkpointing",
    "solver.log_every",
    "solver.evaluate_every",
    "solver.checkpoint_every",
    "solver.keep_last",
    "test.batch_size",
}
