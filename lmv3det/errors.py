"""The exception that stands for a user's mistake, and how names of files are shown in messages."""

from __future__ import annotations

import unicodedata


class InputError(ValueError):
    """Input that cannot be used: the message names file, entry, value and fix.

    The command line prints it as one line on standard error and exits with 1.
    """


def printable(text: str) -> str:
    """A text from a file as it can be printed: line breaks, control characters and bytes that are
    no UTF-8 (lone surrogates) as escapes, so that a name cannot fake a line or end a command."""
    if text.isprintable():
        return text
    return "".join(ascii(char)[1:-1] if _moves_or_hides(char) else char for char in text)


def _moves_or_hides(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind[0] == "C" or kind in ("Zl", "Zp")
