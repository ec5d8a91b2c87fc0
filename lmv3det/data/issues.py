"""What is wrong with a data set: every issue with its entry, counted by kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lmv3det.errors import printable


@dataclass(frozen=True)
class Issue:
    """One issue.

    `kind` groups issues for counting; `entry` names the image, annotation or file; `problem` says
    what is wrong with which value; `action` what the reader did about it where it goes on.
    """

    kind: str
    entry: str
    problem: str
    action: str

    def __str__(self) -> str:
        return printable(f"{self.kind}: {self.entry}: {self.problem} ({self.action})")


@dataclass
class DataReport:
    """The issues of a data set, in the order found."""

    issues: list[Issue] = field(default_factory=list)

    def add(self, kind: str, entry: str, problem: str, action: str) -> None:
        self.issues.append(Issue(kind, entry, problem, action))

    @property
    def counts(self) -> dict[str, int]:
        """Faults of each kind, the most frequent first."""
        return dict(Counter(issue.kind for issue in self.issues).most_common())

    def __len__(self) -> int:
        return len(self.issues)

    def summary(self, first: int = 3) -> str:
        """One line: how many issues of which kinds, and the first few."""
        if not self.issues:
            return "no issues"
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        shown = "; ".join(str(issue) for issue in self.issues[:first])
        more = "; …" if len(self.issues) > first else ""
        number = f"{len(self.issues)} issue" + ("s" if len(self.issues) > 1 else "")
        return f"{number} ({kinds}): {shown}{more}"
