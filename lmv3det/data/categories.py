"""The classes of an annotation file, and how those of two files answer to each other."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmv3det.classes import plain_name
from lmv3det.data.issues import DataReport, NothingUsable
from lmv3det.errors import InputError
from lmv3det.files import as_int, is_unicode

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Category:
    """A class as an annotation file names it; its class index is its place in a list.

    Attributes:
        id: COCO id.
        name: of the class.
        above: its `supercategory`, which plays no part in comparisons; "" where there is none.
    """

    id: int
    name: str
    above: str = field(default="", compare=False, repr=False)


def match_categories(expected: Sequence[Category], got: Sequence[Category]) -> list[int]:
    """Class indices of one list of categories in terms of another.

    Categories match by name (case, spaces, `_` and `-` do not count). Where no name matches at
    all and the ids are the same, they match by id, with a warning.

    Args:
        expected: the model's classes; the place in the list is the class index.
        got: the categories of a file.

    Returns:
        For each of `got`, its index in `expected`.

    Raises:
        InputError: a category of `got` is not among `expected`; names that are not unique.
    """
    index = {plain_name(c.name): k for k, c in enumerate(expected)}
    names = [plain_name(c.name) for c in got]
    for categories in (expected, got):
        counts = Counter(plain_name(c.name) for c in categories)
        twice = [c.name for c in categories if counts[plain_name(c.name)] > 1]
        if twice:
            if [(c.id, c.name) for c in expected] == [(c.id, c.name) for c in got]:
                return list(range(len(got)))
            raise InputError(f"categories: the names {twice} are not unique; rename them")
    if all(name in index for name in names):
        return [index[name] for name in names]
    ids = {c.id: k for k, c in enumerate(expected)}
    if not any(name in index for name in names) and {c.id for c in got} == set(ids):
        pairs = ", ".join(f"{c.id}: {expected[ids[c.id]].name} = {c.name}" for c in got)
        log.warning("categories have other names, and are matched by id (%s)", pairs)
        return [ids[c.id] for c in got]
    unknown = [
        f"{c.id} {c.name!r}" for c, name in zip(got, names, strict=True) if name not in index
    ]
    raise InputError(
        f"categories do not fit: {', '.join(unknown)} is not among the expected "
        f"{', '.join(f'{c.id} {c.name!r}' for c in expected)}; rename or map them in the "
        "annotation file"
    )


def read_categories(entries: Iterable[Any], path: object, report: DataReport) -> list[Category]:
    """The categories of a COCO file by rising id.

    Args:
        entries: `categories` of the file.
        path: of the file, for messages.
        report: takes the classes that are left out.

    Raises:
        InputError: none, or one without a whole number as id and a string as name.
    """
    categories: dict[int, Category] = {}
    for number, entry in enumerate(entries):
        key, name = _id_and_name(entry)
        if key is None or not isinstance(name, str) or not is_unicode(name):
            raise InputError(
                f"{path}: categories[{number}]: id {_said(entry, 'id')}, name "
                f"{_said(entry, 'name')}; it needs a whole number and a string of valid Unicode"
            )
        if key in categories:
            where = f"category {key} ({name})"
            taken = f"the id is that of {categories[key].name!r}"
            report.add("duplicate category id", where, taken, "left out")
            continue
        above = entry.get("supercategory")
        categories[key] = Category(key, name, above if isinstance(above, str) else "")
    if not categories:
        if report:
            why = f"no class and no region, because all was left out: {report.summary()}"
            raise NothingUsable(f"{path}: {why}", report)
        raise InputError(
            f"{path}: categories is empty, and there is no region; name at least one class"
        )
    return [categories[key] for key in sorted(categories)]


def name_rest(categories: Sequence[Category], number: int) -> list[Category]:
    """As many categories as a model has classes; those without a name are called `unnamed N` by
    the number of the class, from 1, and stand last.

    Detectron2 counts classes by `NUM_CLASSES`, whatever the annotations have: the notes' 11 for ten
    categories leaves a class that no region ever has.
    """
    named, taken = list(categories), {category.id for category in categories}
    free = (n for n in itertools.count(max(taken, default=0) + 1) if n not in taken)
    return named + [Category(next(free), f"unnamed {k + 1}") for k in range(len(named), number)]


def same_names(
    categories: Sequence[Category], used: Collection[int], report: DataReport
) -> dict[int, int]:
    """Categories that have the name of another (`plain_name`): id → id of the one that is kept.

    Args:
        categories: of a file.
        used: ids that annotations have. Of categories of one name the first of these is kept.
        report: takes them, to be shown.
    """
    by_name: dict[str, list[Category]] = {}
    for category in categories:
        by_name.setdefault(plain_name(category.name), []).append(category)
    same: dict[int, int] = {}
    for alike in by_name.values():
        kept = next((c for c in alike if c.id in used), alike[0])
        for category in alike:
            if category is not kept:
                same[category.id] = kept.id
                where = f"category {category.id} ({category.name})"
                problem = f"category {kept.id} ({kept.name}) has the same name"
                report.add("classes of one name", where, problem, "taken as one class")
    return same


def _said(entry: Any, key: str) -> str:
    return f"{entry.get(key) if isinstance(entry, dict) else None!r:.80}"


def _id_and_name(entry: Any) -> tuple[int | None, Any]:
    return (as_int(entry.get("id")), entry.get("name")) if isinstance(entry, dict) else (None, None)
