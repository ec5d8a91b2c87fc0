"""Checkpoints, tensors and folders of models made wrong."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
import yaml

from tests.fuzz.mutations import json_bytes, mutate_bytes, mutate_value, odd_value


class _Evil:
    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return os.system, ("true",)


def mutate_tensor(rng: Random, value: torch.Tensor) -> Any:
    """A tensor of another type, shape, layout or with odd values; or something else."""
    kind = rng.randrange(12)
    value = value.clone()
    if kind == 0:
        return value.to(rng.choice((torch.float16, torch.bfloat16, torch.float64, torch.int64,
                                    torch.bool, torch.complex64, torch.uint8)))  # fmt: skip
    if kind == 1:
        return value.reshape(-1)[: rng.choice((0, 1, 3))]
    if kind == 2:
        return value[None].expand(3, *value.shape)
    if kind == 3 and value.is_floating_point() and value.numel():
        value.view(-1)[rng.randrange(value.numel())] = rng.choice((torch.nan, torch.inf, 1e38))
        return value
    if kind == 4:
        return value.to_sparse() if value.dim() else value
    if kind == 5:
        return value.to("meta")
    if kind == 6:
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    if kind == 7:
        return torch.as_strided(torch.ones(1), (10**6, 10**6), (0, 0))
    if kind == 8:
        return value * rng.choice((1e30, -1e30, 0)) if value.is_floating_point() else -value
    if kind == 9:
        return odd_value(rng)
    if kind == 10:
        return torch.nn.Parameter(value.float())
    return torch.zeros(rng.choice(((0,), (1,), (2, 2), (7, 7, 7, 7))))


def mutate_content(rng: Random, content: dict[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint with wrong tensors, fields or settings."""
    content = dict(content)
    for _ in range(rng.choice((1, 1, 2))):
        key = rng.choice(list(content)) if content else "weights"
        value = content.get(key)
        kind = rng.randrange(8)
        tensors = isinstance(value, dict) and any(map(torch.is_tensor, value.values()))
        if kind == 0:
            content[key] = odd_value(rng)
        elif kind == 1:
            content.pop(key, None)
        elif kind == 2:
            content[f"{key}x"] = value
        elif tensors and value:
            content[key] = changed = dict(value)
            name = rng.choice(list(changed))
            if kind == 3:
                del changed[name]
            elif kind == 4:
                changed[rng.choice(("../x", "", "a/b", "\ud800", name + "x"))] = changed.pop(name)
            elif torch.is_tensor(changed[name]):
                changed[name] = mutate_tensor(rng, changed[name])
        elif isinstance(value, (dict, list)) and key != "training":
            content[key] = mutate_value(rng, value)
        else:
            content[key] = odd_value(rng)
    return content


def torch_bytes(rng: Random, content: Any) -> bytes:
    """A torch file of some content; sometimes in the old format, cut off, or with code in it."""
    stream = io.BytesIO()
    kind = rng.randrange(20)
    if kind == 0:
        return pickle.dumps({"weights": _Evil()}, protocol=rng.choice((0, 2, 4)))
    if kind == 1 and isinstance(content, dict):
        content = {**content, "extra": _Evil()}
    torch.save(content, stream, _use_new_zipfile_serialization=kind != 2)
    data = stream.getvalue()
    if kind in (3, 4):
        return mutate_bytes(rng, data)
    if kind == 5:
        return data[: rng.randrange(len(data))]
    if kind in (6, 7) and data[:2] == b"PK":
        return _mutate_pickle(rng, data)
    return data


def _mutate_pickle(rng: Random, data: bytes) -> bytes:
    """A torch file whose zip archive is whole and whose pickle is not."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            body = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                body = mutate_bytes(rng, body, 3)
            new.writestr(entry.filename, body)
    return stream.getvalue()


def mutate_state(rng: Random, value: Any) -> Any:
    """Nested values with tensors in them, one of which is changed."""
    if isinstance(value, torch.Tensor):
        return mutate_tensor(rng, value)
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        return {**value, key: mutate_state(rng, value[key])}
    if isinstance(value, (list, tuple)) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], mutate_state(rng, value[place]), *value[place + 1 :]]
    return odd_value(rng)


def mutate_file(rng: Random, path: Path) -> None:

    data = path.read_bytes()
    kind = rng.randrange(8)
    if kind == 0:
        path.unlink()
    elif path.suffix == ".safetensors":
        path.write_bytes(_mutate_safetensors(rng, data))
    elif path.suffix == ".json" and kind < 6:
        path.write_bytes(json_bytes(rng, json.loads(data)))
    elif path.suffix == ".yaml" and kind < 6:
        values = mutate_value(rng, yaml.safe_load(data))
        try:
            path.write_text(yaml.safe_dump(values), encoding="utf-8", errors="replace")
        except RecursionError:  # the writer's, not the reader's
            path.write_bytes(mutate_bytes(rng, data))
    else:
        path.write_bytes(mutate_bytes(rng, data))


def _mutate_safetensors(rng: Random, data: bytes) -> bytes:
    """A safetensors file with a wrong header, or wrong bytes."""

    size = int.from_bytes(data[:8], "little")
    if rng.random() < 0.3:
        return mutate_bytes(rng, data)
    header = data[8 : 8 + size]
    if rng.random() < 0.8:
        header = json_bytes(rng, json.loads(header))
    else:
        header = mutate_bytes(rng, header)
    length = len(header) if rng.random() < 0.9 else rng.choice((0, 2**63, 2**31, len(data)))
    return length.to_bytes(8, "little") + header + data[8 + size :]
