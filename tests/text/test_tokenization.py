"""Tokens of a page: selection, limits, boxes, tokenizer files, RoBERTa's ids."""

import base64
import io
import json
import logging
import os
import pickle
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lmv3det.config import load_config
from lmv3det.errors import InputError
from lmv3det.text import tokenization as tokens_module
from lmv3det.text import tokenizer_files
from lmv3det.text.tokenization import PageTokenizer, build_page_tokenizer, normalize_boxes
from lmv3det.text.tokenizer_files import (
    FileTokenizer,
    portable_files,
    portable_settings,
    read_tokenizer_files,
)
from lmv3det.text.tokenizer_limits import check_limits
from lmv3det.text.train_tokenizer import train_tokenizer

DATA = os.environ.get("LMV3DET_DATA")
WORDS = ["alpha beta gamma delta epsilon", "我们 alpha", "beta"]
BOXES = np.array([[10, 10, 90, 20], [10, 30, 90, 40], [10, 50, 50, 60]], dtype=float)
SIZE = (200, 100)


def write_tokenizer(folder):
    """Whole words with SentencePiece's mark: every id can be told by hand."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    pieces = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        "▁alpha",
        "▁beta",
        "▁gamma",
        "▁delta",
        "▁epsilon",
    ]
    pieces += ["我", "们"]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def test_first_k_tokens_take_their_lines_boxes(folder):
    page = PageTokenizer(folder, first_k=3)(WORDS, BOXES, SIZE)
    assert page.ids.tolist() == [5, 6, 7, 4, 10, 11, 6]
    assert page.ids.dtype == page.boxes.dtype == np.int64
    line = [[100, 50, 900, 100], [100, 150, 900, 200], [100, 250, 500, 300]]
    assert page.boxes.tolist() == [line[i] for i in (0, 0, 0, 1, 1, 1, 2)]


def test_all_tokens(folder):
    page = PageTokenizer(folder, selection="all")(WORDS, BOXES, SIZE)
    assert page.ids.tolist() == [5, 6, 7, 8, 9, 4, 10, 11, 5, 6]


def test_one_token_a_line(folder):
    page = PageTokenizer(folder, selection="sentence")(WORDS, BOXES, SIZE)
    assert page.ids.tolist() == [[5, 6, 7, 8, 9], [4, 10, 11, 5, 1], [6, 1, 1, 1, 1]]
    assert page.boxes.shape == (3, 4)


def test_the_word_start_goes_only_where_tokens_follow(folder):
    encoder = PageTokenizer(folder, selection="all", drop_word_start=True)
    page = encoder(["我 alpha", "▁"], BOXES[:2], SIZE)
    assert page.ids.tolist() == [10, 5, 4]


def test_the_notes_take_the_first_three_and_then_drop_the_word_start(folder):
    """By hand, as the notes do it, on every line: pieces, the first k, a leading bare one goes."""
    lines = ["我 alpha", "alpha 我", "▁", "我们 alpha beta", "alpha"]
    pieces = [PageTokenizer(folder, selection="all")([line], BOXES[:1], SIZE) for line in lines]
    start = 4  # ▁
    for k in (2, 3):
        encoder = PageTokenizer(folder, first_k=k, drop_word_start="after")
        for line, all_of_it in zip(lines, pieces, strict=True):
            expected = all_of_it.ids.tolist()[:k]
            if len(expected) > 1 and expected[0] == start:
                expected = expected[1:]
            assert encoder([line], BOXES[:1], SIZE).ids.tolist() == expected
    before = PageTokenizer(folder, first_k=3, drop_word_start=True)(["我们 alpha"], BOXES[:1], SIZE)
    after = PageTokenizer(folder, first_k=3, drop_word_start="after")(
        ["我们 alpha"], BOXES[:1], SIZE
    )
    assert len(before.ids) == 3 and after.ids.tolist() == before.ids.tolist()[:2]


def test_dropped_tokens_make_room_for_the_next(folder):
    words = ["xyz 我们 alpha"]
    assert PageTokenizer(folder)(words, BOXES[:1], SIZE).ids.tolist() == [4, 3, 4]
    assert PageTokenizer(folder, drop_unk=True)(words, BOXES[:1], SIZE).ids.tolist() == [4, 4, 10]
    both = PageTokenizer(folder, drop_unk=True, drop_word_start=True, first_k=9)
    assert both(words, BOXES[:1], SIZE).ids.tolist() == [4, 10, 11, 5]
    assert both(["xyz"], BOXES[:1], SIZE).ids.tolist() == [4]


def test_whole_lines_are_kept_up_to_the_limit(folder, caplog):
    encoder = PageTokenizer(folder, selection="all", max_tokens=9)
    with caplog.at_level(logging.WARNING, logger=tokens_module.__name__):
        for _ in range(2):
            page = encoder(WORDS, BOXES, SIZE)
    assert page.ids.tolist() == [5, 6, 7, 8, 9, 4, 10, 11, 5]
    assert len(caplog.records) == 1 and "text.max_tokens=9" in caplog.text
    # The second line does not fit; the third would, but comes after it.
    page = PageTokenizer(folder, selection="all", max_tokens=8)(WORDS, BOXES, SIZE)
    assert page.ids.tolist() == [5, 6, 7, 8, 9] and len(page.boxes) == 5


def test_a_first_line_beyond_the_limit_is_cut(folder):
    page = PageTokenizer(folder, selection="all", max_tokens=2)(WORDS, BOXES, SIZE)
    assert page.ids.tolist() == [5, 6] and page.boxes.shape == (2, 4)


def test_the_limit_counts_lines_where_lines_are_tokens(folder):
    page = PageTokenizer(folder, selection="sentence", max_tokens=2)(WORDS, BOXES, SIZE)
    assert page.ids.tolist() == [[5, 6, 7, 8, 9], [4, 10, 11, 5, 1]]


def test_a_long_line_has_a_bounded_number_of_word_pieces(folder):
    """One line of an OCR file would else widen B×T×K for the whole batch."""
    lines = ["alpha " * 5000, "beta"]
    page = PageTokenizer(folder, selection="sentence")(lines, BOXES[:2], SIZE)
    assert page.ids.shape == (2, 128)
    few = PageTokenizer(folder, selection="sentence", max_line_tokens=3)(lines, BOXES[:2], SIZE)
    assert few.ids.tolist() == [page.ids[0, :3].tolist(), [6, 1, 1]]
    config = load_config(None, ["text.selection=sentence", "text.max_line_tokens=5"])
    assert tokens_module.text_options(config)["max_line_tokens"] == 5


def test_the_limit_keeps_the_first_lines_in_reading_order(folder):
    encoder = PageTokenizer(folder, selection="all", max_tokens=1)
    page = encoder(["beta", "alpha"], BOXES[[1, 0]], SIZE)
    assert page.ids.tolist() == [5]
    as_is = PageTokenizer(folder, selection="all", max_tokens=1, reading_order="as_is")
    assert as_is(["beta", "alpha"], BOXES[[1, 0]], SIZE).ids.tolist() == [6]


@pytest.mark.parametrize("selection", ["first", "all", "sentence"])
@pytest.mark.parametrize("words", [[], ["", "  "]])
def test_a_page_without_text(folder, selection, words):
    page = PageTokenizer(folder, selection=selection)(words, BOXES[: len(words)], SIZE)
    assert page.ids.shape[0] == 0 and page.boxes.shape == (0, 4)
    assert page.ids.ndim == (2 if selection == "sentence" else 1)


def test_boxes_are_clamped_to_0_and_1000_not_raised_to_1000():
    boxes = np.array([[20, 30, 40, 50], [-5, -5, 120, 900], [40, 50, 20, 30], [0, 0, 100, 200]])
    assert normalize_boxes(boxes, SIZE).tolist() == [
        [200, 150, 400, 250],
        [0, 0, 1000, 1000],
        [200, 150, 400, 250],
        [0, 0, 1000, 1000],
    ]
    assert normalize_boxes(np.zeros((0, 4)), SIZE).shape == (0, 4)


def test_strings_and_boxes_must_be_as_many(folder):
    with pytest.raises(ValueError, match="2 strings, but 3 boxes"):
        PageTokenizer(folder)(WORDS[:2], BOXES, SIZE)


def test_the_tokenizer_is_loaded_once_and_only_when_needed(folder, monkeypatch):
    calls = []
    load = tokens_module.load_tokenizer
    monkeypatch.setattr(
        tokens_module, "load_tokenizer", lambda *a, **k: calls.append(a) or load(*a, **k)
    )
    encoder = PageTokenizer(folder)
    assert calls == []
    for _ in range(3):
        encoder(WORDS, BOXES, SIZE)
    assert encoder.pad_token_id == 1 and encoder.vocab_size == 12
    assert len(calls) == 1


def _encode(encoder):
    return encoder(WORDS, BOXES, SIZE).ids.tolist()


WORKERS = """
import multiprocessing, pickle, sys
from tests.text.test_tokenization import _encode

if __name__ == "__main__":
    encoders = pickle.load(sys.stdin.buffer)
    _encode(encoders[0])
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        print(pool.map_async(_encode, encoders).get(timeout=120))
"""


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_an_encoder_goes_to_worker_processes(folder, method, tmp_path):
    """From a process of its own: this one has threads, with which it may not fork."""
    encoder = PageTokenizer(folder)
    sent = pickle.dumps([encoder, PageTokenizer.from_files(encoder.files())])
    (tmp_path / "workers.py").write_text(WORKERS)
    done = subprocess.run(
        [sys.executable, tmp_path / "workers.py", method],
        input=sent,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
        timeout=300,
    )
    assert json.loads(done.stdout) == [_encode(encoder)] * 2


def test_files_go_through_a_checkpoint(folder):
    encoder = PageTokenizer(folder, selection="all")
    buffer = io.BytesIO()
    torch.save(encoder.files(), buffer)
    buffer.seek(0)
    files = torch.load(buffer, weights_only=True)
    loaded = PageTokenizer.from_files(files, selection="all")
    assert _encode(loaded) == _encode(encoder)
    assert _encode(pickle.loads(pickle.dumps(loaded))) == _encode(encoder)
    assert loaded.files().keys() == files.keys()


@pytest.mark.parametrize("name", ["../tokenizer.json", "/etc/x", "a/b.json", ".hidden"])
def test_a_strangers_file_names_stay_in_the_folder(name):
    with pytest.raises(InputError, match="not a plain file name"):
        PageTokenizer.from_files({name: torch.zeros(1, dtype=torch.uint8)})


def test_damaged_files_of_a_checkpoint(folder):
    files = PageTokenizer(folder).files()
    files["tokenizer.json"] = files["tokenizer.json"][:50]
    with pytest.raises(InputError, match="checkpoint's tokenizer is no tokenizer"):
        _ = PageTokenizer.from_files(files).vocab_size


def config(folder, *overrides):
    values = [f"text.tokenizer={folder}", "text.selection=first", "backbone.vocab_size=12"]
    return load_config(None, [*values, *overrides])


def test_build_takes_the_options_of_the_config(folder):
    encoder = build_page_tokenizer(config(folder, "text.selection=all", "text.max_tokens=5"))
    assert encoder is not None and _encode(encoder) == [5, 6, 7, 8, 9]
    assert build_page_tokenizer(config(folder, "text.selection=none")) is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["text.tokenizer=null"], "text.tokenizer is not set.*train-tokenizer"),
        (["text.tokenizer=nowhere"], "nowhere: no such folder"),
        (["text.tokenizer=./no/where"], "no/where: no such folder"),
        (["text.tokenizer=/no/where"], "/no/where: no such folder"),
        (["backbone.vocab_size=11"], "has 12 entries.*set backbone.vocab_size=12"),
        (["backbone.pad_token_id=0"], "pads with id 1.*set backbone.pad_token_id=1"),
    ],
)
def test_build_names_fault_and_mend(folder, overrides, message):
    with pytest.raises(InputError, match=message):
        build_page_tokenizer(config(folder, *overrides))


def test_folders_that_are_no_tokenizer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokenizer.json").write_text("{", encoding="utf-8")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="runs/tokenizer: no such folder"):
        build_page_tokenizer(config("runs/tokenizer"))
    for name in ("empty", "broken"):
        with pytest.raises(InputError, match=f"{name} (is no tokenizer|has no vocabulary)"):
            build_page_tokenizer(config(name))
    with pytest.raises(InputError, match="is a file"):
        build_page_tokenizer(config("file"))


def test_only_a_hub_name_may_use_the_network(tmp_path, monkeypatch):
    from transformers import AutoTokenizer

    monkeypatch.chdir(tmp_path)
    asked = []

    def from_pretrained(name, **options):
        asked.append((name, options["local_files_only"]))
        raise OSError("offline")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", from_pretrained)
    for reachable in (False, True):  # without a network, what was fetched before is looked for
        monkeypatch.setattr(tokenizer_files, "hub_answers", lambda reachable=reachable: reachable)
        with pytest.raises(InputError, match="is the network there"):
            build_page_tokenizer(config("hub:some-owner/some-name"))
    assert asked.pop(0) == ("some-owner/some-name", True)
    for missing in ("some-owner/some-name", "runs", "runs/", "../runs/a", "a/b/c", "~/runs"):
        with pytest.raises(InputError, match="no such folder"):
            build_page_tokenizer(config(missing))
    (tmp_path / "runs").mkdir()
    with pytest.raises(InputError, match="is no tokenizer"):
        build_page_tokenizer(config("runs"))
    assert asked == [("some-owner/some-name", False), ("runs", True)]


def test_byte_level_lines_start_a_word_with_or_without_the_setting(tmp_path):
    train_tokenizer(["alpha beta gamma"] * 5, tmp_path / "a", 300)
    encoder = PageTokenizer(tmp_path / "a")
    content = json.loads((tmp_path / "a" / "tokenizer.json").read_text(encoding="utf-8"))
    assert content["pre_tokenizer"]["add_prefix_space"] is True
    content["pre_tokenizer"]["add_prefix_space"] = False
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    options = tmp_path / "a" / "tokenizer_config.json"
    (tmp_path / "b" / "tokenizer_config.json").write_text(options.read_text(encoding="utf-8"))
    other = PageTokenizer(tmp_path / "b")
    words = ["alpha", " beta", "我"]
    expected = encoder(words, BOXES, SIZE).ids
    np.testing.assert_array_equal(other(words, BOXES, SIZE).ids, expected)
    start = content["model"]["vocab"]["Ġ"]
    assert (expected == start).sum() == 1
    bare = PageTokenizer(tmp_path / "b", drop_word_start=True)(words, BOXES, SIZE).ids
    assert start not in bare and len(bare) == len(expected)


@pytest.mark.skipif(not DATA, reason="LMV3DET_DATA is not set")
def test_roberta_ids_are_those_of_layoutlmv3s_tokenizer():
    from transformers import LayoutLMv3Tokenizer

    folder = Path(DATA) / "tokenizer-roberta"
    page = json.loads(next((Path(DATA) / "publaynet" / "OCR").glob("*.json")).read_text())
    words = [word for word in page["words"] if word.strip()]
    boxes = np.tile(BOXES[:1], (len(words), 1))
    encoder = PageTokenizer(folder, selection="all", max_tokens=10**6, reading_order="as_is")
    theirs = LayoutLMv3Tokenizer.from_pretrained(folder)(
        words, boxes=[[0, 0, 1, 1]] * len(words), add_special_tokens=False
    )
    assert encoder(words, boxes, SIZE).ids.tolist() == theirs["input_ids"]
    assert (
        build_page_tokenizer(replace(config(folder), backbone=load_config().backbone)) is not None
    )


def test_a_line_without_words_is_left_out_or_unknown(folder):
    words = ["alpha beta", "", "  "]
    plain = PageTokenizer(folder)(words, BOXES, SIZE)
    assert plain.ids.tolist() == [5, 6]
    boxes_too = PageTokenizer(folder, unknown_words=True)(words, BOXES, SIZE)
    assert boxes_too.ids.tolist() == [5, 6, 3, 3]
    assert boxes_too.boxes[2:].tolist() == [[100, 150, 900, 200], [100, 250, 500, 300]]
    lines = PageTokenizer(folder, selection="sentence", unknown_words=True)(words, BOXES, SIZE)
    assert lines.ids.tolist() == [[5, 6], [3, 1], [3, 1]]


def test_unknown_words_need_an_unknown_token(tmp_path):
    folder = write_tokenizer(tmp_path / "tokenizer")
    file = folder / "tokenizer_config.json"
    content = json.loads(file.read_text())
    del content["unk_token"]
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="no unknown token"):
        build_page_tokenizer(config(folder, "text.unknown_words=true"))


def test_words_cannot_be_dropped_where_lines_without_words_are(folder):
    with pytest.raises(InputError, match="unknown_words=true"):
        config(folder, "text.word_dropout=0.5")


@pytest.mark.parametrize("kind", ["bpe", "char_bpe", "unigram"])
def test_a_checkpoints_files_need_no_transformers(tmp_path, kind):
    """The same ids as by transformers, which read the folder that they come from."""
    from lmv3det.text.train_tokenizer import KINDS, train_tokenizer

    if kind not in KINDS:
        pytest.skip(f"train_tokenizer makes {', '.join(KINDS)}")
    lines = ["two words", " 我们 two", "never seen 鱻", "<pad> <unk>", "a  b", "ＡＢ ﬁ é"]
    train_tokenizer([line for line in lines[:2] for _ in range(20)], tmp_path, 300, kind)
    by_transformers = PageTokenizer(tmp_path, selection="all")
    by_itself = PageTokenizer.from_files(by_transformers.files(), selection="all")
    boxes = np.tile([1.0, 1, 9, 9], (len(lines), 1))
    wanted = by_transformers(lines, boxes, (10, 10)).ids.tolist()
    assert by_itself(lines, boxes, (10, 10)).ids.tolist() == wanted
    assert type(by_itself._get().tokenizer) is FileTokenizer
    for name in ("vocab_size", "pad_token_id", "unk_token_id"):
        assert getattr(by_itself, name) == getattr(by_transformers, name)


def test_files_that_do_not_say_all_are_read_by_transformers(folder):
    files = PageTokenizer(folder, selection="all").files()
    settings = json.loads(bytes(files["tokenizer_config.json"].tolist()))
    del settings["pad_token"]
    (folder / "only.json").write_text(json.dumps(settings))
    assert read_tokenizer_files(folder / "nowhere") is None
    short = np.frombuffer(json.dumps(settings).encode(), dtype=np.uint8)
    encoder = PageTokenizer.from_files({**files, "tokenizer_config.json": short})
    with pytest.raises(InputError, match="no pad token"):
        _ = encoder.vocab_size


def test_settings_of_transformers_5_are_written_for_4():
    given = {
        "backend": "tokenizers", "is_local": True, "local_files_only": False, "pad_token": "<pad>",
        "tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<x>"],
    }  # fmt: skip
    wanted = {
        "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>",
        "additional_special_tokens": ["<x>"],
    }  # fmt: skip
    assert json.loads(portable_settings(json.dumps(given))) == wanted
    own = {"tokenizer_class": "RobertaTokenizer", "pad_token": "<pad>"}
    assert json.loads(portable_settings(json.dumps(own))) == own
    assert portable_settings("{damaged") == "{damaged"
    assert portable_files({"merges.txt": b""}) == {"merges.txt": b""}


def _table(*texts: bytes) -> str:
    """A table of SentencePiece with an empty trie."""
    data = struct.pack("<I", 8) + bytes(8) + b"\0".join(texts) + b"\0"
    return base64.b64encode(data).decode()


def _replace(length: int) -> dict:
    return {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * length}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"normalizer": _replace(3000)}, "more than 2000 times as long (Replace)"),
        ({"normalizer": {"type": "Sequence", "normalizers": [_replace(60), _replace(60)]}},
         "more than 2000 times"),
        ({"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Sequence", "normalizers": [_replace(2)] * 40}] * 2}}, "more than"),
        ({"normalizer": {"type": "Prepend", "prepend": "x" * 5000}}, "(Prepend)"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": _table(b"a" * 9000)}},
         "(Precompiled)"),
        ({"normalizer": _replace(50),
          "pre_tokenizer": {"type": "Metaspace", "replacement": "▁" * 50}}, "pre_tokenizer"),
        ({"model": {"type": "BPE", "continuing_subword_prefix": "#" * 300}}, "300 characters"),
    ],
)  # fmt: skip
def test_a_small_tokenizer_cannot_make_gigabytes(tmp_path, changes, said):
    """Failed before: two replacements of 100 kB each made ten gigabytes of one letter."""
    write_tokenizer(tmp_path)
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **changes}), "utf-8")
    with pytest.raises(InputError) as error:
        PageTokenizer(tmp_path)(WORDS, BOXES, SIZE)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_the_limits_leave_usual_tokenizers_alone(tmp_path):
    steps = [
        {"type": "Precompiled", "precompiled_charsmap": _table("ﷺ".encode() * 11, b"fi")},
        {"type": "NFKC"},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
    ]
    write_tokenizer(tmp_path)
    file = tmp_path / "tokenizer.json"
    content = {**json.loads(file.read_text("utf-8")),
               "normalizer": {"type": "Sequence", "normalizers": steps}}  # fmt: skip
    file.write_text(json.dumps(content), "utf-8")
    check_limits(file)
    check_limits(Path(tokens_module.__file__).parents[1] / "assets/cdla/tokenizer/tokenizer.json")
