"""The index of large annotation files: the cache, what makes it stale, processes that share it."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest

from lmv3det.data import coco_index, index_cache, json_stream
from lmv3det.data.coco import CocoDataset
from lmv3det.data.json_stream import NoList, read_lists
from lmv3det.data.packed import Packed, PackedWriter, pack_in_memory


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Every file counts as large; how often an index was made."""
    monkeypatch.setattr(index_cache, "_LARGE", 0)
    monkeypatch.setenv("LMV3DET_CACHE", str(tmp_path / "cache"))
    times = []

    def index_coco(*arguments):
        times.append(1)
        return coco_index.index_coco(*arguments)

    monkeypatch.setattr(index_cache, "index_coco", index_coco)
    return times


def content(dataset: CocoDataset) -> list:
    samples = [dataset[index] for index in range(len(dataset))]
    return [
        [(r, r.annotations) for r in dataset.records],
        [[issue.entry, issue.problem] for issue in dataset.report.issues],
        [
            [s.boxes.tolist(), s.classes.tolist(), [p[0].tolist() for p in s.polygons]]
            for s in samples
        ],
    ]


def test_a_kept_index_gives_the_same_data_set(tiny_data, made, monkeypatch):
    tiny_data.content["annotations"][0]["bbox"] = [30, 2, 20, 5]
    tiny_data.content["annotations"][1]["segmentation"] = [[1, 2]]
    tiny_data.content["images"].append({"id": 3, "file_name": "none.png", "width": 1, "height": 1})
    tiny_data.save()
    first = content(CocoDataset(tiny_data.annotations, tiny_data.images))
    again = content(CocoDataset(tiny_data.annotations, tiny_data.images))
    assert len(made) == 1 and again == first and len(first[1]) == 3
    monkeypatch.setattr(index_cache, "_LARGE", 1 << 30)
    assert content(CocoDataset(tiny_data.annotations, tiny_data.images)) == first
    copy = tiny_data.root / "copy.json"
    copy.write_bytes(tiny_data.annotations.read_bytes())
    monkeypatch.setattr(index_cache, "_LARGE", 0)
    assert content(CocoDataset(copy, tiny_data.images)) == first and len(made) == 2


@pytest.mark.parametrize("said", ["a\0b", "../elsewhere", 7, None])
def test_a_note_that_holds_no_hash_is_made_anew(tiny_data, made, said):
    first = content(CocoDataset(tiny_data.annotations, tiny_data.images))
    (note,) = index_cache.cache_folder().rglob("*.json")
    known = json.loads(note.read_text())
    note.write_text(json.dumps({**known, "content": said}))
    assert content(CocoDataset(tiny_data.annotations, tiny_data.images)) == first
    assert json.loads(note.read_text()) == known and len(made) == 1


def test_what_makes_an_index_stale(tiny_data, made):
    del tiny_data.content["images"][1]["width"]
    tiny_data.content["images"].append({"id": 3, "file_name": "e.png", "width": 36, "height": 48})
    tiny_data.save()

    def pages() -> int:
        return len(CocoDataset(tiny_data.annotations, tiny_data.images))

    assert [pages(), pages()] == [4, 4] and len(made) == 1
    picture = (tiny_data.images / "d.png").read_bytes()
    (tiny_data.images / "e.png").write_bytes(picture)  # a file that was missing
    assert [pages(), pages()] == [5, 5] and len(made) == 2
    (tiny_data.images / "d.png").unlink()
    assert pages() == 4 and len(made) == 3
    (tiny_data.images / "b.png").write_bytes(picture)  # whose size was read
    dataset = CocoDataset(tiny_data.annotations, tiny_data.images)
    assert len(made) == 4 and dataset.records[1].width == 36
    del tiny_data.content["images"][0]
    tiny_data.save()
    assert pages() == 3 and len(made) == 5
    for path in (tiny_data.root / "cache").glob("*.index"):
        path.write_bytes(path.read_bytes()[:100])  # as a full disk leaves one
    assert pages() == 3 and len(made) == 6


def test_a_cache_that_cannot_be_written(tiny_data, made, monkeypatch, caplog):
    (tiny_data.root / "file").write_text("")
    monkeypatch.setenv("LMV3DET_CACHE", str(tiny_data.root / "file"))
    assert len(CocoDataset(tiny_data.annotations, tiny_data.images)) == 4
    assert "LMV3DET_CACHE" in caplog.text


def _open(annotations, images, queue):
    index_cache._LARGE = 0
    dataset = CocoDataset(annotations, images)
    queue.put((len(dataset), len(dataset[0].boxes)))


def test_processes_at_once(tiny_data, made):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    arguments = (tiny_data.annotations, tiny_data.images, queue)
    processes = [context.Process(target=_open, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    assert [queue.get(timeout=60) for _ in processes] == [(4, 3)] * 4
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(list((tiny_data.root / "cache").glob("*.index"))) == 1


def test_a_data_set_is_sent_without_its_arrays(tiny_data, made):
    dataset = CocoDataset(tiny_data.annotations, tiny_data.images)
    sent = pickle.dumps(dataset)
    assert b"c.png" not in sent
    assert content(pickle.loads(sent)) == content(dataset)


def test_arrays_of_a_file(tmp_path):
    def fill(writer):
        writer.add("a", np.arange(5))
        writer.add("empty", np.zeros(0))
        return {"x": "é\ud800"}

    with open(tmp_path / "f", "w+b") as file:
        writer = PackedWriter(file)
        writer.finish(fill(writer))
    for packed in (Packed(tmp_path / "f"), pack_in_memory(fill)):
        assert packed.a.tolist() == [0, 1, 2, 3, 4] and packed.empty.shape == (0,)
        assert packed.header == {"x": "é\ud800"} and not packed.a.flags.writeable
    (tmp_path / "f").write_bytes(b"something else")
    with pytest.raises(ValueError, match="no file of arrays"):
        Packed(tmp_path / "f")


VALUES = [
    1, -2.5, 1e300, 12345678901234567890123, True, None, "a, b]}", 'quo"te\\', "é一😀\ud800", [],
    {}, [[1, [2]], {"x": [{"y": "}"}]}], {"a": 1, "b": [1, 2]}, float("inf"), "", 0,
]  # fmt: skip


@pytest.mark.parametrize("window", [1, 2, 7, 1000])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 2])
def test_entries_whatever_the_window(tmp_path, monkeypatch, window, ascii_only, indent):
    monkeypatch.setattr(json_stream, "_WINDOW", window)
    monkeypatch.setattr(json_stream, "_ENTRIES", 3)
    path = tmp_path / "lists.json"
    whole = {"other": VALUES, "a": VALUES, "empty": [], "b": VALUES[::-1], "end": 12}
    text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    found: dict = {}
    for key, begins, entries in read_lists(path, ("a", "b", "empty")):
        found.setdefault(key, [])
        assert begins == (not found[key]) and len(entries) <= 3
        found[key] += entries
    assert found == {key: whole[key] for key in ("a", "empty", "b")}


@pytest.mark.parametrize("window", [1, 1000])
def test_damage_is_what_json_calls_damage(tmp_path, monkeypatch, window):
    monkeypatch.setattr(json_stream, "_WINDOW", window)
    generator = np.random.default_rng(0)
    path = tmp_path / "lists.json"
    whole = json.dumps({"a": [1, {"b": [2.5, "x"]}], "c": {"d": None}, "e": [3]})
    for _ in range(400):
        text = list(whole)
        for place in generator.integers(0, len(text), 2):
            text[place] = str(generator.choice(list(' []{},:"1x\\')))
        broken = "".join(text[: generator.integers(1, len(text) + 1)])
        path.write_text(broken)
        try:
            expected = json.loads(broken)
        except ValueError:
            with pytest.raises(ValueError):
                list(read_lists(path, ("a", "e")))
            continue
        lists = isinstance(expected, dict) and all(
            isinstance(expected.get(key, []), list) for key in ("a", "e")
        )
        if not lists:
            with pytest.raises(NoList):
                list(read_lists(path, ("a", "e")))
            continue
        found: dict = {}
        for key, begins, entries in read_lists(path, ("a", "e")):
            found[key] = entries if begins else found[key] + entries
        assert found == {key: expected[key] for key in ("a", "e") if key in expected}


def test_other_encodings(tmp_path):
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        path = tmp_path / encoding
        path.write_bytes(json.dumps({"a": ["é"]}, ensure_ascii=False).encode(encoding))
        assert list(read_lists(path, ("a",))) == [("a", True, ["é"])]


def test_what_was_not_used_for_long_is_removed(tiny_data, made, monkeypatch, tmp_path):
    """By age, then by room, the oldest first; never the index in use."""
    cache = tmp_path / "cache"
    cache.mkdir()
    day = 86400

    def put(name: str, days: float) -> Path:
        path = cache / name
        path.write_bytes(b"x" * 1000)
        os.utime(path, (time.time() - days * day,) * 2)
        return path

    old, recent, older = put("a.index", 61), put("b.index", 5), put("c.index", 20)
    lock, note, other = put("d.lock", 61), put("e.json", 61), put("notes.txt", 99)
    CocoDataset(tiny_data.annotations, tiny_data.images)
    assert [p.exists() for p in (old, recent, older, lock, note, other)] == [
        False, True, True, False, False, True,
    ]  # fmt: skip
    (kept,) = set(cache.glob("*.index")) - {recent, older}
    monkeypatch.setattr(index_cache, "MAX_BYTES", kept.stat().st_size + 1500)
    kept.unlink()
    CocoDataset(tiny_data.annotations, tiny_data.images)
    assert kept.exists() and recent.exists() and not older.exists()
    os.utime(kept, (time.time() - 50 * day,) * 2)
    CocoDataset(tiny_data.annotations, tiny_data.images)  # uses it
    assert time.time() - kept.stat().st_mtime < day and len(made) == 2
