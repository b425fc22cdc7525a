"""Equal small values of many objects, kept once: pods have few different namespaces, nodes, networks and labels."""

import sys
from functools import lru_cache

_MOST = 1024  # sets that are kept, also when no object has them any more


def shared_text(text: str) -> str:
    """The text, or an equal one that is in use; what nobody uses is gone."""
    return sys.intern(text) if type(text) is str else text  # a subclass has more than its characters


@lru_cache(_MOST)
def shared_set(values: frozenset[str]) -> frozenset[str]:
    """The set, or an equal one."""
    return values
