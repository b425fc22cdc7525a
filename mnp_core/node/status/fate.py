"""The fate of a real packet, and whether it is the one that policy says."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final


class ProbeAnswer(StrEnum):
    """The fate of the packet, as its sender sees it."""

    ANSWERED = "answered"  # SYN-ACK, INIT-ACK, a datagram, an echo reply
    REFUSED = "refused"  # it arrived at a closed port: RST, ABORT, port unreachable
    REJECTED = "rejected"  # a packet filter answered: administratively prohibited
    UNREACHABLE = "unreachable"  # another ICMP error
    SILENT = "silent"  # nothing came back
    DROPPED = "dropped"  # the packet filter of its own pod dropped it
    NOT_SENT = "not-sent"


ARRIVED: Final = frozenset({ProbeAnswer.ANSWERED, ProbeAnswer.REFUSED})
STOPPED: Final = frozenset({ProbeAnswer.REJECTED, ProbeAnswer.DROPPED})


def agrees(answer: str, *, allowed: bool, counted: bool | None) -> bool | None:
    """Whether a packet was treated as policy says; None if its fate does not tell.

    Args:
        answer: A `ProbeAnswer`.
        allowed: The verdict of the policies.
        counted: Whether the counter of the deciding rule moved; None if it is not known.
    """
    if answer in ARRIVED:
        return allowed
    if answer in STOPPED:
        return not allowed
    return True if counted and answer != ProbeAnswer.NOT_SENT else None


def counted(egress: Mapping[str, Any] | None, ingress: Mapping[str, Any] | None) -> bool | None:
    """Whether the counter of the rule that decides moved; None if no rule does, or the kernel is another node's.

    Args:
        egress: The source's end, as in the answer to a comparison; None if it is not on this node.
        ingress: The destination's.
    """
    side = egress if egress is not None and egress.get("verdict") == "denied" else ingress
    if side is None or not side.get("counter") or not isinstance(side.get("after"), Mapping):
        return None
    before, after = side.get("before"), side["after"]
    return bool(after.get("packets", 0) > (before.get("packets", 0) if isinstance(before, Mapping) else 0))
