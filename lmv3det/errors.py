"""The exception for a user's mistake, and what its message is made of."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


def set_value(setting: str) -> str:
    """How a setting is named as a fix: `set device=cpu`."""
    return f"set {setting}"


class InputError(ValueError):
    """Input that cannot be used: the message names file, entry, value and fix.

    The command line prints it as one line on standard error and exits with 1.

    Args:
        problem: what is wrong, with the value; the whole message where the rest is not given.
        subject: what it is about: the file, or the entry in it.
        fix: what to do, an imperative.
        setting: the setting of this program that helps too, such as `device=cpu`. Each front end
            names it in its own way; who sends a file to a server cannot set it.
    """

    def __init__(
        self, problem: str, *, subject: object = "", fix: str = "", setting: str = ""
    ) -> None:
        self.problem, self.subject, self.fix, self.setting = problem, str(subject), fix, setting
        super().__init__(self.sentence())

    def sentence(self, *, subject: bool = True, named: Callable[[str], str] = set_value) -> str:
        """The message.

        Args:
            subject: begin with what it is about.
            named: how the setting is named; empty where it cannot be set.
        """
        start = f"{self.subject}: " if subject and self.subject else ""
        fixes = [self.fix, named(self.setting) if self.setting else ""]
        end = ", or ".join(filter(None, fixes))
        return f"{start}{self.problem}{f'; {end}' if end else ''}"


def users_traceback(error: BaseException) -> str:
    """The traceback of the cause, from the first line of the user's own code on; empty where
    none of his code took part."""
    cause = error.__cause__
    step = cause.__traceback__ if cause is not None else None
    while step is not None and not _is_users(step):
        step = step.tb_next
    if cause is None or step is None:
        return ""
    return "".join(traceback.format_exception(type(cause), cause, step, chain=False))


def _is_users(step: TracebackType) -> bool:
    """Whether a line is neither of this package, nor of an installed one, nor of Python."""
    name = step.tb_frame.f_code.co_filename
    if name.startswith("<"):
        return False
    path = Path(name).resolve()
    package = Path(__file__).resolve().parent
    ours = (package, package.parent / "pagegen")
    python = [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib")]
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not (installed or any(path.is_relative_to(root) for root in (*ours, *python)))


def install_extra(extra: str) -> str:
    """How an extra is installed: from the clone, because its name on a package index could be
    another's."""
    return f'`pip install ".[{extra}]"` in the folder of lmv3det'


def printable(text: str) -> str:
    """A text from a file as it can be printed: line breaks, control characters and bytes that are
    no UTF-8 (lone surrogates) as escapes, so that a name cannot fake a line or end a command."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == " " else ascii(char)[1:-1] for char in text
    )


def explain(error: BaseException) -> str:
    """What an error says, in one line: of an `InputError` its message, of others their type too."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, InputError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """`1 page`, `2 pages`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
