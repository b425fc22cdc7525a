"""Equal small values of many objects, kept once: pods have few different namespaces, nodes, networks and labels."""

import sys
from collections.abc import Mapping
from functools import lru_cache

from mnp_core.model.pod import NetworkRequest

_MOST = 1024  # values of a sort that are kept, also when no object has them any more
_FEW = 16  # labels, or requests: whoever writes more makes no others keep them


def shared_text(text: str) -> str:
    """The text, or an equal one that is in use; what nobody uses is gone."""
    return sys.intern(text) if type(text) is str else text  # a subclass has more than its characters


@lru_cache(_MOST)
def shared_set(values: frozenset[str]) -> frozenset[str]:
    """The set, or an equal one."""
    return values


def shared_labels(labels: dict[str, str]) -> Mapping[str, str]:
    """The labels, or equal ones, if they are few: pods of one workload mostly have the same."""
    items = tuple(labels.items())
    return _labels(items) if len(labels) <= _FEW else _with_shared_texts(items)


@lru_cache(_MOST)
def _labels(items: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return _with_shared_texts(items)


def _with_shared_texts(items: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return {shared_text(key): shared_text(value) for key, value in items}


def shared_requests(requests: tuple[NetworkRequest, ...]) -> tuple[NetworkRequest, ...]:
    """The requests, or equal ones, if they are few and name no address; likewise."""
    is_small = len(requests) <= _FEW and not any(each.addresses for each in requests)
    return _requests(requests) if is_small else requests


@lru_cache(_MOST)
def _requests(requests: tuple[NetworkRequest, ...]) -> tuple[NetworkRequest, ...]:
    return requests
