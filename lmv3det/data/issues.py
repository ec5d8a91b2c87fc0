"""What is wrong with a data set: every fault with its entry, counted by kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """One fault.

    `kind` groups faults for counting; `entry` names the image, annotation or file; `problem` says
    what is wrong with which value; `action` what the reader did about it where it goes on.
    """

    kind: str
    entry: str
    problem: str
    action: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.entry}: {self.problem} ({self.action})"


@dataclass
class DataReport:
    """The faults of a data set, in the order found."""

    faults: list[Fault] = field(default_factory=list)

    def add(self, kind: str, entry: str, problem: str, action: str) -> None:
        self.faults.append(Fault(kind, entry, problem, action))

    @property
    def counts(self) -> dict[str, int]:
        """Faults of each kind, the most frequent first."""
        return dict(Counter(fault.kind for fault in self.faults).most_common())

    def __len__(self) -> int:
        return len(self.faults)

    def summary(self, first: int = 3) -> str:
        """One line: how many faults of which kinds, and the first few."""
        if not self.faults:
            return "no faults"
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        shown = "; ".join(str(fault) for fault in self.faults[:first])
        more = "; …" if len(self.faults) > first else ""
        number = f"{len(self.faults)} fault" + ("s" if len(self.faults) > 1 else "")
        return f"{number} ({kinds}): {shown}{more}"
