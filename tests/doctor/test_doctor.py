"""The doctor: what it finds, and what it says where something is broken."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_detector import tiny_config

from lmv3det.cli import main
from lmv3det.convert.parameter_names import detectron2_name, to_detectron2
from lmv3det.device import choose_device, choose_precision, describe
from lmv3det.doctor import machine, packages, published, selftest
from lmv3det.doctor.findings import Finding, examine
from lmv3det.doctor.rule import weights_by_name
from lmv3det.model.detector import build_detector

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "parity"))

from weights import deterministic_state_dict  # noqa: E402


def states(findings) -> list[str]:
    return [finding.state for finding in findings]


def test_this_installation_works(capsys):
    """It says the device and precision that the commands choose, in one line a subject."""
    assert main(["doctor"]) == 0
    *lines, _, last = capsys.readouterr().out.splitlines()
    assert last.startswith("all works; advice: ")
    assert all(re.match(r"(ok|advice|absent) +\w", line) for line in lines)
    device = choose_device("auto")
    words = describe(device, choose_precision("auto", device))
    assert any(line.startswith("ok      device") and words in line for line in lines)
    assert any(re.match(r"ok +bundled model +finds", line) for line in lines)


def test_the_precision_asked_for_is_used():
    (finding,) = machine.check_device("cpu", "bf16")
    assert finding.text == "cpu in bfloat16"


def test_something_broken_is_one_line_with_its_fix_and_exit_1(capsys, monkeypatch):
    def missing():
        raise ImportError("libfoo.so:\nno such file")
        yield

    monkeypatch.setattr(packages, "check_operators", missing)
    for name in ("check_parity", "check_bundled_model"):
        monkeypatch.setattr(selftest, name, lambda *_: iter(()))
    assert main(["doctor"]) == 1
    broken = [x for x in capsys.readouterr().out.splitlines() if x.startswith("broken")]
    assert len(broken) == 2  # and the count at the end
    assert "ImportError: libfoo.so: no such file. Fix: pip install --force-reinstall" in broken[0]
    assert broken[1] == "broken: 1; advice: none" or broken[1].startswith("broken: 1; advice: ")


def test_a_device_that_is_not_there_is_broken_not_a_crash(capsys):
    assert main(["doctor", "--device", "cuda:77"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"broken  device .*Fix: set --device", out)


def test_findings_escape_what_names_hold():
    (finding,) = examine("x", lambda: iter([Finding("x", "a\x1b[2J")]), "y")
    assert "\x1b" not in str(finding)


# -- packages --


@pytest.fixture
def requires(monkeypatch):
    """Changes what the installed lmv3det asks for."""

    def ask(*lines: str) -> None:
        monkeypatch.setattr(metadata, "requires", lambda name: list(lines))
        extras = {"a": None} if any("extra" in line for line in lines) else {}
        monkeypatch.setattr(
            metadata, "metadata", lambda name: SimpleNamespace(get_all=lambda key: list(extras))
        )

    return ask


def test_missing_and_old_packages_are_broken(requires):
    requires("numpy>=1", "torch>=999", "no-such-package>=2")
    found = list(packages.check_packages())
    assert [f.subject for f in found] == ["torch", "no-such-package"]
    assert states(found) == ["broken", "broken"]
    assert "not >=999" in found[0].text and found[0].fix == 'pip install "torch>=999"'


def test_an_extra_is_there_or_says_how_to_get_it(requires):
    requires('numpy>=1; extra == "a"')
    assert states(packages.check_extras()) == ["ok"]
    requires('numpy>=1; extra == "a"', 'no-such-package; extra == "a"')
    (finding,) = packages.check_extras()
    assert finding.state == "absent" and finding.fix.startswith('`pip install ".[a]"`')


def test_an_extra_needs_its_program(requires, monkeypatch):
    requires('numpy; extra == "a"')
    monkeypatch.setitem(packages.PROGRAMS, "a", "no-such-program")
    (finding,) = packages.check_extras()
    assert finding.state == "absent" and "no-such-program" in finding.text


def test_every_extra_is_explained():
    project = (ROOT / "pyproject.toml").read_text()
    section = project.split("[project.optional-dependencies]")[1].split("[project.scripts]")[0]
    assert set(re.findall(r"^(\w+) = \[", section, re.MULTILINE)) == set(packages.BRINGS)


def test_torchvision_of_another_torch_is_told(monkeypatch):
    monkeypatch.setattr("torchvision.ops.nms", lambda *_: torch.tensor([0, 2]))
    (finding,) = packages.check_operators()
    assert finding.state == "broken" and "[0, 2]" in finding.text


# -- the machine --


@pytest.mark.parametrize(("threads", "state"), [(1, "advice"), (4, "ok"), (9, "advice")])
def test_threads_are_as_many_as_cores(monkeypatch, threads, state):
    monkeypatch.setattr("lmv3det.data.loader.usable_cores", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    finding = next(machine.check_threads("cpu"))
    assert finding.state == state
    assert state == "ok" or "OMP_NUM_THREADS=4" in finding.fix


def test_the_allocator_is_told_of_where_it_is_glibcs(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    for name in machine.ALLOCATOR:
        monkeypatch.delenv(name, raising=False)
    *_, finding = machine.check_threads("cpu")
    assert finding.state == "advice" and "MALLOC_MMAP_MAX_=0" in finding.fix
    for name, value in machine.ALLOCATOR.items():
        monkeypatch.setenv(name, value)
    assert [f.state for f in machine.check_threads("cpu")][-1] == "ok"
    makefile = (ROOT / "Makefile").read_text()
    assert " ".join(f"{n}={v}" for n, v in machine.ALLOCATOR.items()) in makefile


def test_little_shared_memory_is_told(monkeypatch, tmp_path):
    for free, state in ((1 << 20, "advice"), (1 << 40, "ok")):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        (finding,) = machine.check_shared_memory(tmp_path)
        assert finding.state == state
    assert list(machine.check_shared_memory(tmp_path / "none"))


# -- the self-test --


def test_the_rule_is_that_of_the_originals_arrays():
    with torch.device("meta"):
        model = build_detector(tiny_config(model={"mask_on": False}))
    shapes = {detectron2_name(n): tuple(p.shape) for n, p in model.named_parameters()}
    shapes |= {f"{n}.running_{k}": (8,) for n in ("fpn1.1", "bn") for k in ("mean", "var")}
    wanted = deterministic_state_dict(shapes)
    for name, value in weights_by_name(shapes).items():
        assert np.array_equal(value.numpy(), wanted[name]), name


def test_the_packed_arrays_are_the_originals():
    with (
        np.load(selftest.FOLDER / "arrays.npz") as ours,
        np.load(ROOT / "tests/parity/tiny_image_only_eval.npz") as theirs,
    ):
        assert np.array_equal(ours["page"], theirs["image0"])
        for name in ("boxes", "scores", "classes"):
            assert np.array_equal(ours[name], theirs[f"default0.{name}"])
    assert sum(path.stat().st_size for path in selftest.FOLDER.iterdir()) < 300_000


@pytest.mark.parametrize(("error", "text"), [(1e-6, "pixels from the original"), (1e-2, "others")])
def test_wrong_numbers_are_broken(monkeypatch, error, text):
    """One layer whose weights are off: by little, the boxes move; by more, others are kept."""
    import lmv3det.doctor.rule as rule

    right = rule.weights_by_name

    def changed(shapes):
        weights = right(shapes)
        next(w for n, w in weights.items() if n.endswith("bbox_pred.weight")).mul_(1 + error)
        return weights

    monkeypatch.setattr(rule, "weights_by_name", changed)
    (finding,) = selftest.check_parity("cpu")
    assert finding.state == "broken" and text in finding.text and finding.fix


def test_found_regions_are_counted():
    truth = [
        {"category": "Text", "bbox": [0, 0, 10, 10]},
        {"category": "Title", "bbox": [0, 20, 10, 4]},
    ]
    half = {"category": "Text", "bbox": [0, 0, 10, 5]}
    less = {"category": "Text", "bbox": [0, 0, 10, 4.9]}
    other = {"category": "Text", "bbox": [0, 20, 10, 4]}
    assert selftest.count_found(truth, [half]) == 1
    assert selftest.count_found(truth, [less, other]) == 0


def test_a_model_that_finds_little_is_broken(monkeypatch):
    monkeypatch.setattr(selftest, "count_found", lambda truth, found: len(truth) // 2)
    (finding,) = selftest.check_bundled_model("cpu", "auto")
    assert finding.state == "broken" and "finds" in finding.text


# -- the published detector --


def metrics(**changed: float) -> dict:
    figures = {**published.PUBLISHED, **changed}
    return {
        "AP": sum(figures.values()) / 5,
        "per_class": {name.lower(): {"AP": value} for name, value in figures.items()},
    }


def test_the_published_mean_is_that_of_the_classes():
    assert sum(published.PUBLISHED.values()) / 5 == pytest.approx(published.OVERALL)


def test_agreement_is_by_class_within_the_tolerance():
    assert all(row.agrees for row in published.compare(metrics(), 0))
    assert all(row.agrees for row in published.compare(metrics(Text=94.8), 0.3))
    rows = published.compare(metrics(Text=94.89), 0.3)
    assert [row.name for row in rows if not row.agrees] == ["Text"]
    rows = published.compare(metrics(Title=80), 0.3)
    assert [row.name for row in rows if not row.agrees] == ["Title", "all"]
    del (lacking := metrics())["per_class"]["list"]
    assert [r.name for r in published.compare(lacking, 9) if not r.agrees] == ["List"]


@pytest.fixture
def published_layout(tmp_path) -> Path:
    """A checkpoint as detectron2 writes it, small and untrained."""
    torch.manual_seed(0)
    model = build_detector(tiny_config(model={"num_classes": 5}))
    path = tmp_path / "model_final.pth"
    torch.save({"model": to_detectron2(model.state_dict()), "iteration": 60_000}, path)
    return path


SETTINGS = [
    "backbone.heads=2", "backbone.out_indices=[0, 1, 2, 3]", "rpn.anchor_sizes=[8, 16, 32, 48, 64]",
    "rpn.post_nms_test=20", "input.min_size_test=64", "input.max_size_test=96", "data.workers=0",
]  # fmt: skip


def test_another_detector_differs(published_layout, lmv3det_data, capsys):
    """A stand-in in the published layout, on real pages."""
    words = ["--publaynet", str(lmv3det_data / "publaynet"), "--device", "cpu"]
    assert main(["doctor", str(published_layout), *words, *SETTINGS]) == 1
    out = capsys.readouterr().out
    assert "| Text   |         94.5 |" in out and "not the 11245" in out
    assert out.splitlines()[-1].startswith("differs: Text, Title, List, Table, Figure, all not")


def test_the_same_detector_agrees(published_layout, lmv3det_data, capsys, monkeypatch):
    class Same:
        metrics = {"bbox": metrics()}  # noqa: RUF012

    monkeypatch.setattr(published, "measure", lambda *_, **__: (Same, published.PAGES))
    words = ["--publaynet", str(lmv3det_data / "publaynet")]
    assert main(["doctor", str(published_layout), *words]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "agrees: within 0.3 points of the published AP"
    )


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["x.pth"], "CKPT and --publaynet DIR go together"),
        (["--publaynet", "."], "CKPT and --publaynet DIR go together"),
        (["x.pth", "--publaynet", "nowhere"], "no PubLayNet there; it must have val.json"),
        (["x.pth", "--publaynet", ".", "--tolerance", "-1"], "--tolerance is -1.0"),
        (["x.pth", "--publaynet", ".", "--tolerance", "nan"], "--tolerance is nan"),
    ],
)
def test_wrong_requests(words, wanted, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", *words]) == 1
    err = capsys.readouterr().err
    assert wanted in err and err.count("\n") == 1


def test_the_tolerance_is_stated_once():
    from lmv3det.cli import doctor

    assert doctor.TOLERANCE == published.TOLERANCE
