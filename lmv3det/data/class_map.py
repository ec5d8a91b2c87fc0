"""One list of classes from those of several annotation files: folded, left out, joined by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmv3det.classes import FOLDED, FOLDINGS, plain_name
from lmv3det.data.categories import Category
from lmv3det.errors import InputError


@dataclass(frozen=True)
class Fold:
    """What becomes of a file's categories.

    Attributes:
        categories: those that are left, each with the id of the first one that became it.
        ids: category id of the file → id in `categories`; None where its regions are left out.
    """

    categories: list[Category]
    ids: dict[int, int | None]


def fold_categories(
    categories: Sequence[Category], classes: str | Mapping[str, str | None], source: object
) -> Fold:
    """Give a file's categories other names; those with equal names become one.

    Args:
        categories: of the file.
        classes: the file's class name → its name here, or None to leave its regions out. Names that
            it does not have stay. Or the name of a folding in `lmv3det.classes`. Case, spaces, `_`
            and `-` do not count.
        source: what messages name.

    Raises:
        InputError: no such folding; a name that the file does not have; nothing is left.
    """
    if isinstance(classes, str):
        if classes not in FOLDINGS:
            raise InputError(
                f"{source}: classes is {classes!r}; it must be {', '.join(FOLDINGS)}, or a mapping "
                "from the file's class names to names of yours"
            )
        names = dict(FOLDINGS[classes])
    else:
        names = dict(classes)
        own = {plain_name(category.name) for category in categories}
        unknown = [name for name in names if plain_name(name) not in own]
        if unknown:
            raise InputError(
                f"{source}: classes names {', '.join(map(repr, unknown))}, which the file does not "
                f"have; its classes are {', '.join(category.name for category in categories)}"
            )
    plain = {plain_name(name): other for name, other in names.items()}
    left: dict[str, Category] = {}
    ids: dict[int, int | None] = {}
    for category in categories:
        name = plain.get(plain_name(category.name), category.name)
        if name is None:
            ids[category.id] = None
            continue
        kept = left.setdefault(plain_name(name), Category(category.id, name))
        ids[category.id] = kept.id
    if not left:
        raise InputError(f"{source}: classes leaves out every class of the file; keep one")
    return Fold(list(left.values()), ids)


def join_categories(
    files: Sequence[Sequence[Category]], classes: str | Sequence[str] | None = None
) -> list[Category]:
    """The classes of a run, in the order of class indices.

    Args:
        files: the categories of each data set, folded already.
        classes: the names in their order, or the name of a folding, whose classes are taken; None:
            those of the first data set, then what the next ones add. Of a single data set they keep
            their ids.

    Raises:
        InputError: no such folding.
    """
    if classes is None and len(files) == 1:
        return list(files[0])
    if isinstance(classes, str):
        if classes not in FOLDED:
            raise InputError(
                f"data.classes is {classes!r}; it must be {', '.join(FOLDED)}, or a list of names"
            )
        classes = FOLDED[classes]
    if classes is None:
        found: dict[str, str] = {}
        for categories in files:
            for category in categories:
                found.setdefault(plain_name(category.name), category.name)
        classes = list(found.values())
    return [Category(number, name) for number, name in enumerate(classes, start=1)]
