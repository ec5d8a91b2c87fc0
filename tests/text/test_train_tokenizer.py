"""Training a tokenizer from OCR files."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lmv3det.cli import train_tokenizer as command
from lmv3det.errors import InputError
from lmv3det.text.ocr_json import OcrPage, write_ocr
from lmv3det.text.train_tokenizer import KINDS, read_texts, train_tokenizer

TEXTS = [
    "the layout of a page is the layout of its regions",
    "we detect the regions of a page",
    "我们检测页面的版面区域",
    "版面区域 page layout",
] * 5


@pytest.mark.parametrize("kind", KINDS)
def test_it_loads_as_any_tokenizer_does(tmp_path, kind):
    from transformers import AutoTokenizer

    size = train_tokenizer(TEXTS, tmp_path, 400, kind)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert len(tokenizer) == size <= 400
    special = [tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id]
    assert [*special, tokenizer.unk_token_id, tokenizer.mask_token_id] == [0, 1, 2, 3, 4]
    for text in ("the layout of a page", "我们检测版面区域 page"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert 3 not in ids and len(ids) < len(text) + 4
        assert tokenizer.decode(ids).strip() == text
    unseen = tokenizer("鱻", add_special_tokens=False)["input_ids"]
    assert (3 in unseen) == (kind != "bpe")
    assert tokenizer("page")["input_ids"][0] == 0 and tokenizer("page")["input_ids"][-1] == 2


@pytest.mark.parametrize("kind", ["bpe", "char_bpe"])
def test_the_same_texts_give_the_same_files(tmp_path, kind):
    rare = [chr(0x4E00 + i) * 2 for i in range(300)]  # more characters, all tied, than fit
    code = (
        "import sys, json; from lmv3det.text.train_tokenizer import train_tokenizer; "
        "train_tokenizer(json.loads(sys.argv[1]), sys.argv[2], 300, sys.argv[3])"
    )
    for name in ("a", "b"):
        arguments = [json.dumps(TEXTS + rare), str(tmp_path / name), kind]
        subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    one, other = ((tmp_path / name / "tokenizer.json").read_bytes() for name in ("a", "b"))
    assert one == other


def test_too_small_no_text_unknown_kind(tmp_path):
    with pytest.raises(InputError, match="at least 261"):
        train_tokenizer(TEXTS, tmp_path, 260)
    with pytest.raises(InputError, match="no text"):
        train_tokenizer(["", " "], tmp_path, 300)
    with pytest.raises(InputError, match="bpe, char_bpe, unigram"):
        train_tokenizer(TEXTS, tmp_path, 300, "wordpiece")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def write_pages(folder: Path, *pages: list[str]) -> None:
    for number, words in enumerate(pages):
        boxes = np.tile([[1.0, 2, 30, 40]], (len(words), 1))
        write_ocr(folder / f"page_{number}.json", OcrPage(boxes, words, 100, 200))


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_command(tmp_path, capsys):
    write_pages(tmp_path / "one", TEXTS[:2], [])
    write_pages(tmp_path / "two", TEXTS[2:4])
    assert list(read_texts([tmp_path / "one", tmp_path / "two"])) == TEXTS[:4]
    out = tmp_path / "out"
    arguments = [str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(out)]
    command.run(parse(*arguments, "--vocab-size", "300"))
    assert "backbone.vocab_size=" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    before = (out / "tokenizer.json").read_bytes()
    with pytest.raises(InputError, match="--overwrite"):
        command.run(parse(*arguments))
    assert (out / "tokenizer.json").read_bytes() == before
    command.run(parse(*arguments, "--vocab-size", "270", "--overwrite"))
    assert (out / "tokenizer.json").read_bytes() != before


def test_faulty_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no OCR files"):
        list(read_texts([tmp_path / "empty"]))
    with pytest.raises(InputError, match="no such folder"):
        list(read_texts([tmp_path / "missing"]))
    (tmp_path / "empty" / "bad.json").write_text('{"bbox": []}', encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.json"):
        list(read_texts([tmp_path / "empty"]))
