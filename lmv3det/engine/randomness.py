"""The random generators of a process: seeding, saving, restoring."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed `random`, numpy and torch on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of this process's random generators, as tensors, numbers and lists."""
    version, words, gauss = random.getstate()
    of_numpy: dict[str, Any] = np.random.get_state(legacy=False)  # type: ignore[assignment]
    inner = of_numpy["state"]
    state = {
        "python": [version, list(words), gauss],
        "numpy": {
            "name": of_numpy["bit_generator"],
            "key": torch.from_numpy(inner["key"].astype(np.int64)),
            "position": int(inner["pos"]),
            "gauss": [int(of_numpy["has_gauss"]), float(of_numpy["gauss"])],
        },
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["device"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Take over what `random_state` gave; a state from another kind of device leaves that
    device's generator as it is."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    saved = state["numpy"]
    key = saved["key"].numpy().astype(np.uint32)
    np.random.set_state((saved["name"], key, saved["position"], *saved["gauss"]))
    torch.set_rng_state(state["torch"])
    if "device" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
    elif "device" in state and device.type == "mps":
        torch.mps.set_rng_state(state["device"])


@contextmanager
def same_randomness(device: torch.device) -> Iterator[None]:
    """Whatever is drawn within leaves the random generators as they were."""
    state = random_state(device)
    try:
        yield
    finally:
        restore_random_state(state, device)
