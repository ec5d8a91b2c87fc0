"""What became of every tensor when weights moved from one model to another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lmv3det.errors import InputError

Shape = tuple[int, ...]


@dataclass
class LoadReport:
    """Every name of the source and of the model, sorted by what happened to it.

    Attributes:
        source: where the weights came from, in words.
        loaded: the model's tensors that were taken, adapted ones included.
        adapted: (name, what was done) of tensors that were changed to fit.
        fresh: the model's tensors that start anew, as expected, and why.
        left_out: the source's tensors that were not taken, as expected, and why.
        missing: the model's tensors that the source should have and does not.
        unexpected: the source's tensors that the model has no place for.
        wrong_shape: (name, shape in the source, shape in the model).
        notes: what else should be said.
    """

    source: str = ""
    loaded: list[str] = field(default_factory=list)
    adapted: list[tuple[str, str]] = field(default_factory=list)
    fresh: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong_shape: list[tuple[str, Shape, Shape]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"weights from {self.source}", f"  loaded: {len(self.loaded)} tensors"]
        lines += [f"  adapted: {name}: {what}" for name, what in self.adapted]
        lines += [f"  started anew: {line}" for line in _by_reason(self.fresh)]
        lines += [f"  left out: {line}" for line in _by_reason(self.left_out)]
        lines.append(f"  missing: {_names(self.missing)}")
        lines.append(f"  unexpected: {_names(self.unexpected)}")
        shapes = [f"{name} is {_shape(h)}, wanted {_shape(w)}" for name, h, w in self.wrong_shape]
        lines.append(f"  wrong shape: {'; '.join(shapes) or 'none'}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def check(
        self, allow_missing: bool = False, allow_unexpected: bool = False, command: str = ""
    ) -> None:
        """Refuse what is not expected.

        Args:
            allow_missing: let missing tensors, and those of a wrong shape, start anew.
            allow_unexpected: let unexpected tensors go.
            command: whose options the message names, where they are not those of the caller.

        Raises:
            InputError: something is missing, unexpected or of a wrong shape, and not allowed.
        """
        faults = []
        if self.missing and not allow_missing:
            faults.append(
                f"missing: {_names(self.missing)} ({command}--allow-missing starts them anew)"
            )
        if self.wrong_shape and not allow_missing:
            name, have, want = self.wrong_shape[0]
            more = f" and {len(self.wrong_shape) - 1} more" if len(self.wrong_shape) > 1 else ""
            faults.append(
                f"wrong shape: {name} is {_shape(have)}, the model's is {_shape(want)}{more} "
                f"({command}--allow-missing starts them anew)"
            )
        if self.unexpected and not allow_unexpected:
            faults.append(
                f"unexpected: {_names(self.unexpected)} ({command}--rename OLD=NEW if a name is "
                "another's, --allow-unexpected leaves them out)"
            )
        if faults:
            raise InputError(f"{self.source} does not fit the model: {'; '.join(faults)}")


def _by_reason(names: dict[str, str]) -> Iterable[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in names.items():
        reasons.setdefault(reason, []).append(name)
    for reason, members in reasons.items():
        yield f"{_names(members)} – {reason}"


def _names(names: list[str], shown: int = 3) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _shape(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "a number"
