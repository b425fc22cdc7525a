"""Conversion to canonical order: equal content makes equal values, and no reader sorts.

A value that is in order already is returned as it is, so that copies share it.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, TypeVar

T = TypeVar("T")


def in_order(values: Iterable[T], key: Callable[[T], Any]) -> tuple[T, ...]:
    """Return the values sorted by a key."""
    given = values if isinstance(values, tuple) else tuple(values)
    keys = tuple(map(key, given))
    return given if all(one <= other for one, other in pairwise(keys)) else tuple(sorted(given, key=key))


def by_identity(values: Mapping[str, T]) -> Mapping[str, T]:
    """Return a mapping that iterates in the order of its keys."""
    return (
        values if all(one < other for one, other in pairwise(values)) else {key: values[key] for key in sorted(values)}
    )
