"""What is wrong with a data set: every issue with its entry, counted by kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lmv3det.errors import InputError, printable


@dataclass(frozen=True)
class Issue:
    """One issue.

    `kind` groups issues for counting; `entry` names the image, annotation or file; `problem` says
    what is wrong with which value; `action` what the reader did about it where it goes on. A
    suspicion is no fault of one entry, but what the entries look like together; they are read as
    they are.
    """

    kind: str
    entry: str
    problem: str
    action: str
    suspicion: bool = False

    def __str__(self) -> str:
        return printable(f"{self.kind}: {self.entry}: {self.problem} ({self.action})")


@dataclass
class DataReport:
    """The issues of a data set, in the order found."""

    issues: list[Issue] = field(default_factory=list)

    def add(self, kind: str, entry: str, problem: str, action: str) -> None:
        self.issues.append(Issue(kind, entry, problem, action))

    def suspect(self, kind: str, entry: str, problem: str, action: str = "read as it is") -> None:
        """Add a suspicion (see `Issue`)."""
        self.issues.append(Issue(kind, entry, problem, action, True))

    @property
    def faults(self) -> DataReport:
        """The issues that are no suspicions."""
        return DataReport([issue for issue in self.issues if not issue.suspicion])

    @property
    def suspicions(self) -> list[Issue]:
        """The suspicions."""
        return [issue for issue in self.issues if issue.suspicion]

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

    def lines(self, of_a_kind: int) -> list[str]:
        """A line an issue, of each kind `of_a_kind` at most (0: all), then how many more."""
        told: Counter[str] = Counter()
        lines = []
        for issue in self.issues:
            told[issue.kind] += 1
            if not of_a_kind or told[issue.kind] <= of_a_kind:
                lines.append(str(issue))
        more = {kind: count - of_a_kind for kind, count in told.items() if of_a_kind}
        return lines + [f"{kind}: … and {n:,} more" for kind, n in more.items() if n > 0]


class NothingUsable(InputError):
    """A data set of which nothing can be used, with all that was found.

    Args:
        message: the one line.
        report: the issues.
    """

    def __init__(self, message: str, report: DataReport) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple:
        return NothingUsable, (str(self), self.report)
