"""Every fuzz target by its name."""

from __future__ import annotations

from tests.fuzz import (
    attack_targets,
    data_targets,
    job_targets,
    model_targets,
    settings_targets,
    tool_targets,
)
from tests.fuzz.target import Target

MODULES = (data_targets, model_targets, settings_targets, job_targets, tool_targets, attack_targets)
TARGETS: dict[str, Target] = {
    target.name: target for module in MODULES for target in module.TARGETS
}
