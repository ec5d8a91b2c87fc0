"""README.md and README_zh.md: the same commands, all of which exist."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

import lmv3det
from lmv3det.cli.commands import COMMANDS
from lmv3det.cli.parsing import _Parser
from lmv3det.config import load_config, walk

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README_zh.md")
SCRIPTS = ("train.py", "evaluate.py", "predict.py")
OF_THE_MODEL = ("docs/pictures/pages.png", "docs/model_card.md")
"""Files that come with the bundled model."""
HAS_MODEL = (ROOT / "lmv3det/assets/cdla").is_dir()


def blocks(name: str) -> list[tuple[str, str]]:
    """Language and content of the code blocks, without comments."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(kind, re.sub(r" *# .*", "", content)) for kind, content in found]


def lines() -> list[str]:
    """The shell commands of README.md."""
    shell = "".join(content for kind, content in blocks("README.md") if kind == "sh")
    return shell.replace("\\\n", " ").splitlines()


def test_both_readmes_have_the_same_code() -> None:
    first, second = map(blocks, READMES)
    assert first == second
    assert {kind for kind, _ in first} == {"sh", "python", "yaml"}


def words_of(line: str) -> tuple[str, list[str]] | None:
    """Command and arguments of a line that runs lmv3det; None for another one."""
    words = shlex.split(line)
    if words[0] == "lmv3det":
        return words[1], words[2:]
    for script in SCRIPTS:
        if script in words:
            return script.removesuffix(".py"), words[words.index(script) + 1 :]
    return None


@pytest.mark.parametrize("line", lines())
def test_every_command_is_right(line: str) -> None:
    command = words_of(line)
    words = shlex.split(line)
    if command is not None:
        assert command[0] in COMMANDS, line
        parser = _Parser(prog=line)
        importlib.import_module(COMMANDS[command[0]][0]).add_arguments(parser)
        args = parser.parse_intermixed_args(command[1])  # SystemExit for a wrong option
        settings = {key for key, _ in walk()}
        for override in getattr(args, "overrides", []):
            assert override.partition("=")[0] in settings, override
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
    elif words[:2] == ["pip", "install"]:
        extras = re.findall(r"[\w]+", words[2].partition("[")[2])
        project = (ROOT / "pyproject.toml").read_text()
        assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras), line
    else:
        assert words[0] == "python" and all((ROOT / path).exists() for path in words[1:]), line


def test_the_config_is_read(tmp_path: Path) -> None:
    (content,) = [content for kind, content in blocks("README.md") if kind == "yaml"]
    (tmp_path / "pages.yaml").write_text(content, encoding="utf-8")
    config = load_config(tmp_path / "pages.yaml")
    assert config.model.weights == "default" and config.output_dir == "output"
    assert config.model.num_classes is None, "as many as the pages have"


def test_python_imports_what_there_is() -> None:
    for content in (content for kind, content in blocks("README.md") if kind == "python"):
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.ImportFrom):
                assert all(hasattr(lmv3det, name.name) for name in node.names)
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "page":
                from lmv3det.inference.detections import PageDetections

                assert hasattr(PageDetections, node.attr), node.attr


@pytest.mark.parametrize("name", READMES)
def test_every_name_is_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for path in re.findall(r"\]\(([^)#]+)", text):
        if HAS_MODEL or path not in OF_THE_MODEL:
            assert (ROOT / path).exists(), path
    for config in re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE):
        assert (ROOT / "configs" / f"{config}.yaml").is_file(), config
    settings = {key for key, _ in walk()}
    sections = {key.partition(".")[0] for key in settings}
    for key in re.findall(r"`(\w+\.\w+)(?:=[^`]*)?`", text):
        assert key in settings or key.partition(".")[0] not in sections, key
