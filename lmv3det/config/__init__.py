"""Settings: their dataclasses, reading and writing them, detectron2's yaml.

Imports `errors` and `files` alone.
"""

from lmv3det.config.reading import (
    bases,
    bundled_configs,
    find_config,
    flatten,
    from_dict,
    lay_over,
    load_config,
    merge,
    read_yaml,
    to_dict,
    to_yaml,
    walk,
    with_overrides,
)
from lmv3det.config.schema import (
    BackboneConfig,
    Config,
    SolverConfig,
    SplitConfig,
    TrainSplitConfig,
)

__all__ = [
    "BackboneConfig",
    "Config",
    "SolverConfig",
    "SplitConfig",
    "TrainSplitConfig",
    "bases",
    "bundled_configs",
    "find_config",
    "flatten",
    "from_dict",
    "lay_over",
    "load_config",
    "merge",
    "read_yaml",
    "to_dict",
    "to_yaml",
    "walk",
    "with_overrides",
]
