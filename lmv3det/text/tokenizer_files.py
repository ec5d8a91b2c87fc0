"""The files of a trained tokenizer: read by the package tokenizers alone, without transformers, and
written so that every version of transformers reads them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lmv3det.errors import InputError
from lmv3det.text.tokenizer_limits import check_limits

SETTINGS = "tokenizer_config.json"
"""The file that names the special tokens; `tokenizer.json` has all the rest."""
_ONLY_5 = ("backend", "is_local", "local_files_only")
"""What transformers 5 notes about the place that it read a tokenizer from."""

HUB = "hub:"
"""What a name on the Hugging Face hub begins with; nothing else is looked for there."""
TRAIN = "train one with `lmv3det train-tokenizer OCR_DIR --out DIR`"
"""What makes a tokenizer, as messages say it."""


@dataclass
class FileTokenizer:
    """A tokenizer as its files say, with the names of transformers' fast tokenizers.

    Attributes:
        backend_tokenizer: of `tokenizer.json`.
        pad_token_id: of the settings' `pad_token`.
        unk_token_id: of the settings' `unk_token`; None where it is null.
    """

    backend_tokenizer: Tokenizer
    pad_token_id: int
    unk_token_id: int | None

    def get_vocab(self) -> dict[str, int]:
        """Token → id, special tokens included."""
        return self.backend_tokenizer.get_vocab(with_added_tokens=True)


def read_tokenizer_files(folder: Path) -> FileTokenizer | None:
    """The tokenizer of a folder that a fast tokenizer of transformers was saved to.

    Such a `tokenizer.json` holds all that was set, so that nothing of transformers is needed.

    Returns:
        None where the files do not say all: there is no `tokenizer.json`, or the settings do not
        name the special tokens.

    Raises:
        Exception: damaged files (tokenizers has no class of its own for them).
    """
    file, settings = folder / "tokenizer.json", folder / SETTINGS
    if not (file.is_file() and settings.is_file()):
        return None
    tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    values = json.loads(settings.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"{SETTINGS} is no mapping")
    if "pad_token" not in values or "unk_token" not in values:
        return None
    pad, unknown = (_id(tokenizer, values[key]) for key in ("pad_token", "unk_token"))
    return None if pad is None else FileTokenizer(tokenizer, pad, unknown)


def _id(tokenizer: Tokenizer, token: Any) -> int | None:
    content = token.get("content") if isinstance(token, dict) else token
    return tokenizer.token_to_id(content) if isinstance(content, str) else None


def hub_answers(seconds: float = 5.0) -> bool:
    """Whether the Hugging Face hub can be reached. Without a network its client tries again and
    again for more than a minute, with a warning each time; behind a proxy it is left to try."""
    if any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    from huggingface_hub import constants

    parts = urllib.parse.urlsplit(constants.ENDPOINT)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), seconds).close()
    except OSError:
        return False
    return True


def load_tokenizer(name: str, shown: str, of_checkpoint: bool = False) -> Any:
    """The tokenizer of a folder, or of `hub:owner/name`.

    Files of a checkpoint were written by `save_pretrained`, and are read without transformers where
    they say all.

    Args:
        name: the folder, or `hub:` and the name.
        shown: what messages call it.
        of_checkpoint: the folder has the files of a checkpoint.

    Raises:
        InputError: no such folder, no tokenizer, or a package that it needs is missing.
    """
    folder = Path(name).expanduser()
    on_hub = name.startswith(HUB)
    if not on_hub and not folder.exists():
        raise InputError(
            f"text.tokenizer: {shown}: no such folder; give the folder of a tokenizer "
            f"(tokenizer.json, tokenizer_config.json), {HUB}OWNER/NAME for one on the Hugging Face "
            f"hub, or {TRAIN}"
        )
    if not on_hub and not folder.is_dir():
        raise InputError(f"text.tokenizer: {shown} is a file; give the folder that holds it")

    where = name.removeprefix(HUB) if on_hub else str(folder)
    with faults_of(shown, fix="is the network there?" if on_hub else ""):
        if not on_hub:
            check_limits(folder / "tokenizer.json")
        if of_checkpoint and (read := read_tokenizer_files(folder)) is not None:
            return read
        try:
            from transformers import AutoTokenizer
        except ImportError:
            raise InputError(
                f"text.tokenizer: {shown} is read by the package transformers, which is not "
                "installed: `pip install transformers`"
            ) from None

        return AutoTokenizer.from_pretrained(
            where, local_files_only=not (on_hub and hub_answers()), trust_remote_code=False
        )


@contextlib.contextmanager
def faults_of(shown: str, *kept: type[Exception], fix: str = "") -> Iterator[None]:
    """What the libraries raise on a damaged tokenizer, which is almost anything, becomes an
    `InputError`; `kept` errors are others' fault."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, (InputError, *kept)):
            raise
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # but not a panic of the tokenizers library
        reason = " ".join(str(error).split())[:200]
        fix = fix or f"give a tokenizer's folder, or {TRAIN}"
        raise InputError(f"text.tokenizer: {shown} is no tokenizer ({reason}); {fix}") from None


def portable_settings(text: str) -> str:
    """A `tokenizer_config.json` that transformers 4 reads too: version 5 may write a class of its
    own, a list where version 4 has a mapping, and where it found the files."""
    try:
        values = json.loads(text)
    except ValueError:
        return text  # damaged, as reading the tokenizer tells
    if not isinstance(values, dict):
        return text
    for key in _ONLY_5:
        values.pop(key, None)
    if values.get("tokenizer_class") == "TokenizersBackend":
        values["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(values.get("extra_special_tokens"), list):
        values["additional_special_tokens"] = values.pop("extra_special_tokens")
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def portable_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Tokenizer files by name, with `portable_settings`."""
    changed = dict(files)
    if SETTINGS in changed:
        text = changed[SETTINGS].decode("utf-8", errors="surrogateescape")
        changed[SETTINGS] = portable_settings(text).encode("utf-8", errors="surrogateescape")
    return changed
