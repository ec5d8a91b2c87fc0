"""What an examination finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from lmv3det.errors import printable

State = Literal["ok", "advice", "absent", "broken"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's list.

    Attributes:
        subject: what was looked at.
        text: what was found.
        state: `ok`; `advice`: works, but could be better; `absent`: an extra that is not
            installed; `broken`: does not work.
        fix: what to do about it, where there is something to do.
    """

    subject: str
    text: str
    state: State = "ok"
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.state:<7} {self.subject:<16} {self.text}"
        if self.fix:
            line += f". {'Install' if self.state == 'absent' else 'Fix'}: {self.fix}"
        return printable(line)


def examine(subject: str, check: Callable[[], Iterator[Finding]], fix: str) -> Iterator[Finding]:
    """The findings of a check; whatever it raises is a finding too.

    Args:
        subject: of the finding where the check raises.
        check: gives findings one by one.
        fix: what to do where it raises.
    """
    try:
        yield from check()
    except Exception as error:
        message = " ".join(str(error).split())[:300]
        yield Finding(subject, f"{type(error).__name__}: {message}", "broken", fix)
