"""The command line: listing, exit codes, what is imported when."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import lmv3det
from lmv3det.cli import app as cli
from lmv3det.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def python(*words: str, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = {"capture_output": True, "text": True, "timeout": 300, "env": environment} | options
    return subprocess.run([sys.executable, *words], **options)


def test_listing():
    done = python("-m", "lmv3det")
    assert (done.returncode, done.stderr) == (0, "")
    for name, (_, line) in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", done.stdout, re.MULTILINE)


def test_help_imports_no_torch():
    """Of the list, of the package and of the commands that people ask for help first."""
    done = python(
        "-c",
        "import sys, lmv3det; from lmv3det.cli import main\n"
        "assert main([]) == main(['evaluate', '--help']) == main(['predict', '-h']) == 0\n"
        "print('torch' in sys.modules, file=sys.stderr)",
    )
    assert (done.returncode, done.stderr) == (0, "False\n")
    assert "--annotations" in done.stdout and "--ckpt" in done.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name, capsys):
    module = importlib.import_module(cli.COMMANDS[name][0])
    assert callable(module.run)
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: lmv3det {name} ")
    assert cli.main([name, "--no-such-option"]) == 2


def test_names_of_the_package():
    assert lmv3det.Detector.load and lmv3det.build_detector
    assert lmv3det.load_config() and lmv3det.load_checkpoint
    assert set(lmv3det.__all__) <= set(dir(lmv3det))
    with pytest.raises(AttributeError, match="Detecter"):
        lmv3det.Detecter  # noqa: B018


def test_version(capsys):
    declared = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared is not None and lmv3det.__version__ == declared.group(1)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"lmv3det {lmv3det.__version__}\n"


@pytest.fixture
def command(monkeypatch):
    """A command `try` that calls what the test sets as `run`."""
    module = SimpleNamespace(seen=[])

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--out")
        parser.add_argument("overrides", nargs="*")

    module.add_arguments = add_arguments
    module.run = lambda args: module.seen.append(args)
    monkeypatch.setitem(cli.COMMANDS, "try", ("lmv3det.try", "for a test"))
    monkeypatch.setitem(sys.modules, "lmv3det.try", module)
    return module


def failing(error: BaseException):
    def run(args):
        raise error

    return run


def test_key_value_words_may_stand_anywhere(command):
    assert cli.main(["try", "a.pth", "x.y=1", "--out", "o", "z=2"]) == 0
    args = command.seen[0]
    assert (args.file, args.out, args.overrides) == ("a.pth", "o", ["x.y=1", "z=2"])


def test_exit_codes(command, capsys):
    assert cli.main(["try"]) == 2  # argparse explains
    assert "usage: lmv3det try" in capsys.readouterr().err
    command.run = lambda args: 1
    assert cli.main(["try", "x"]) == 1
    command.run = failing(InputError("x.json: entry 3:\n  bad value"))
    assert cli.main(["try", "x"]) == 1
    assert capsys.readouterr().err == "lmv3det try: x.json: entry 3: bad value\n"
    command.run = failing(KeyboardInterrupt())
    assert cli.main(["try", "x"]) == 130
    assert capsys.readouterr().err == "lmv3det try: interrupted\n"
    command.run = failing(PermissionError(13, "Permission denied", "out/x.json"))
    assert cli.main(["try", "x"]) == 1
    assert "lmv3det try: [Errno 13] Permission denied: 'out/x.json'" in capsys.readouterr().err
    command.run = failing(torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"))
    assert cli.main(["try", "x"]) == 1
    assert "memory is full (CUDA out of memory." in capsys.readouterr().err
    command.run = failing(RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        cli.main(["try", "x"])
    command.run = failing(ZeroDivisionError())  # a mistake of ours keeps its traceback
    with pytest.raises(ZeroDivisionError):
        cli.main(["try", "x"])


def test_unknown_command(capsys):
    assert cli.main(["evalute", "x"]) == 2
    assert "no command 'evalute' (did you mean 'evaluate'?)" in capsys.readouterr().err
    assert cli.main(["--nonsense"]) == 2


def test_reader_that_goes_away():
    read, write = os.pipe()
    os.close(read)
    done = python("-m", "lmv3det", capture_output=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
