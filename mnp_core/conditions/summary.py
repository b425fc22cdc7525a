"""A node's summary of its policies, as a value and as a NodePolicySummary.

The aggregator believes a node about itself alone, and within bounds: numbers and lengths are limited when it is read.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from mnp_core.classes import frozen
from mnp_core.conditions import tokens
from mnp_core.model.kinds import ApiType

SUMMARY: Final = ApiType(
    kind="NodePolicySummary",
    group="mnp.k8s.cni.cncf.io",
    versions=("v1alpha1",),
    plural="nodepolicysummaries",
)

MOST_ENTRIES: Final = 4096
"""Policies in one summary, some 70 KB."""

_LONGEST_MESSAGE: Final = 200
_LONGEST_WORD: Final = 40
_MOST_INTERFACES: Final = 100_000


class State(StrEnum):
    """Why a policy that selects interfaces of a node is not in force there."""

    PENDING = "Pending"  # under way
    FAILED = "Failed"  # reported, retried with backoff or at the next change


@frozen(kw_only=True)
class PolicyFault:
    """A policy that is not in force on a node.

    Attributes:
        interfaces: The number that it selects there.
        state: Pending or failed.
        reason: One word; a `Failure` or a `Reason`.
        message: The first failing pod or interface.
    """

    interfaces: int
    state: State
    reason: str
    message: str


@frozen(kw_only=True)
class NodeSummary:
    """The policies that select interfaces of one node, by token.

    Attributes:
        knows: Fingerprint of all policies that the node knows.
        enforced: Interfaces selected by each policy in force.
        faults: The policies that are not.
        omitted: The number of policies that found no room.
    """

    knows: int
    enforced: Mapping[int, int]
    faults: Mapping[int, PolicyFault]
    omitted: int = 0


def bounded(knows: int, enforced: Mapping[int, int], faults: Mapping[int, PolicyFault]) -> NodeSummary:
    """A summary with as many entries as there is room for; faults first."""
    kept = dict(sorted(faults.items())[:MOST_ENTRIES])
    rest = dict(sorted(enforced.items())[: MOST_ENTRIES - len(kept)])
    omitted = len(faults) + len(enforced) - len(kept) - len(rest)
    return NodeSummary(knows=knows, enforced=rest, faults=kept, omitted=omitted)


def encode(summary: NodeSummary) -> dict[str, object]:
    """The field ``summary`` of the object, without the time of its renewal. Equal summaries have equal forms."""
    return {
        "knows": tokens.written(summary.knows),
        "enforced": [_entry(token, number) for token, number in sorted(summary.enforced.items())],
        "exceptions": [
            {
                "policy": _entry(token, fault.interfaces),
                "state": fault.state.value,
                "reason": fault.reason,
                "message": _short(fault.message, _LONGEST_MESSAGE),
            }
            for token, fault in sorted(summary.faults.items())
        ],
        "omitted": summary.omitted,
    }


def decode(raw: object) -> NodeSummary | None:
    """Read the field ``summary``; None if it is none. Entries that cannot be read, or are too many, are left out."""
    if not isinstance(raw, Mapping):
        return None
    knows = _token(raw.get("knows"))
    if knows is None:
        return None
    enforced = dict(_parsed(entry) for entry in _listed(raw.get("enforced")))
    faults = dict(_faults(raw.get("exceptions")))
    enforced = {token: number for token, number in enforced.items() if token and token not in faults}
    omitted = raw.get("omitted")
    return NodeSummary(
        knows=knows, enforced=enforced, faults=faults, omitted=omitted if isinstance(omitted, int) else 0
    )


def _faults(raw: object) -> Iterator[tuple[int, PolicyFault]]:
    for each in _listed(raw):
        if not isinstance(each, Mapping):
            continue
        token, number = _parsed(each.get("policy"))
        state = State.PENDING if each.get("state") == State.PENDING.value else State.FAILED
        if token:
            reason = _short(each.get("reason"), _LONGEST_WORD)
            message = _short(each.get("message"), _LONGEST_MESSAGE)
            yield token, PolicyFault(interfaces=number, state=state, reason=reason, message=message)


def _listed(raw: object) -> list[object]:
    return raw[:MOST_ENTRIES] if isinstance(raw, list) else []


def _entry(token: int, number: int) -> str:
    return f"{tokens.written(token)}={number}"


def _parsed(entry: object) -> tuple[int, int]:
    """Token and number of interfaces; zeros if the entry is none."""
    text, _, number = entry.partition("=") if isinstance(entry, str) else ("", "", "")
    token = _token(text)
    if token is None or not (number.isascii() and number.isdecimal() and len(number) < 7):
        return 0, 0
    return token, min(int(number), _MOST_INTERFACES)


def _token(text: object) -> int | None:
    try:
        return tokens.read(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _short(text: object, longest: int) -> str:
    """One line without control characters."""
    shown = "".join(c if c.isprintable() else " " for c in text[:longest]) if isinstance(text, str) else ""
    return shown.strip()
