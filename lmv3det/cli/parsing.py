"""The parser of a command: what all of them have, and what is said about wrong words."""

from __future__ import annotations

import argparse
import difflib
import importlib
from collections.abc import Iterable, Sequence
from typing import NoReturn

from lmv3det.cli.commands import COMMANDS
from lmv3det.cli.examples import epilog

SHORT = {
    "--out": "-o", "--format": "-f", "--ckpt": "-c", "--score": "-s", "--device": "-d",
    "--workers": "-j", "--jobs": "-j",
}  # fmt: skip
"""Option → its short form, in every command that has it."""


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


def make_parser(name: str) -> _Parser:
    """The parser of a command, with what all commands have."""
    module_name, line = COMMANDS[name]
    parser = _Parser(
        prog=f"lmv3det {name}",
        description=f"{line[0].upper()}{line[1:]}.",
        epilog=epilog(name),
        formatter_class=_HelpFormatter,
    )
    importlib.import_module(module_name).add_arguments(parser)
    for action in parser._actions:
        for long in list(action.option_strings):
            short = SHORT.get(long)
            if short is not None and short not in parser._option_string_actions:
                action.option_strings = [short, *action.option_strings]
                parser._option_string_actions[short] = action
    said = parser.add_argument_group("what is said")
    said.add_argument("-q", "--quiet", action="store_true", help="errors and results alone")
    said.add_argument("-v", "--verbose", action="store_true", help="more of what is being done")
    return parser


class _HelpFormatter(argparse.HelpFormatter):
    """As argparse's, but examples keep their lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return text
        return super()._fill_text(text, width, indent)
