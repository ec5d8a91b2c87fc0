"""Every fuzz target by its name."""

from __future__ import annotations

from tests.fuzz import data_targets, job_targets, model_targets, settings_targets, tool_targets
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (data_targets, model_targets, settings_targets, job_targets, tool_targets)
    for target in module.TARGETS
}
