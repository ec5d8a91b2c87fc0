"""The command line: `lmv3det COMMAND …`.

A command is a module with `add_arguments(parser)` and `run(args) -> int`, imported when it is
asked for. Exit codes: 0 done, 1 the input is at fault (one line on standard error), 2 a wrong
command line, 130 interrupted, 143 ended by SIGTERM.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from lmv3det import __version__
from lmv3det.errors import InputError, printable

COMMANDS = {
    "train": ("lmv3det.cli.train", "train a detector"),
    "evaluate": ("lmv3det.cli.evaluate", "score a checkpoint on annotated pages"),
    "report": ("lmv3det.cli.report", "show where COCO results fail, in one HTML page"),
    "predict": ("lmv3det.cli.predict", "find the regions of images, folders and PDF files"),
    "batch": ("lmv3det.cli.batch", "find the regions of a corpus, on one machine or many"),
    "serve": ("lmv3det.cli.serve", "show regions in a browser, and answer programs"),
    "ocr": ("lmv3det.cli.ocr", "read the text lines of images, folders and PDF files"),
    "convert": ("lmv3det.cli.convert", "change weights from and to other formats"),
    "export": ("lmv3det.cli.export", "write a detector as an ONNX or TorchScript file"),
    "check": ("lmv3det.cli.check", "look for issues in a data set"),
    "harvest": ("lmv3det.cli.harvest", "make training data from tagged PDF, without annotation"),
    "convert-config": ("lmv3det.cli.convert_config", "turn a detectron2 yaml into a config"),
    "train-tokenizer": ("lmv3det.cli.train_tokenizer", "make a tokenizer from OCR files"),
    "doctor": ("lmv3det.cli.doctor", "check the installation, and say what the commands will use"),
    "shards": ("lmv3det.cli.shards", "write a data set as tar files, for training on many hosts"),
    "ablation": ("lmv3det.cli.ablation", "train several systems and print their table"),
    "synthetic": ("lmv3det.cli.synthetic", "make pages with exact annotations"),
}
"""Command → (module, one line of help)."""
SLOW_TO_START = {"train", "evaluate", "predict", "batch", "serve", "convert", "export", "ablation"}
"""Commands that load torch, which takes seconds."""

DONE, INPUT_FAULT, WRONG_COMMAND_LINE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C would keep and clean up is kept and cleaned up."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words after `lmv3det`; None: those of this process.

    Returns:
        The exit code. Errors other than the user's are raised.
    """
    _open_closed_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _sigterm_raises():
            code = _main(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone. Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INPUT_FAULT
    return code


def _main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(listing())
        return DONE
    name = words[0]
    if name in ("-V", "--version"):
        print(f"lmv3det {__version__}")
        return DONE
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        print(f"lmv3det: no command {name!r}{hint}; `lmv3det` lists them", file=sys.stderr)
        return WRONG_COMMAND_LINE
    try:
        return _run(name, words[1:])
    except InputError as error:
        _complain(name, error)
        return INPUT_FAULT
    except BrokenPipeError:
        raise
    except OSError as error:  # no room, no permission, a file where a folder should be
        _complain(name, error)
        return INPUT_FAULT
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, not imported for this alone
            raise
        print(
            f"lmv3det {name}: the GPU's memory is full ({' '.join(str(error).split())[:200]}): "
            "take fewer pages a batch, a smaller input.min_size_test, or another device",
            file=sys.stderr,
        )
        return INPUT_FAULT
    except Terminated:
        _complain(name, "ended by SIGTERM")
        return TERMINATED
    except KeyboardInterrupt:
        _complain(name, "interrupted")
        return INTERRUPTED


def _complain(name: str, error: object) -> None:
    """One line on standard error. Names in it come from files, and could hold anything."""
    print(f"lmv3det {name}: {printable(' '.join(str(error).split()))}", file=sys.stderr)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does, unless somebody has a handler already."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _open_closed_streams() -> None:
    """Standard streams that were closed lead nowhere, rather than into the first file opened."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        mode = "r" if number == 0 else "w"
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # its encoding may lack what names hold
            stream.reconfigure(errors="backslashreplace")


class _Formatter(logging.Formatter):
    """One line a message, whatever the names in it hold."""

    def format(self, record: logging.LogRecord) -> str:
        record.msg, record.args = printable(record.getMessage()), None
        return super().format(record)


class _Parser(argparse.ArgumentParser):
    """A parser that names the nearest option, or the setting that was given as an option."""

    words: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        if "unrecognized arguments" in message:
            hint = ""
            if "overrides" in {a.dest for a in self._actions}:
                hint = _setting_hint(self.words)
            message += hint or _option_hint(self.words, self._option_string_actions)
        super().error(message)


def _option_hint(words: Sequence[str], options: Iterable[str]) -> str:
    """For `--score-threshold 0.5`: the option of this command that is meant, `--score`."""
    known = [option for option in options if option.startswith("--")]
    meant = []
    for word in words:
        given = word.partition("=")[0]
        if not given.startswith("--") or given in known:
            continue
        longer = [option for option in known if given.startswith(option + "-")]
        meant += longer or difflib.get_close_matches(given, known, n=1)
    return f"; did you mean {' and '.join(meant)}?" if meant else ""


def _setting_hint(words: Sequence[str]) -> str:
    """For `--batch-size 2`: how the settings of this name are written."""
    from lmv3det.config import walk

    settings = [key for key, _ in walk()]
    hints = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if not option.startswith("--"):
            continue
        if not equals:
            value = following if following and not following.startswith("-") else "VALUE"
        name = option[2:].replace("-", "_")
        hints += [f"{key}={value}" for key in settings if name in (key, key.rpartition(".")[2])]
    return f"; a setting is written without dashes: {' or '.join(hints)}" if hints else ""


def _run(name: str, words: list[str]) -> int:
    module_name, line = COMMANDS[name]
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(f"lmv3det {name}: %(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("lmv3det").setLevel(logging.INFO)
    module = importlib.import_module(module_name)
    parser = _Parser(prog=f"lmv3det {name}", description=f"{line[0].upper()}{line[1:]}.")
    parser.words = words
    module.add_arguments(parser)
    try:
        # Intermixed, so that key=value words may stand before, between and after options.
        args = parser.parse_intermixed_args(words)
    except SystemExit as stop:  # --help, or argparse has explained what is wrong
        return int(stop.code or 0)
    if name in SLOW_TO_START and sys.stderr.isatty() and "torch" not in sys.modules:
        print(f"lmv3det {name}: loading torch …", file=sys.stderr, flush=True)
    return module.run(args) or DONE


def listing() -> str:
    """Every command with its line of help."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, (_, line) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: lmv3det COMMAND …",
            "",
            "Document layout detection with LayoutLMv3.",
            "",
            *lines,
            "",
            "`lmv3det COMMAND --help` explains a command.",
        ]
    )
