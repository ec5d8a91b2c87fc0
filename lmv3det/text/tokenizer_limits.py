"""What a tokenizer's file may make of a text: some steps write text of their own, and a small file
could make gigabytes of a word."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LONGEST = 256
"""Characters of a text of its own, such as the prefix of word pieces."""
_GROWTH = 2000
"""By this factor all steps together may lengthen a text. SentencePiece's table makes 18 characters
of one, Unicode's own forms too."""
_STEPS = 64
_UNICODE = 18
"""Characters that NFKC and NFKD make of one, at most (U+FDFA)."""


def check_limits(file: Path) -> None:
    """Check what the steps of a `tokenizer.json` write.

    Raises:
        ValueError: it could make gigabytes of a line.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return  # as reading it tells
    if not isinstance(content, dict):
        return
    growth, count = 1.0, 0
    for kind in ("normalizer", "pre_tokenizer"):
        for step in _steps(content.get(kind)):
            count += 1
            growth *= _growth(step)
            if count > _STEPS:
                raise ValueError(f"it has more than {_STEPS} steps")
            if growth > _GROWTH:
                raise ValueError(
                    f"its {kind} makes a text more than {_GROWTH} times as long ({step['type']})"
                )
    model = content.get("model")
    for key, value in model.items() if isinstance(model, dict) else ():
        if isinstance(value, str) and len(value) > _LONGEST:
            raise ValueError(f"its {key} has {len(value):,} characters")


def _steps(step: Any) -> Iterator[dict[str, Any]]:
    """The steps of a sequence, with those of the sequences in it."""
    waiting = [step]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, dict):
            continue
        if one.get("type") == "Sequence":
            for key in ("normalizers", "pretokenizers"):
                waiting += one[key] if isinstance(one.get(key), list) else []
        else:
            yield {"type": "", **one}


def _growth(step: dict[str, Any]) -> float:
    """By what factor a step can lengthen a text of one character."""
    kind = step["type"]
    if kind == "Precompiled":
        return _longest_of_table(step.get("precompiled_charsmap"))
    if kind in ("NFKC", "NFKD"):
        return _UNICODE
    if kind in ("ByteLevel", "NFD", "Lowercase"):
        return 4
    texts = [step.get(key) for key in ("content", "prepend", "replacement")]
    written = [len(text) for text in texts if isinstance(text, str)]
    return max(1, *written) + (kind == "Prepend") if written else 1


def _longest_of_table(table: Any) -> float:
    """Bytes of the longest text in a table of SentencePiece, which has the length of a trie, the
    trie, and the texts, a NUL behind each."""
    try:
        data = base64.b64decode(table)
        (length,) = struct.unpack_from("<I", data)
    except (TypeError, ValueError, binascii.Error, struct.error):
        return 1  # as reading it tells
    texts = data[4 + length :].split(b"\0")
    return max(1, max(map(len, texts)))
