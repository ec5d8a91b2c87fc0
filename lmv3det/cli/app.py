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
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lmv3det import __version__
from lmv3det.cli.commands import COMMANDS, GROUPS
from lmv3det.cli.parsing import make_parser
from lmv3det.errors import InputError, printable, set_value, users_traceback

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


def _complain(name: str, error: object, text: str | None = None) -> None:
    """One line on standard error. Names in it come from files, and could hold anything.

    Where the user's own code raised the cause, its traceback follows; with `LMV3DET_TRACEBACK=1`
    in the environment that of every error."""
    text = str(error) if text is None else text
    print(f"lmv3det {name}: {printable(' '.join(text.split()))}", file=sys.stderr)
    if isinstance(error, BaseException):
        if os.environ.get("LMV3DET_TRACEBACK") == "1":
            traceback.print_exception(error)
        else:
            print(users_traceback(error), end="", file=sys.stderr)


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


def _run(name: str, words: list[str]) -> int:
    parser = make_parser(name)
    parser.words = words
    try:
        # Intermixed, so that key=value words may stand before, between and after options.
        args = parser.parse_intermixed_args(words)
    except SystemExit as stop:  # --help, or argparse has explained what is wrong
        return int(stop.code or 0)
    args.parsers = lambda: {each: make_parser(each) for each in COMMANDS}
    if args.quiet and args.verbose:
        raise InputError("--quiet and --verbose: give one of them")
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(f"lmv3det {name}: %(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    level = logging.ERROR if args.quiet else logging.DEBUG if args.verbose else logging.INFO
    logging.getLogger("lmv3det").setLevel(level)
    if (
        name in SLOW_TO_START
        and not args.quiet
        and sys.stderr.isatty()
        and ("torch" not in sys.modules)
    ):
        print(f"lmv3det {name}: loading torch …", file=sys.stderr, flush=True)
    try:
        with _bars(shown=not args.quiet and sys.stderr.isatty()):
            return importlib.import_module(COMMANDS[name][0]).run(args) or DONE
    except InputError as error:
        _complain(name, error, error.sentence(named=lambda setting: _as_option(setting, args)))
        return INPUT_FAULT


def _as_option(setting: str, args: argparse.Namespace) -> str:
    """How a setting is named where it may be an option: `give --device cpu`."""
    key, _, value = setting.partition("=")
    if hasattr(args, key):
        return f"give {f'--{key} {value}'.rstrip()}"
    return set_value(setting)


@contextmanager
def _bars(shown: bool) -> Iterator[None]:
    """Progress bars for whoever looks at a terminal: in a file they are lines without end."""
    if shown:
        yield
        return
    from tqdm import tqdm

    progress: Any = tqdm
    usual = progress.__init__

    def silent(self: Any, *args: Any, **options: Any) -> None:
        usual(self, *args, **{**options, "disable": True})

    progress.__init__ = silent
    try:
        yield
    finally:
        progress.__init__ = usual


def listing() -> str:
    """Every command with its line of help, in groups."""
    width = max(map(len, COMMANDS))
    lines = []
    for group, names in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:<{width}}  {COMMANDS[name][1]}" for name in names]
    return "\n".join(
        [
            "usage: lmv3det COMMAND …",
            "",
            "Document layout detection with LayoutLMv3.",
            *lines,
            "",
            "`lmv3det COMMAND --help` explains a command, with examples.",
        ]
    )
