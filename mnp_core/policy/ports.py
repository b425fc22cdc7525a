"""Ports of a rule: unions of ranges (S30), and the numbers of a named port on one pod (S31)."""

from collections.abc import Collection

from mnp_core.model import NamedPort, Pod, PortRange


def served_ranges(pod: Pod, named: Collection[NamedPort]) -> tuple[PortRange, ...]:
    """The numbers of the names on this pod: the ports of all containers that declare one of them (S31).

    A name under another protocol is another name; a port without a name answers to none.
    """
    return tuple(
        PortRange(protocol=declared.protocol, first=declared.port, last=declared.port)
        for declared in pod.ports
        if declared.name and NamedPort(protocol=declared.protocol, name=declared.name) in named
    )
