"""Optional abilities of plugins' objects, which are protocols, asked for on the way of every change."""

from functools import lru_cache


@lru_cache
def has_ability(kind: type, ability: type) -> bool:
    """Whether instances of a class have the methods of a protocol: to compare them takes as long as a commit."""
    return issubclass(kind, ability)
