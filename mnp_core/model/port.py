"""Protocols, ports and ranges of them (S30 to S32)."""

from collections.abc import Iterable
from enum import IntEnum
from itertools import pairwise

from mnp_core.classes import frozen


class Protocol(IntEnum):
    """IP protocols that have a name here; the value is the IANA number that is on the wire."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58
    SCTP = 132


PORT_PROTOCOLS = frozenset({Protocol.TCP, Protocol.UDP, Protocol.SCTP})
"""The protocols that have ports, the only ones that a policy can name."""


@frozen(kw_only=True, order=True)
class PortRange:
    """Ports of one protocol from first to last, both included."""

    protocol: Protocol
    first: int
    last: int

    @classmethod
    def every(cls, protocol: Protocol) -> "PortRange":
        """Every port of a protocol: an entry that names no port (S30)."""
        return cls(protocol=protocol, first=0, last=65535)

    @property
    def is_every(self) -> bool:
        """Whether it covers every port of its protocol."""
        return self.first == 0 and self.last == 65535

    def contains(self, protocol: int, port: int | None) -> bool:
        """Say whether a packet of this protocol to this port matches."""
        return protocol == self.protocol and (self.is_every or (port is not None and self.first <= port <= self.last))

    def __str__(self) -> str:
        if self.is_every:
            return self.protocol.name
        numbers = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.protocol.name}/{numbers}"


@frozen(kw_only=True, order=True)
class NamedPort:
    """A port by the name that the destination pod's containers give it (S31)."""

    protocol: Protocol
    name: str

    def __str__(self) -> str:
        return f"{self.protocol.name}/{self.name}"


@frozen(kw_only=True, order=True)
class ContainerPort:
    """A named port that a container of a pod declares (Pod.spec.containers[].ports[]).

    Ports without a name are kept, with an empty one: the lab probes them.
    """

    name: str
    protocol: Protocol
    port: int


def merged_ranges(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """The union as sorted ranges that neither overlap nor touch, so that equal unions are equal values.

    A protocol without ports swallows its single ports, wherever it stands in the list (S30).
    """
    given = ranges if isinstance(ranges, tuple) else tuple(ranges)
    if all(_is_before(one, next_one) for one, next_one in pairwise(given)):
        return given
    merged: list[PortRange] = []
    for entry in sorted(given):
        last = merged[-1] if merged else None
        if last is not None and last.protocol == entry.protocol and entry.first <= last.last + 1:
            merged[-1] = PortRange(protocol=last.protocol, first=last.first, last=max(last.last, entry.last))
        else:
            merged.append(entry)
    return tuple(merged)


def _is_before(one: PortRange, other: PortRange) -> bool:
    """Whether two ranges are sorted, and neither overlap nor touch."""
    return one.protocol < other.protocol or (one.protocol == other.protocol and one.last + 1 < other.first)
