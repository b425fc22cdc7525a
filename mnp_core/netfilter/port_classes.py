"""Ports in classes: within one, every port is in the same lists of ports.

So rules with many different lists of ports can be asked by class, each packet for those of its own class alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from mnp_core.classes import frozen
from mnp_core.model import PortRange, Ports, Protocol


@frozen(kw_only=True)
class PortClass:
    """Ports that are in the same lists.

    Attributes:
        ports: The ports.
        lists: Those lists.
    """

    ports: Ports
    lists: frozenset[Ports]


def port_classes(lists: Iterable[Ports]) -> tuple[PortClass, ...]:
    """The classes of ports that are in some of the lists; the first one with the port of a packet is its class.

    Lists of a whole protocol have a class at the end, for all of it: of a packet that is too short for a port, too.
    """
    edges: defaultdict[Protocol, list[tuple[int, bool, Ports]]] = defaultdict(list)
    whole: defaultdict[Protocol, set[Ports]] = defaultdict(set)
    for each in set(lists):
        for span in each.ranges:
            edges[span.protocol] += [(span.first, True, each), (span.last + 1, False, each)]
            if span.is_every:
                whole[span.protocol].add(each)
    found: defaultdict[frozenset[Ports], list[PortRange]] = defaultdict(list)
    for protocol in sorted(edges):
        for span, inside in _spans(protocol, edges[protocol]):
            if inside != whole[protocol]:
                found[inside].append(span)
    last: defaultdict[frozenset[Ports], list[PortRange]] = defaultdict(list)
    for protocol in sorted(edges):
        if whole[protocol]:
            last[frozenset(whole[protocol])].append(PortRange.every(protocol))
    every = (*found.items(), *last.items())
    return tuple(PortClass(ports=Ports(ranges=tuple(spans)), lists=inside) for inside, spans in every)


def _spans(
    protocol: Protocol, edges: Iterable[tuple[int, bool, Ports]]
) -> Iterator[tuple[PortRange, frozenset[Ports]]]:
    """The ports of one protocol, cut wherever a list begins or ends."""
    at: defaultdict[int, list[tuple[bool, Ports]]] = defaultdict(list)
    for number, enters, each in edges:
        at[number].append((enters, each))
    numbers, inside = sorted(at), set[Ports]()
    for number, following in pairwise(numbers):
        inside -= {each for enters, each in at[number] if not enters}
        inside |= {each for enters, each in at[number] if enters}
        if inside:
            yield PortRange(protocol=protocol, first=number, last=following - 1), frozenset(inside)
