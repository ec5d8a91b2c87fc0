"""What `pip install .` gives: every room and the configs, found from any folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lmv3det.ablation.systems import SYSTEMS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of a copy, so that nothing is built within the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("lmv3det", "pagegen", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), "--quiet"]
    subprocess.run(command, check=True, timeout=300)
    (path,) = folder.glob("*.whl")
    return path


def test_every_module_config_and_asset_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {
            n: archive.read(n) for n in archive.namelist() if n.startswith(("lmv3det/", "pagegen/"))
        }
    sources = [p for name in ("lmv3det", "pagegen") for p in (ROOT / name).rglob("*.py")]
    wanted = {str(p.relative_to(ROOT)): p for p in sources}
    for folder in ("assets", "evaluation/templates", "visualization/templates", "serve/page"):
        files = (p for p in (ROOT / "lmv3det" / folder).rglob("*") if p.is_file())
        wanted |= {str(p.relative_to(ROOT)): p for p in files}
    wanted |= {str(p.relative_to(ROOT)): p for p in (ROOT / "pagegen").rglob("*.js")}
    wanted |= {f"{name}/py.typed": ROOT / name / "py.typed" for name in ("lmv3det", "pagegen")}
    wanted |= {f"lmv3det/configs/{p.name}": p for p in (ROOT / "configs").glob("*.yaml")}
    assert packed.keys() == wanted.keys()
    for name, path in wanted.items():
        assert packed[name] == path.read_bytes(), name


def test_installed_it_runs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    """Installed alone into a folder of its own; the dependencies are those of this Python."""
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*install, "--target", str(site), str(wheel)], check=True, timeout=300)
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *words],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    (work / "mine.yaml").write_text("base: af2\nseed: 3\n")
    script = f"""
import lmv3det
from lmv3det.ablation.systems import SYSTEMS, read_systems, system_config
from lmv3det.config import load_config

assert lmv3det.__file__.startswith({str(site)!r}), lmv3det.__file__
assert load_config("af2").fusion.kind == load_config("mine.yaml").fusion.kind == "gated"
assert load_config("mine.yaml").seed == 3
for system in read_systems(SYSTEMS):
    assert str(system.path).startswith({str(site)!r}), system.path
    assert system_config(system, "tiny").backbone.hidden_size == 96
print(len(read_systems(SYSTEMS)), "systems")
"""
    done = run("-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{len(SYSTEMS)} systems"
    done = run("-m", "lmv3det", "ablation", "--configs", "af3", "--data", ".", "--out", "out")
    assert done.returncode == 1
    assert "--configs: no config named 'af3'" in done.stderr and "af2_rm_fpn768" in done.stderr


def test_nothing_is_installed_by_a_name_that_could_be_anothers() -> None:
    """Failed before: some messages and pages gave `pip install lmv3det[…]`, a name on the package
    index that this project does not own."""
    files = [*(ROOT / "lmv3det").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    by_name = re.compile(r"pip install [^`\n]*['\" ]lmv3det\b")
    assert [str(file) for file in files if by_name.search(file.read_text(encoding="utf-8"))] == []
