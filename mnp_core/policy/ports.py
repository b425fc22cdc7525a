"""Ports of a rule: unions of ranges (S30), and the numbers of a named port on one pod (S31)."""

from collections.abc import Collection, Iterable

from mnp_core.model import NamedPort, Pod, PortRange


def merged_ranges(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """The union as sorted ranges that neither overlap nor touch, so that equal unions are equal values.

    A protocol without ports swallows its single ports, wherever it stands in the list (S30).
    """
    merged: list[PortRange] = []
    for entry in sorted(ranges):
        last = merged[-1] if merged else None
        if last is not None and last.protocol == entry.protocol and entry.first <= last.last + 1:
            merged[-1] = PortRange(protocol=last.protocol, first=last.first, last=max(last.last, entry.last))
        else:
            merged.append(entry)
    return tuple(merged)


def served_ranges(pod: Pod, named: Collection[NamedPort]) -> tuple[PortRange, ...]:
    """The numbers of the names on this pod: the ports of all containers that declare one of them (S31).

    A name under another protocol is another name; a port without a name answers to none.
    """
    return tuple(
        PortRange(protocol=declared.protocol, first=declared.port, last=declared.port)
        for declared in pod.ports
        if declared.name and NamedPort(protocol=declared.protocol, name=declared.name) in named
    )
