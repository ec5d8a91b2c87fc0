"""The command line: listing, exit codes, what is imported when."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
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
    assert re.fullmatch(r"\d+\.\d+\.\d+", lmv3det.__version__)
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None and cited.group(1) == lmv3det.__version__
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


def test_settings_given_as_options_are_hinted_at(capsys):
    """Failed before: `unrecognized arguments` was all that was said."""
    assert cli.main(["train", "--config", "x.yaml", "--batch-size", "2"]) == 2
    err = capsys.readouterr().err
    assert "unrecognized arguments: --batch-size" in err and "solver.batch_size=2" in err
    assert cli.main(["train", "--config", "x.yaml", "--solver.lr=0.1"]) == 2
    assert capsys.readouterr().err.endswith("written without dashes: solver.lr=0.1\n")
    assert cli.main(["train", "--config", "x.yaml", "--nonsense", "2"]) == 2
    assert "a setting" not in capsys.readouterr().err
    assert cli.main(["ocr", "x.png", "--out", "y", "--batch-size", "2"]) == 2
    assert "a setting" not in capsys.readouterr().err


def test_the_nearest_option_is_named(capsys):
    """Failed before: `unrecognized arguments` was all that was said."""
    assert cli.main(["predict", "x.png", "--score-threshold", "0.5"]) == 2
    assert capsys.readouterr().err.endswith("--score-threshold 0.5; did you mean --score?\n")
    assert cli.main(["predict", "x.png", "--presision=bf16"]) == 2
    assert "did you mean --precision?" in capsys.readouterr().err
    assert cli.main(["predict", "x.png", "--zzz"]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_names_are_printed_escaped(command, capsys, caplog):
    """Failed before: a name could clear the line, or add one that says that all is well."""
    command.run = failing(InputError("a\x1b[2K\u202epage\udcff.png: no image"))
    assert cli.main(["try", "x"]) == 1
    assert capsys.readouterr().err == "lmv3det try: a\\x1b[2K\\u202epage\\udcff.png: no image\n"
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s\n%d faults", ("a\x1b.png", 0), None)
    assert cli._Formatter("%(message)s").format(record) == "a\\x1b.png\\n0 faults"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams(closed):
    """Failed before: AttributeError: 'NoneType' object has no attribute 'flush'."""
    command = f"{sys.executable} -m lmv3det --version {closed}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", command], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")


def test_sigterm_ends_a_command_as_ctrl_c_does(command, capsys):
    """Failed before: nothing was kept or cleaned up."""
    cleaned = []

    def run(args):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            cleaned.append(True)

    command.run = run
    assert cli.main(["try", "x"]) == 143
    assert cleaned and capsys.readouterr().err == "lmv3det try: ended by SIGTERM\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_paths_are_checked_before_torch_is_imported(tmp_path):
    """Failed before for a checkpoint that is not there: 5 to 6 s until the message."""
    (tmp_path / "page.png").write_bytes(b"")
    for words in (["none.png", "--ckpt", "x"], [str(tmp_path / "page.png"), "--ckpt", "none.pth"]):
        done = python(
            "-c",
            "import sys; from lmv3det.cli import main\n"
            f"assert main(['predict', *{words!r}]) == 1\n"
            "heavy = {'torch', 'transformers', 'torchvision', 'matplotlib', 'tensorboard'}\n"
            "print(heavy & set(sys.modules), file=sys.stderr)",
        )
        assert done.returncode == 0, done.stderr
        first, second = done.stderr.splitlines()
        assert "no such" in first and second == "set()"


def test_a_command_says_at_once_that_it_starts(monkeypatch, capsys):
    """To a terminal alone; help and a wrong command line need no torch."""
    import lmv3det.cli.predict as module

    said: list[str] = []
    monkeypatch.setattr(module, "run", lambda args: said.append(capsys.readouterr().err) or 0)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert cli.main(["predict", "page.png"]) == 0
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert cli.main(["predict", "page.png"]) == 0
    assert said == ["", "lmv3det predict: loading torch …\n"]
    assert cli.main(["predict", "--help"]) == 0 and cli.main(["predict", "--wrong", "x"]) == 2
    assert "loading" not in capsys.readouterr().err


def test_a_traceback_on_request(monkeypatch, capsys, tmp_path):
    words = ["check", "--annotations", str(tmp_path / "no.json"), "--images", str(tmp_path)]
    monkeypatch.delenv("LMV3DET_TRACEBACK", raising=False)
    assert cli.main(words) == 1
    plain = capsys.readouterr().err
    assert plain.count("\n") == 1 and "Traceback" not in plain
    monkeypatch.setenv("LMV3DET_TRACEBACK", "1")
    assert cli.main(words) == 1
    told = capsys.readouterr().err
    assert told.startswith(plain) and "Traceback (most recent call last)" in told


def test_the_traceback_of_ones_own_class(monkeypatch, capsys, tmp_path):
    """One line, and below it where in the user's file it was raised."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("LMV3DET_TRACEBACK", raising=False)
    (tmp_path / "my_fusion.py").write_text(
        "from lmv3det.model.fusion import Fusion\n\n"
        "class Mine(Fusion):\n"
        "    def __init__(self, hidden, **options):\n"
        "        raise KeyError('my own mistake')\n"
    )
    words = ["train", "--config", "af2", "--size", "tiny", "fusion.kind=my_fusion:Mine"]
    monkeypatch.setattr("lmv3det.engine.run.train", _building)
    assert cli.main(words) == 1
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith("lmv3det train: fusion.kind is 'my_fusion:Mine'")
    assert rest[0] == "Traceback (most recent call last):" and "my_fusion.py" in rest[1]
    assert rest[-1] == "KeyError: 'my own mistake'"


def _building(config, **options):
    from lmv3det.model.detector import build_detector

    build_detector(config)


def test_train_takes_a_size(monkeypatch, tmp_path):
    """`--size tiny`: the system of the config, with sizes, rates and budget for a CPU."""
    import lmv3det.engine.run
    from lmv3det.ablation.systems import read_systems, system_config
    from lmv3det.cli import main

    taken = []

    def train(config, **options):
        taken.append(config)
        return tmp_path

    monkeypatch.setattr(lmv3det.engine.run, "train", train)
    words = ["train", "--config", "af2", "--size", "tiny", "solver.lr=1e-5", "output_dir=x"]
    assert main(words) == 0
    (system,) = read_systems(["af2"])
    assert taken == [system_config(system, "tiny", ["solver.lr=1e-5", "output_dir=x"])]
    assert taken[0].fusion.kind == "gated" and taken[0].backbone.hidden_size < 768
    assert main(["train", "--config", "nothing_here", "--size", "tiny"]) == 1
