"""Objects with something else in one place: how standard tests spoil an example."""

import copy
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]
"""Keys and positions that lead to a value in an object."""

JUNK: tuple[object, ...] = (None, 42, -1.5, True, "", "junk", [], [[]], {}, {"junk": [1]}, [None], ["junk"], [42])
LONG = "x" * 100_000


def paths(value: object, here: Path = ()) -> Iterator[Path]:
    """Every place in an object, the whole left out."""
    items: Iterator[tuple[str | int, object]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for key, child in items:
        yield (*here, key)
        yield from paths(child, (*here, key))


def value_at(value: Any, path: Path) -> Any:
    """The value in a place."""
    for key in path:
        value = value[key]
    return value


def with_value(raw: dict[str, Any], path: Path, value: object) -> dict[str, Any]:
    """A copy with another value in a place."""
    changed = copy.deepcopy(raw)
    value_at(changed, path[:-1])[path[-1]] = value
    return changed


def without_value(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """A copy without a place."""
    changed = copy.deepcopy(raw)
    del value_at(changed, path[:-1])[path[-1]]
    return changed


def shown_path(path: Path) -> str:
    """A place, for a message."""
    return ".".join(map(str, path))
