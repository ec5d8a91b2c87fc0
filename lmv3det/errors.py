"""The exception for a user's mistake, and what its message is made of."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used: the message names file, entry, value and fix.

    The command line prints it as one line on standard error and exits with 1.
    """


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
