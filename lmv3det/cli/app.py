"""The command line: `lmv3det COMMAND …`.

A command is a module with `add_arguments(parser)` and `run(args) -> int`, imported when it is
asked for. Exit codes: 0 done, 1 the input is at fault (one line on standard error), 2 a wrong
command line, 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from lmv3det import __version__
from lmv3det.errors import InputError

COMMANDS = {
    "train": ("lmv3det.cli.train", "train a detector"),
    "evaluate": ("lmv3det.cli.evaluate", "score a checkpoint on annotated pages"),
    "report": ("lmv3det.cli.report", "show where COCO results fail, in one HTML page"),
    "predict": ("lmv3det.inference.detector", "find the regions of images, folders and PDF files"),
    "ocr": ("lmv3det.ocr", "read the text lines of images, folders and PDF files"),
    "convert": ("lmv3det.cli.convert", "change weights from and to other formats"),
    "check": ("lmv3det.cli.check", "look for issues in a data set"),
    "convert-config": ("lmv3det.cli.convert_config", "turn a detectron2 yaml into a config"),
    "train-tokenizer": ("lmv3det.cli.train_tokenizer", "make a tokenizer from OCR files"),
    "ablation": ("lmv3det.cli.ablation", "train several systems and print their table"),
    "synthetic": ("lmv3det.synthetic", "make pages with exact annotations"),
}
"""Command → (module, one line of help)."""

DONE, INPUT_FAULT, WRONG_COMMAND_LINE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words after `lmv3det`; None: those of this process.

    Returns:
        The exit code. Errors other than the user's are raised.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
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
        print(f"lmv3det {name}: {' '.join(str(error).split())}", file=sys.stderr)
        return INPUT_FAULT
    except BrokenPipeError:
        raise
    except OSError as error:  # no room, no permission, a file where a folder should be
        print(f"lmv3det {name}: {error}", file=sys.stderr)
        return INPUT_FAULT
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, not imported for this alone
            raise
        print(
            f"lmv3det {name}: the card's memory is full ({' '.join(str(error).split())[:200]}): "
            "take fewer pages a batch, a smaller input.min_size_test, or another device",
            file=sys.stderr,
        )
        return INPUT_FAULT
    except KeyboardInterrupt:
        print(f"lmv3det {name}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(name: str, words: list[str]) -> int:
    module_name, line = COMMANDS[name]
    logging.basicConfig(format=f"lmv3det {name}: %(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("lmv3det").setLevel(logging.INFO)
    module = importlib.import_module(module_name)
    parser = argparse.ArgumentParser(
        prog=f"lmv3det {name}", description=f"{line[0].upper()}{line[1:]}."
    )
    module.add_arguments(parser)
    try:
        # Intermixed, so that key=value words may stand before, between and after options.
        args = parser.parse_intermixed_args(words)
    except SystemExit as stop:  # --help, or argparse has explained what is wrong
        return int(stop.code or 0)
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
