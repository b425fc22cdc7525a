"""The ends of the matrix of some manifests."""

from collections.abc import Iterable, Iterator

from mnp_core.cli.objects import Objects
from mnp_core.model import (
    Address,
    Allow,
    Audited,
    Cidr,
    Direction,
    Isolated,
    ObjectName,
    PortRange,
    Ports,
    SandboxPolicy,
)
from mnp_core.offline.outside import outside_blocks
from mnp_core.offline.probe import DEFAULT_SPEC, ProbeSpec
from mnp_core.offline.reach import End
from mnp_core.policy.ends import Host, places
from mnp_core.policy.signatures import Terms

_MOST_PORTS = 16
"""Ports that an address outside of the cluster is asked for."""


def attached(objects: Objects) -> list[ObjectName]:
    """All pods that have attachments, in order."""
    return sorted(name for name, pod in objects.pods.items() if pod.counts and pod.statuses)


def pod_ends(objects: Objects, names: Iterable[ObjectName]) -> list[End]:
    """Pods as ends, with the ports that they declare.

    Raises:
        InputError: There is no such pod.
    """
    return [End.pod(objects.host(name), _declared(objects, name)) for name in names]


def outside_ends(ends: Iterable[End], cidrs: Iterable[Cidr], unknown: frozenset[Address]) -> list[End]:
    """The blocks outside of the cluster that rules can tell apart.

    Args:
        ends: Pods.
        cidrs: The CIDRs of their rules, and of others that are compared with them.
        unknown: Addresses that stand for unknown ones.

    Raises:
        InputError: There are too many.
    """
    ends = list(ends)
    taken = {place.address for end in ends for place in places(end.party)}
    families = {address.version for address in taken - unknown} or {address.version for address in taken}
    ports = sorted({spec for each in rule_ports(ends, Direction.EGRESS) if (spec := _first(each))})[:_MOST_PORTS]
    blocks = outside_blocks(cidrs, families, taken)
    return [End.outside(block.name, block.address, ports or [DEFAULT_SPEC]) for block in blocks]


def rule_cidrs(ends: Iterable[End]) -> frozenset[Cidr]:
    """The CIDRs and excepts in the rules of pods."""
    return Terms.of(_sandboxes(ends)).cidrs


def rule_ports(ends: Iterable[End], *directions: Direction) -> set[PortRange]:
    """The ports in the rules of pods."""
    policies = {policy for sandbox in _sandboxes(ends) for policy in sandbox.interfaces}
    rules = {policy.of(direction) for policy in policies for direction in directions or Direction}
    allows = {allow for each in rules if isinstance(each, Isolated | Audited) for allow in each.allows}
    return {
        each
        for allow in allows
        if isinstance(allow, Allow) and isinstance(allow.ports, Ports)
        for each in allow.ports.ranges
    }


def _sandboxes(ends: Iterable[End]) -> Iterator[SandboxPolicy]:
    for end in ends:
        if isinstance(end.party, Host) and end.party.sandbox is not None:
            yield end.party.sandbox


def _declared(objects: Objects, name: ObjectName) -> list[ProbeSpec]:
    found = {ProbeSpec(protocol=port.protocol, port=port.port) for port in objects.pods[name].ports}
    return sorted(found) or [DEFAULT_SPEC]


def _first(ports: PortRange) -> ProbeSpec | None:
    return None if ports.is_every else ProbeSpec(protocol=ports.protocol, port=ports.first)
