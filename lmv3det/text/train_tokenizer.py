"""A tokenizer trained on one's own OCR files."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from lmv3det.errors import InputError
from lmv3det.files import replacing, write_json
from lmv3det.text.ocr_json import read_ocr

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
"""Ids 0 to 4; the first four are RoBERTa's and XLM-RoBERTa's."""
KINDS = ("bpe", "char_bpe", "unigram")
Kind = Literal["bpe", "char_bpe", "unigram"]
SMALLEST = 256 + len(SPECIAL_TOKENS)


def train_tokenizer(
    texts: Iterable[str],
    out: str | os.PathLike,
    vocab_size: int = 8000,
    kind: Kind = "bpe",
    show_progress: bool = False,
) -> int:
    """Train a tokenizer and write a folder that `AutoTokenizer.from_pretrained` loads.

    `bpe` works on bytes like RoBERTa's (LayoutLMv3 English) and knows no unknown token.
    `char_bpe` and `unigram` work on characters, with `▁` at a word's start, like XLM-RoBERTa's
    (LayoutLMv3 Chinese, which is a unigram model); rare characters are unknown. The same texts
    give the same files, but for `unigram`, whose training in the library sums in random order:
    scores differ slightly from run to run.

    Args:
        texts: lines of text, any language.
        out: folder to write `tokenizer.json` and `tokenizer_config.json` to.
        vocab_size: max entries; fewer come out where the texts hold fewer.
        kind: what to train.
        show_progress: let the library draw its bars.

    Returns:
        The number of entries, which `backbone.vocab_size` must hold.

    Raises:
        InputError: no text, too small a vocabulary, or an unknown kind.
    """
    if vocab_size < SMALLEST:
        raise InputError(
            f"--vocab-size is {vocab_size}: give at least {SMALLEST} (256 bytes and the special "
            "tokens)"
        )
    if kind not in KINDS:
        raise InputError(f"--kind is {kind!r}; it must be {', '.join(KINDS)}")
    lines = [text for text in texts if text.strip()]
    if not lines:
        raise InputError("there is no text to train a tokenizer on: give OCR files with words")
    from tokenizers import processors

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)  # an error here is raised before the training
    tokenizer, trainer = _untrained(lines, vocab_size, kind, show_progress)
    tokenizer.train_from_iterator(lines, trainer, length=len(lines))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "clean_up_tokenization_spaces": False,
    }
    write_json(out / "tokenizer_config.json", config)
    with replacing(out / "tokenizer.json") as temporary:
        temporary.write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    return tokenizer.get_vocab_size()


def _untrained(lines: list[str], vocab_size: int, kind: Kind, show_progress: bool) -> tuple:
    """A tokenizer without vocabulary, and its trainer."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    options: dict[str, Any] = {
        "vocab_size": vocab_size,
        "special_tokens": list(SPECIAL_TOKENS),
        "show_progress": show_progress,
    }
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        return tokenizer, trainers.BpeTrainer(min_frequency=2, initial_alphabet=alphabet, **options)
    tokenizer = Tokenizer(
        models.Unigram() if kind == "unigram" else models.BPE(unk_token="<unk>", fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace()
    if kind == "unigram":
        return tokenizer, trainers.UnigramTrainer(unk_token="<unk>", **options)
    # The trainer breaks ties of rare characters at random, hence the choice is made here.
    counts = Counter(char for line in lines for char in unicodedata.normalize("NFKC", line))
    known = [char for char, count in counts.items() if count > 1 and not char.isspace()]
    known.sort(key=lambda char: (-counts[char], char))
    alphabet = sorted({"▁", *known[: vocab_size // 2]})
    return tokenizer, trainers.BpeTrainer(
        min_frequency=2, initial_alphabet=alphabet, limit_alphabet=len(alphabet), **options
    )


def read_texts(folders: Iterable[str | os.PathLike]) -> Iterator[str]:
    """The lines of every OCR file in some folders, in the order of folders and names.

    Raises:
        InputError: a folder that does not exist or holds no OCR file; a malformed file.
    """
    files: list[Path] = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder of OCR files")
        found = sorted(folder.rglob("*.json"))
        if not found:
            raise InputError(f"{folder}: no OCR files (*.json); `lmv3det ocr` writes them")
        files += found
    for file in tqdm(files, desc="reading OCR files", unit="file"):
        yield from read_ocr(file).lines
