"""`attrs.frozen` and `attrs.define`, whose classes are shown and compared by functions that are compiled already.

attrs writes and compiles the methods of each class in each process. A command of `mnp` has 150 classes, and most of
its time is that of its start: without ``__repr__``, ``__eq__`` and ``__hash__`` of each it takes a sixth less.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

import attrs

__all__ = ["define", "frozen"]


def _frozen(maybe_class: Any = None, /, **options: Any) -> Any:
    """As `attrs.frozen`; a field cannot have a function for `eq`."""
    decorate = _decorator(attrs.frozen, options)
    return decorate if maybe_class is None else decorate(maybe_class)


def _define(maybe_class: Any = None, /, **options: Any) -> Any:
    """As `attrs.define`; a field cannot have a function for `eq`."""
    decorate = _decorator(attrs.define, options)
    return decorate if maybe_class is None else decorate(maybe_class)


if TYPE_CHECKING:
    from attrs import define, frozen  # type checkers know these by name
else:
    define, frozen = _define, _frozen


def _decorator(make: Callable[..., Any], options: dict[str, Any]) -> Callable[[Any], Any]:
    def decorate(cls: Any) -> Any:
        if "__repr__" not in vars(cls):
            cls.__repr__ = _show  # attrs makes none for a class that has its own
        if options.keys() & {"cache_hash", "eq", "order"} or vars(cls).keys() & {"__eq__", "__hash__"}:
            return make(cls, **options)
        made = make(cls, eq=False, **options)
        _compare(made, hashable=make is attrs.frozen)
        return made

    return decorate


@recursive_repr()
def _show(self: Any) -> str:
    shown = (
        f"{field.name}={(repr if field.repr is True else field.repr)(getattr(self, field.name))}"
        for field in attrs.fields(type(self))
        if field.repr
    )
    return f"{type(self).__qualname__.rpartition('<locals>.')[-1]}({', '.join(shown)})"


def _compare(cls: Any, *, hashable: bool) -> None:
    """Values of the very same class are equal if their fields are."""
    fields = attrs.fields(cls)
    compared = _getter([field.name for field in fields if field.eq])
    hashed = _getter([field.name for field in fields if (field.eq if field.hash is None else field.hash)])

    def equal(self: Any, other: object) -> bool:
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    cls.__eq__ = equal
    cls.__hash__ = (lambda self: hash(hashed(self))) if hashable else None


def _getter(names: Sequence[str]) -> Callable[[object], Any]:
    return attrgetter(*names) if names else lambda _: ()
