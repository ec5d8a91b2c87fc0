"""Which class of a model is which class of a data set, where they have not the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmv3det.classes import plain_name
from lmv3det.data.categories import Category, match_categories
from lmv3det.errors import InputError


@dataclass(frozen=True)
class ClassMatch:
    """The classes that a model and a data set have in common.

    Attributes:
        scored: the common classes, each with an id of the data set.
        of_index: class index of the model → place in `scored`, or None.
        of_category: category id of the data set → place in `scored`; the others are not scored.
        left_out: the rest by name: `{"checkpoint": […], "data": […]}`.
    """

    scored: list[Category]
    of_index: list[int | None]
    of_category: dict[int, int]
    left_out: dict[str, list[str]]


def read_map(words: Sequence[str]) -> dict[str, str]:
    """`["List=Text,Reference=Text", …]` as `{"List": "Text", "Reference": "Text"}`.

    Raises:
        InputError: a word without `=`, an empty name, a name given twice.
    """
    names: dict[str, str] = {}
    for pair in (pair for word in words for pair in word.split(",") if pair.strip()):
        name, equals, target = (part.strip() for part in pair.partition("="))
        if not (name and equals and target):
            raise InputError(f"--map {pair!r} is not NAME=NAME, such as List=Text")
        if names.setdefault(name, target) != target:
            raise InputError(f"--map names {name!r} twice, as {names[name]!r} and {target!r}")
    return names


def match_classes(
    model: Sequence[Category],
    data: Sequence[Category],
    renamed: Mapping[str, str] | None = None,
) -> ClassMatch:
    """The classes that a model and a data set have in common, by name.

    Case, spaces, `_` and `-` do not count. Lists of categories that are the same, or that
    `match_categories` can match as a whole, are matched so.

    Args:
        model: the model's classes in the order of class indices.
        data: the data set's.
        renamed: name → the name that it is taken as, on both sides. Classes of one side that then
            have the same name are one.

    Raises:
        InputError: no class in common; a name in `renamed` that neither side has.
    """
    if not renamed:
        try:
            return _whole(model, data, match_categories(model, data))
        except InputError:
            if not (_unique(model) and _unique(data)):
                raise
            # Some have no counterpart.
    renamed = {plain_name(name): plain_name(target) for name, target in (renamed or {}).items()}
    known = {plain_name(category.name) for category in (*model, *data)}
    unknown = [name for name in renamed if name not in known]
    if unknown:
        raise InputError(
            f"--map names {', '.join(map(repr, unknown))}, which neither the checkpoint "
            f"({_listed(model)}) nor the data set ({_listed(data)}) has"
        )
    model_names = [renamed.get(plain_name(c.name), plain_name(c.name)) for c in model]
    data_names = [renamed.get(plain_name(c.name), plain_name(c.name)) for c in data]
    places: dict[str, int] = {}
    scored: list[Category] = []
    for category, name in zip(data, data_names, strict=True):
        if name not in model_names:
            continue
        if name not in places:
            places[name] = len(scored)
            scored.append(category)
        elif plain_name(category.name) == name:  # of several as one, the one of this very name
            scored[places[name]] = category
    if not scored:
        raise InputError(
            f"the checkpoint's classes ({_listed(model)}) and the data set's ({_listed(data)}) "
            "have no name in common; say which is which by --map NAME=NAME,…"
        )
    return ClassMatch(
        scored,
        [places.get(name) for name in model_names],
        {c.id: places[name] for c, name in zip(data, data_names, strict=True) if name in places},
        {
            "checkpoint": _left_out(model, model_names, places),
            "data": _left_out(data, data_names, places),
        },
    )


def _whole(model: Sequence[Category], data: Sequence[Category], indices: list[int]) -> ClassMatch:
    of_index: list[int | None] = [None] * len(model)
    for place, index in enumerate(indices):
        of_index[index] = place
    unused = [c.name for c, place in zip(model, of_index, strict=True) if place is None]
    of_category = {category.id: place for place, category in enumerate(data)}
    return ClassMatch(list(data), of_index, of_category, {"checkpoint": unused, "data": []})


def _unique(categories: Sequence[Category]) -> bool:
    return len({plain_name(category.name) for category in categories}) == len(categories)


def _left_out(
    categories: Sequence[Category], names: Sequence[str], places: Mapping[str, int]
) -> list[str]:
    return [c.name for c, name in zip(categories, names, strict=True) if name not in places]


def _listed(categories: Sequence[Category]) -> str:
    return ", ".join(category.name for category in categories)
