"""Commits to a sandbox's packet filter, by their generations: ours, and others' that are not read yet."""

from collections.abc import Iterable
from typing import Final

from attrs import field

from mnp_core.classes import define

_KEPT: Final = 64  # of ours: announcements of older ones have come


@define
class Generations:
    """Generations of one sandbox; an announced one that is not known as ours counts as another process's."""

    _foreign: set[int] = field(factory=set)
    _own: dict[int, None] = field(factory=dict)  # the last one last

    @property
    def foreign(self) -> bool:
        """Whether commits of others may be unread."""
        return bool(self._foreign)

    def announced(self, generations: frozenset[int]) -> bool:
        """Record announced commits; whether some are not ours, as far as known."""
        foreign = generations - self._own.keys()
        self._foreign |= foreign
        return bool(foreign)

    def add_own(self, generations: Iterable[int]) -> None:
        """Record commits of ours, the last one last."""
        for generation in generations:
            self._own.pop(generation, None)
            self._own[generation] = None
        while len(self._own) > _KEPT:
            del self._own[next(iter(self._own))]
        self._foreign -= self._own.keys()

    def read(self) -> None:
        """Everything announced is older than the read or write of now."""
        self._foreign.clear()

    def clear(self) -> None:
        """The sandbox is another one."""
        self._foreign.clear()
        self._own.clear()
