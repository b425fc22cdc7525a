"""Ports that rules can tell apart: every port of a protocol is in one of the spans between their borders."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import PORT_PROTOCOLS, Protocol
from mnp_core.model.port import PortRange
from mnp_core.offline.probe import ProbeSpec

MOST_SPANS = 2_000
"""Spans in one answer."""

_LAST = 65535


@frozen(kw_only=True, order=True)
class PortSpan(ProbeSpec):
    """Consecutive ports with one answer; the first is probed.

    Attributes:
        last: The last of them; None for protocols without ports.
    """

    last: int | None = None

    def __str__(self) -> str:
        name = self.protocol.name.lower()
        if self.port is None or (self.port, self.last) == (1, _LAST):
            return name
        return f"{name}:{self.port}" if self.port == self.last else f"{name}:{self.port}-{self.last}"


def port_spans(ranges: Iterable[PortRange]) -> tuple[PortSpan, ...]:
    """All ports of all protocols, cut at the borders of ranges; ICMP stands for protocols without ports.

    Raises:
        InputError: There are too many.
    """
    borders: dict[Protocol, set[int]] = {protocol: {1, _LAST + 1} for protocol in sorted(PORT_PROTOCOLS)}
    for each in ranges:
        if not each.is_every and each.protocol in borders:
            borders[each.protocol] |= {max(each.first, 1), each.last + 1}
    spans = [
        PortSpan(protocol=protocol, port=first, last=after - 1)
        for protocol, cuts in borders.items()
        for first, after in pairwise(sorted(cuts))
    ]
    if len(spans) > MOST_SPANS:
        raise InputError(f"rules and pods have {len(spans)} ranges of ports, the limit is {MOST_SPANS}: use --probe")
    return (*spans, PortSpan(protocol=Protocol.ICMP))


def merged(spans: Iterable[ProbeSpec]) -> Iterator[ProbeSpec]:
    """Adjacent spans as one, in order."""
    last: ProbeSpec | None = None
    for span in sorted(spans, key=lambda spec: (spec.protocol, spec.port or 0)):
        if isinstance(last, PortSpan) and isinstance(span, PortSpan) and _adjacent(last, span):
            last = PortSpan(protocol=last.protocol, port=last.port, last=span.last)
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last


def _adjacent(one: PortSpan, other: PortSpan) -> bool:
    return one.protocol == other.protocol and one.last is not None and one.last + 1 == other.port
