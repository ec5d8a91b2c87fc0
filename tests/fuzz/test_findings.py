"""What fuzzing and kills have found, each as a small case. All failed before their fix."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from lmv3det.cli import main
from lmv3det.config import load_config
from lmv3det.data.coco import CocoDataset
from lmv3det.errors import InputError
from lmv3det.files import JsonList, lock_folder, replacing
from lmv3det.inference.journal import Journal
from tests.tiny_detector import tiny_checkpoint, tiny_config

DEEP = "[" * 100_000
STEP = {"step": 1, "total": 2.0, "lr": 1e-4}
SCORES = {"bbox": {"AP": 1.0, "AP50": 2.0, "AP75": None, "per_class": {"Text": {"AP": 1.0}}}}


def one_line(text: str) -> str:
    """What a command said, which is one line."""
    (line,) = [line for line in text.splitlines() if line.startswith("lmv3det")]
    assert "Traceback" not in text
    return line


# Files of jobs that go on.


@pytest.mark.parametrize(
    "odd",
    [
        b"\x80", DEEP.encode(), b"[1]", b"{}", b'{"step": "1"}', b'{"step": 1, "total": [1]}',
        b'{"step": 1, "total": NaN}', b'{"step": 1, "evaluation": []}',
        b'{"step": 1, "evaluation": {"bbox": {"AP": 1, "AP50": "x", "AP75": 1}}}',
        b'{"step": 1, "evaluation": {"bbox": {"AP": 1, "AP50": 1, "AP75": 1, "per_class": [1]}}}',
    ],
)  # fmt: skip
def test_lines_of_metrics_that_no_run_wrote(odd, tmp_path, caplog):
    from lmv3det.engine.log import read_entries
    from lmv3det.evaluation.run_report import write_run_report

    entries = [STEP, {"step": 1, "evaluation": SCORES, "seconds": 1.0}, {**STEP, "step": 2}]
    lines = [json.dumps(entry).encode() for entry in entries]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join([lines[0], odd, *lines[1:], b'{"ste']))
    assert read_entries(tmp_path) == entries
    assert "left out (line 2)" in caplog.text
    write_run_report(tmp_path / "report.html", read_entries(tmp_path), "", [], {}, "run")


@pytest.mark.parametrize("odd", [b'{"page": 1}', b'{"file": "b", "page": []}', DEEP.encode()])
def test_a_line_of_the_journal_without_page_is_done_again(odd, tmp_path):
    path = tmp_path / "pages.jsonl"
    with_pages = [{"format": "lmv3det pages", "settings": {}}, {"file": "a", "page": 1}]
    head = b"".join(json.dumps(entry).encode() + b"\n" for entry in with_pages)
    path.write_bytes(head + odd + b"\n")
    journal = Journal(path, {}, resume=True)
    assert list(journal.places) == [("a", 1)]
    journal.close()
    assert path.read_bytes() == head


def test_a_line_of_the_journal_in_another_encoding_is_done_again(tmp_path):
    """Such a line was copied into detections.json, which was no JSON then."""
    path, result = tmp_path / "pages.jsonl", tmp_path / "detections.json"
    head = json.dumps({"format": "lmv3det pages", "settings": {}}).encode() + b"\n"
    path.write_bytes(head + '{"file": "a", "page": 1}\n'.encode("utf-16-be") + b"\n")
    journal = Journal(path, {}, resume=True)
    journal.append({"file": "b", "page": 1})
    journal.finish(result, list(journal.places))
    assert json.loads(result.read_text("utf-8")) == [{"file": "b", "page": 1}]


def test_a_journal_whose_head_is_nested_or_has_no_settings(tmp_path):
    path = tmp_path / "pages.jsonl"
    for head in (DEEP, '{"format": "lmv3det pages", "settings": [1]}'):
        path.write_text(head + "\n")
        with pytest.raises(InputError, match="not written by a job"):
            Journal(path, {"dpi": 1}, resume=True)


@pytest.mark.parametrize(
    "content",
    [
        DEEP,
        '{"system": "af2", "seed": 0, "size": "tiny", "pages": {}, "settings": [], "metrics": {}}',
        '{"system": "af2", "seed": 0, "size": "tiny", "pages": {"digest": "5d"}, "settings": {}, '
        '"metrics": {"bbox": {"AP": "x", "per_class": {}}}}',
    ],
)
def test_metrics_that_no_run_of_an_ablation_wrote(content, tmp_path):
    from lmv3det.ablation.table import read_run

    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match="remove it to run it again"):
        read_run(tmp_path / "metrics.json")


@pytest.mark.parametrize(
    "record",
    ["{", DEEP, "[]", '{"file_name": "a", "width": 4, "height": 5, "regions": [{"box": [1]}]}'],
)
def test_a_damaged_record_of_a_synthetic_page(record, tmp_path):
    from pagegen.annotations import read_record

    (tmp_path / "page_000001.json").write_text(record)
    with pytest.raises(InputError, match="remove it, and the page is made again"):
        read_record(tmp_path / "page_000001.json")


def test_damaged_settings_of_synthetic_pages(tmp_path):
    from pagegen.typst.generate import generate

    pytest.importorskip("typst")
    (tmp_path / "settings.json").write_text(DEEP)
    with pytest.raises(InputError, match="not JSON"):
        generate(tmp_path, 1, language="en")


def test_a_cached_index_with_a_damaged_header_is_made_anew(tiny_data, tmp_path, monkeypatch):
    from lmv3det.data import index_cache

    monkeypatch.setattr(index_cache, "_LARGE", 0)
    monkeypatch.setenv("LMV3DET_CACHE", str(tmp_path / "cache"))
    names = [record.file_name for record in CocoDataset(tiny_data.annotations, tiny_data.images)
             .records]  # fmt: skip
    (index,) = (tmp_path / "cache").glob("*.index")
    whole = index.read_bytes()
    damaged = whole.replace(b'"region_start"', b'"region_stArt"')
    assert damaged != whole
    index.write_bytes(damaged)
    dataset = CocoDataset(tiny_data.annotations, tiny_data.images)
    assert [record.file_name for record in dataset.records] == names
    assert len(dataset[0].boxes) == 3
    assert index.read_bytes() == whole
    (note,) = (tmp_path / "cache").glob("*.json")
    note.write_text(DEEP)
    assert len(CocoDataset(tiny_data.annotations, tiny_data.images)) == len(names)


@pytest.mark.parametrize("size", [(1, 1_000_001), (1_000_001, 2)])
def test_a_page_of_a_million_rows_is_refused(size, tmp_path):
    """7×15,711,167 pixels, in a PNG of 203 bytes, took 4 s to decode."""
    from PIL import Image

    from lmv3det.data.images import read_image, read_size

    Image.new("1", size).save(tmp_path / "page.png")
    for read in (read_size, read_image):
        with pytest.raises(InputError, match="a side may have 1,000,000"):
            read(tmp_path / "page.png")


# Settings.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 0x" + "f" * 5000, "number of 20000 bits"),
        ("backbone: {patch_size: 0x" + "f" * 5000 + "}", "number of 20000 bits"),
        ('base: "\\ud800"', "base is"),
    ],
)
def test_values_that_cannot_be_printed_or_be_a_name(text, said, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=said):
        load_config(tmp_path / "config.yaml")


def test_a_base_of_a_detectron2_yaml_that_can_be_no_name(tmp_path):
    from lmv3det.config.detectron2_yaml import convert_config

    (tmp_path / "config.yaml").write_text('_BASE_: "\\ud800"\nMODEL: {}\n')
    with pytest.raises(InputError, match="must be the path of a file"):
        convert_config(tmp_path / "config.yaml")


def test_an_option_of_an_engine_with_too_many_digits():
    from lmv3det.cli.ocr import engine_options

    assert engine_options(["a=" + "9" * 5000, "b=0.5"]) == {"a": "9" * 5000, "b": 0.5}


@pytest.mark.parametrize("content", [DEEP, '{"categories": 3}'])
def test_classes_of_a_file_that_is_no_coco(content, tmp_path):
    from lmv3det.convert.conversion import read_classes

    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"--annotations .*a\.json"):
        read_classes(None, tmp_path / "a.json")


# Full disks, and two jobs in a folder.


def test_an_error_of_the_disk_names_the_file_and_keeps_its_number(tmp_path):
    """`predict` tells a full disk, which ends the job, from a page that cannot be drawn by it."""
    path, message = tmp_path / "page.png", r"page\.png: cannot be written"
    with pytest.raises(OSError, match=message) as found, replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert found.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match=r"page\.png") as found, replacing(path) as temporary:
        (temporary / "no folder").write_text("")
    assert str(os.getpid()) not in str(found.value)


SMALL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from lmv3det.cli import main
sys.exit(main(sys.argv[2:]))
"""


def run_with_small_files(size: int, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process that can write files of so many bytes only."""
    command = [sys.executable, "-c", SMALL, str(size), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_torchscript_file_without_room_is_one_line(tmp_path):
    """The process was ended by torch, with exit code -6 and no line of ours."""
    source, out = tiny_checkpoint(tmp_path / "model.pth"), tmp_path / "model.ts"
    done = run_with_small_files(
        100_000, "export", str(source), "--format", "torchscript", "--out", str(out)
    )
    assert done.returncode == 1 and "model.ts: cannot be written" in one_line(done.stderr)
    assert not out.exists() and not list(tmp_path.glob(".*"))


def test_a_journal_without_room_names_itself(tmp_path, tiny_data):
    source = tiny_checkpoint(tmp_path / "model.pth", tiny_config(model={"mask_on": False}))
    out = tmp_path / "out"
    done = run_with_small_files(
        1500, "predict", str(tiny_data.images), "--ckpt", str(source), "--out", str(out),
        "--no-drawings", "--score", "0.01",
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line.startswith("lmv3det predict: ")]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "detections.partial.jsonl: cannot be written" in lines[-1]
    assert "are done and kept" in lines[-2]


def test_a_list_without_room_names_itself(tmp_path, monkeypatch):
    with JsonList(tmp_path / "list.json") as entries:
        monkeypatch.setattr(entries, "stream", _Full())
        with pytest.raises(OSError, match=r"list\.json: cannot be written"):
            entries.append({})
        monkeypatch.undo()


class _Full:
    def write(self, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_has_one_evaluation_at_a_time(tiny_data, tmp_path, capsys):
    source = tiny_checkpoint(tmp_path / "model.pth")
    words = ["evaluate", str(source), "--annotations", str(tiny_data.annotations),
             "--images", str(tiny_data.images), "--out", str(tmp_path / "out")]  # fmt: skip
    with lock_folder(tmp_path / "out", "a test"):
        assert main(words) == 1
    assert "another evaluation writes to it already" in one_line(capsys.readouterr().err)
    assert main([*words, "--worst", "0"]) == 0
    assert not list((tmp_path / "out").glob(".*"))


def test_a_folder_that_another_process_has_filled_meanwhile(tmp_path):
    from lmv3det.checkpoint.folder import new_folder

    message = "model: another process has written it meanwhile"
    with pytest.raises(InputError, match=message), new_folder(tmp_path / "model") as draft:
        (draft / "mine").write_text("")
        (tmp_path / "model").mkdir()
        (tmp_path / "model/theirs").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


KILLED = """
import os, signal, sys
from pathlib import Path
from lmv3det.files import replacing, replacing_folder
with (replacing_folder if sys.argv[1] == "folder" else replacing)(Path(sys.argv[2])) as draft:
    draft.mkdir(exist_ok=True) if sys.argv[1] == "folder" else draft.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_job_left_is_removed_by_the_next(kind, tmp_path):
    from lmv3det.files import remove_leftovers, temporary_path

    path = tmp_path / "model.onnx"
    subprocess.run([sys.executable, "-c", KILLED, kind, str(path)])
    assert len(list(tmp_path.glob(".*"))) == 1
    own = temporary_path(path)
    own.write_text("of this process, which lives")
    (tmp_path / ".notes").write_text("of the user")
    remove_leftovers(path)
    assert {left.name for left in tmp_path.iterdir()} == {own.name, ".notes"}


def test_numbers_that_are_digits_but_no_decimals(tmp_path, monkeypatch):
    """`"³".isdigit()`, but it is no number for int()."""
    from lmv3det.data.images import find_pages
    from lmv3det.inference.onnx_model import _default_threads

    for name in ("5³6.png", "56.png"):
        Image.new("RGB", (20, 20)).save(tmp_path / name)
    assert len(find_pages([tmp_path])) == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "³")
    assert _default_threads() >= 1


def test_a_job_that_locks_a_folder_leaves_the_files_that_others_are_writing(tmp_path):
    """Such as an export into the folder of a run."""
    from lmv3det.files import temporary_path

    own = temporary_path(tmp_path / "model.onnx").name
    names = {who: own.replace(str(os.getpid()), str(who)) for who in (os.getppid(), 2**22 + 1)}
    for name in (own, *names.values()):
        (tmp_path / name).write_text("half")
    with lock_folder(tmp_path, "a test"):
        assert [path.name for path in tmp_path.glob(".*.onnx")] == [names[os.getppid()]]
