"""From OCR lines to the tokens of a page.

Shapes: L lines, T tokens, K word pieces of a line. Boxes are x0 y0 x1 y1.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lmv3det.errors import InputError
from lmv3det.files import is_unicode
from lmv3det.structures import as_array
from lmv3det.text.reading_order import ReadingOrder, reading_order, text_direction
from lmv3det.text.tokenizer_files import TRAIN, faults_of, load_tokenizer, portable_files

if TYPE_CHECKING:
    import torch

    from lmv3det.config import Config

log = logging.getLogger(__name__)

Selection = Literal["first", "all", "sentence"]
WORD_STARTS = ("▁", "Ġ")
"""The bare word-start piece of SentencePiece and of byte-level BPE."""
_MAX_ID = 10_000_000
"""Of a token: to save a vocabulary, the library counts from 0 to the largest id."""


@dataclass
class Tokens:
    """The tokens of a page, in reading order.

    Attributes:
        ids: T int64 token ids; T×K, padded with the pad id, where a token is a whole line.
        boxes: T×4 int64, each token's line on the page's 0..1000 grid.
    """

    ids: np.ndarray
    boxes: np.ndarray


def normalize_boxes(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Boxes on the page's 0..1000 grid, corners in order, cut at the page's edge.

    Args:
        boxes: L×4 pixels.
        image_size: (height, width) of the page in the same pixels.

    Returns:
        L×4 int64 in 0..1000, rounded down.
    """
    height, width = image_size
    boxes = _ordered(boxes)
    scaled = np.floor(boxes * 1000 / np.array([width, height, width, height], dtype=np.float64))
    return np.clip(scaled, 0, 1000).astype(np.int64)


def _ordered(boxes: np.ndarray) -> np.ndarray:
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    first, second = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)


class PageTokenizer:
    """Turns the OCR lines of a page into token ids and boxes.

    Every kept token takes the box of its line; no special tokens are added. Each line is
    tokenised as the start of a word (byte-level BPE gets a leading space), as LayoutLMv3's own
    tokenizer does. The tokenizer is loaded when first needed, once in each process; a tokenizer
    can be pickled to worker processes.

    Args:
        tokenizer: folder that `AutoTokenizer` loads, or `hub:owner/name` from the Hugging Face hub.
        selection: `first` keeps the first k tokens of a line (WE-F k), `all` keeps all (WE-All),
            `sentence` makes one token a line that holds all its word pieces (SE).
        first_k: k of `first`.
        max_tokens: most tokens a page. Whole lines are kept in reading order, up to the first
            that does not fit; a first line that is too long by itself is cut.
        max_line_tokens: word pieces of a line in its `sentence` token at most, the first ones.
        drop_unk: leave out unknown tokens (before the first k are taken).
        drop_word_start: leave out a bare word-start piece at the start of a line when other
            tokens follow (likewise); `after`: after the first k are taken, as the notes do.
        reading_order: order of the lines, see `lmv3det.text.reading_order`.
        unknown_words: a line that has no tokens becomes one unknown token, rather than be left
            out.
    """

    def __init__(
        self,
        tokenizer: str | os.PathLike,
        *,
        selection: Selection = "first",
        first_k: int = 3,
        max_tokens: int = 300,
        max_line_tokens: int = 128,
        drop_unk: bool = False,
        drop_word_start: bool | Literal["after"] = False,
        reading_order: ReadingOrder = "auto",
        unknown_words: bool = False,
    ) -> None:
        if selection not in ("first", "all", "sentence"):
            raise ValueError(f"selection is {selection!r}; it must be first, all or sentence")
        self.tokenizer = os.fspath(tokenizer)
        self.selection = selection
        self.first_k = first_k
        self.max_tokens = max_tokens
        self.max_line_tokens = max_line_tokens
        self.drop_unk = drop_unk
        self.drop_word_start = drop_word_start
        self.reading_order = reading_order
        self.unknown_words = unknown_words
        self._files: dict[str, bytes] | None = None
        self._loaded: _Tokenizer | None = None
        self._warned = False

    @classmethod
    def from_files(
        cls, files: Mapping[str, torch.Tensor | np.ndarray], **options: Any
    ) -> PageTokenizer:
        """A tokenizer from the tokenizer files of a checkpoint (uint8), see `files`.

        Raises:
            InputError: names or contents that are no tokenizer's.
        """
        page_tokenizer = cls("the checkpoint's tokenizer", **options)
        page_tokenizer._files = {}
        for name, content in files.items():
            plain = isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][\w.-]*", name)
            known = isinstance(content, np.ndarray) or hasattr(content, "detach")
            values = as_array(content) if plain and known else None
            if values is None or values.dtype != np.uint8:
                raise InputError(
                    f"checkpoint: tokenizer file {name!r} is not a plain file name with bytes; "
                    "the checkpoint is damaged or not ours"
                )
            page_tokenizer._files[name] = values.tobytes()
        return page_tokenizer

    def files(self) -> dict[str, torch.Tensor]:
        """The tokenizer's files by name, uint8: what a checkpoint keeps, and `from_files` reads."""
        import torch

        return {
            name: torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy())
            for name, content in self._contents().items()
        }

    def save(self, folder: str | os.PathLike) -> None:
        """Write the tokenizer into a folder that `AutoTokenizer` loads."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, content in self._contents().items():
            (Path(folder) / name).write_bytes(content)

    def _contents(self) -> dict[str, bytes]:
        """The files by name, as every version of transformers reads them."""
        if self._files is not None:
            return portable_files(self._files)
        with tempfile.TemporaryDirectory() as folder:
            with faults_of(self.tokenizer, OSError):
                self._get().tokenizer.save_pretrained(folder)
            paths = sorted(path for path in Path(folder).iterdir() if path.is_file())
            return portable_files({path.name: path.read_bytes() for path in paths})

    @property
    def pad_token_id(self) -> int:
        """Id that fills up shorter sequences."""
        return self._get().pad_token_id

    @property
    def unk_token_id(self) -> int | None:
        """Id of what the tokenizer does not know; None where it has none."""
        return self._get().unk_token_id

    @property
    def vocab_size(self) -> int:
        """Rows that a word table needs: the largest id + 1."""
        return self._get().vocab_size

    def __call__(
        self, lines: list[str], line_boxes: np.ndarray, image_size: tuple[int, int]
    ) -> Tokens:
        """Tokens of a page.

        Args:
            lines: the L strings of the lines.
            line_boxes: L×4 boxes of the lines, pixels of the (transformed) image.
            image_size: (height, width) of that image.

        Returns:
            T tokens; T is 0 on a page without text.

        Raises:
            ValueError: numbers of strings and boxes differ.
        """
        boxes = _ordered(line_boxes)
        if len(lines) != len(boxes):
            raise ValueError(f"{len(lines)} strings, but {len(boxes)} boxes of lines")
        direction = text_direction(lines, boxes)
        order = reading_order(boxes, image_size[1], self.reading_order, direction)
        encoded = self._tokenize([lines[i] for i in order]) if lines else []
        ids_of = [self._select(line) for line in encoded]
        counts = np.array([len(line) for line in ids_of], dtype=np.int64)
        if self.selection == "sentence":
            counts = np.minimum(counts, 1)
        kept = self._fit(counts)
        grid = np.repeat(normalize_boxes(boxes[order], image_size), kept, axis=0)
        if self.selection == "sentence":
            return Tokens(self._pad([ids_of[i] for i in np.flatnonzero(kept)]), grid)
        pairs = zip(ids_of, kept.tolist(), strict=True)
        ids = [token for line, count in pairs for token in line[:count]]
        return Tokens(np.array(ids, dtype=np.int64), grid)

    def _tokenize(self, lines: list[str]) -> list[list[int]]:
        return self._get().encode(lines)

    def _select(self, line: list[int]) -> list[int]:
        loaded = self._get()
        if self.drop_unk:
            line = [token for token in line if token != loaded.unk_token_id]
        limits = {"first": self.first_k, "sentence": self.max_line_tokens}
        first, end = 0, limits.get(self.selection)
        if self.drop_word_start and len(line) > 1 and line[0] in loaded.word_starts:
            first = 1
            if end is not None and self.drop_word_start != "after":
                end += 1
        if self.unknown_words and not line:
            return [loaded.unk_token_id]
        return line[first:end]

    def _fit(self, counts: np.ndarray) -> np.ndarray:
        """How many tokens of each line stay within `max_tokens` (L int64)."""
        total = np.cumsum(counts)
        if counts.size == 0 or total[-1] <= self.max_tokens:
            return counts
        if not self._warned:
            self._warned = True
            torch_data = sys.modules.get("torch.utils.data")  # not there: no loader process either
            worker = torch_data and torch_data.get_worker_info()
            if worker is None or worker.id == 0:
                log.warning(
                    "a page has %d tokens: the first lines in reading order are kept, up to "
                    "text.max_tokens=%d (said once)", total[-1], self.max_tokens
                )  # fmt: skip
        kept = np.where(total <= self.max_tokens, counts, 0)
        if not kept.any():
            kept[np.flatnonzero(counts)[0]] = self.max_tokens
        return kept

    def _pad(self, lines: list[list[int]]) -> np.ndarray:
        """T×K int64: the lines' word pieces, padded at the end."""
        longest = max((len(line) for line in lines), default=1)
        ids = np.full((len(lines), longest), self.pad_token_id, dtype=np.int64)
        for row, line in zip(ids, lines, strict=True):
            row[: len(line)] = line
        return ids

    def _get(self) -> _Tokenizer:
        if self._loaded is None:
            if self._files is None:
                self._loaded = _Tokenizer(self.tokenizer)
            else:
                with tempfile.TemporaryDirectory() as folder:
                    for name, content in self._files.items():
                        (Path(folder) / name).write_bytes(content)
                    self._loaded = _Tokenizer(folder, shown=self.tokenizer)
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        """Without the loaded tokenizer: each process loads its own."""
        return {**self.__dict__, "_loaded": None}


class _Tokenizer:
    """A loaded tokenizer and what is asked of it for every page."""

    def __init__(self, name: str, shown: str | None = None) -> None:
        # Pages are small; threads would only warn and deadlock in forked workers.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.shown = shown or name
        self.tokenizer = load_tokenizer(name, self.shown, of_checkpoint=shown is not None)
        self.fast = getattr(self.tokenizer, "backend_tokenizer", None)
        self.space = ""
        if self.fast is not None:
            self.fast.no_truncation()
            self.fast.no_padding()
            plain, spaced = (line.tokens[:1] for line in self._encode_fast(["a", " a"]))
            if spaced and spaced[0].startswith("Ġ") and plain != spaced:
                self.space = " "
        vocabulary = self.tokenizer.get_vocab()
        self.vocab_size = max(vocabulary.values(), default=-1) + 1
        self.unk_token_id = self.tokenizer.unk_token_id
        self.word_starts = {vocabulary[piece] for piece in WORD_STARTS if piece in vocabulary}
        if self.vocab_size > _MAX_ID:
            raise InputError(
                f"text.tokenizer: {self.shown} has a token of id {self.vocab_size - 1}; ids below "
                f"{_MAX_ID} are read"
            )
        if self.vocab_size == 0 or self.tokenizer.pad_token_id is None:
            raise InputError(
                f"text.tokenizer: {self.shown} has no vocabulary or no pad token; "
                f"give LayoutLMv3's tokenizer or {TRAIN}"
            )
        self.pad_token_id = int(self.tokenizer.pad_token_id)

    def _encode_fast(self, lines: list[str]) -> list[Any]:
        with faults_of(self.shown, TypeError):
            return self.fast.encode_batch(lines, add_special_tokens=False)  # type: ignore[union-attr]

    def encode(self, lines: list[str]) -> list[list[int]]:
        """Ids of each line, in one call."""
        lines = [line.strip() for line in lines]
        if self.fast is None:
            return self.tokenizer(lines, add_special_tokens=False)["input_ids"]
        try:
            encoded = self._encode_fast([self.space + line if line else line for line in lines])
        except (TypeError, InputError):
            for number, line in enumerate(lines):
                if not is_unicode(line):
                    raise InputError(f"line {number}, {line!r:.80}: not valid Unicode") from None
            raise
        return [line.ids for line in encoded]


def build_page_tokenizer(config: Config) -> PageTokenizer | None:
    """The page tokenizer that a config asks for, loaded and checked; None without text.

    Raises:
        InputError: no tokenizer is named, it cannot be loaded, or it does not fit the encoder's
            word table.
    """
    text = config.text
    if text.selection == "none":
        return None
    if not text.tokenizer:
        raise InputError(
            f"text.tokenizer is not set, but text.selection is {text.selection!r}: give a "
            f"tokenizer's folder, or {TRAIN}"
        )
    page_tokenizer = PageTokenizer(text.tokenizer, **text_options(config))
    check_page_tokenizer(page_tokenizer, config)
    return page_tokenizer


def text_options(config: Config) -> dict[str, Any]:
    """The options of a `PageTokenizer` that a config's `text` section holds."""
    names = ("selection", "first_k", "max_tokens", "max_line_tokens", "drop_unk", "drop_word_start",
             "reading_order", "unknown_words")  # fmt: skip
    return {name: getattr(config.text, name) for name in names}


def check_page_tokenizer(page_tokenizer: PageTokenizer, config: Config) -> None:
    """Raise `InputError` where the tokenizer's ids do not fit the backbone's word table."""
    own, backbone = page_tokenizer, config.backbone
    if own.vocab_size > backbone.vocab_size:
        raise InputError(
            f"text.tokenizer: {own.tokenizer} has {own.vocab_size} entries, but "
            f"backbone.vocab_size is {backbone.vocab_size}: set "
            f"backbone.vocab_size={own.vocab_size}, or give the tokenizer that belongs to "
            "model.weights"
        )
    if own.unknown_words and own.unk_token_id is None:
        raise InputError(
            f"text.unknown_words is set, but {own.tokenizer} has no unknown token: give "
            "another text.tokenizer, or set text.unknown_words=false"
        )
    if own.pad_token_id != backbone.pad_token_id:
        raise InputError(
            f"text.tokenizer: {own.tokenizer} pads with id {own.pad_token_id}, but "
            f"backbone.pad_token_id is {backbone.pad_token_id}: set "
            f"backbone.pad_token_id={own.pad_token_id}, or give the tokenizer that belongs to "
            "model.weights"
        )
