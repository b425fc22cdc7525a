"""Whether one peer, entry of ports, rule or selector contains another, whatever objects there are.

An answer is "yes" only if it holds in every cluster; "no" may mean "not known". Selectors are compared by their
requirements, blocks by their addresses.
"""

from collections.abc import Iterable

from mnp_core.model import AddressRange, AnyPeer, AnyPort, Block, NamedPort, PodPeer, PolicyRule, PortRange, Selector
from mnp_core.model.address import address_ranges, parse_cidr
from mnp_core.model.policy import PolicyPeer, PolicyPort
from mnp_core.model.port import merged_ranges
from mnp_core.model.selector import Operator, Requirement

Peers = tuple[PolicyPeer, ...] | AnyPeer
PortEntries = tuple[PolicyPort, ...] | AnyPort

EVERYTHING = tuple(Block(cidr=parse_cidr(cidr)) for cidr in ("0.0.0.0/0", "::/0"))
"""Blocks of all addresses."""


def rule_covers(wide: PolicyRule, narrow: PolicyRule) -> bool:
    """Whether a rule allows everything that another one of the same direction allows.

    The policy of the wide one has to have all networks of the other's.
    """
    return peers_cover(wide.peers, narrow.peers) and ports_cover(wide.ports, narrow.ports)


def peers_cover(wide: Peers, narrow: Peers) -> bool:
    """Whether peers contain others."""
    if isinstance(wide, AnyPeer):
        return True
    if isinstance(narrow, AnyPeer):
        return False
    return all(_is_among(peer, wide) for peer in narrow)


def _is_among(peer: PolicyPeer, others: Iterable[PolicyPeer]) -> bool:
    if isinstance(peer, Block):
        return blocks_cover((other for other in others if isinstance(other, Block)), [peer])
    return any(isinstance(other, PodPeer) and pods_cover(other, peer) for other in others)


def peer_covers(wide: PolicyPeer, narrow: PolicyPeer) -> bool:
    """Whether one peer contains another."""
    return _is_among(narrow, [wide])


def blocks_cover(wide: Iterable[Block], narrow: Iterable[Block]) -> bool:
    """Whether blocks together contain every address of others."""
    wide, narrow = list(wide), list(narrow)
    return all(
        _within(part, address_ranges(wide, family)) for family in (4, 6) for part in address_ranges(narrow, family)
    )


def _within(part: AddressRange, ranges: Iterable[AddressRange]) -> bool:
    first, last = int(part.first), int(part.last)
    return any(int(each.first) <= first and last <= int(each.last) for each in ranges)


def pods_cover(wide: PodPeer, narrow: PodPeer) -> bool:
    """Whether selectors match every pod that others match."""
    return _namespaces_cover(wide, narrow) and implies(narrow.pod_selector, wide.pod_selector)


def _namespaces_cover(wide: PodPeer, narrow: PodPeer) -> bool:
    if wide.namespace is not None:
        return wide.namespace == narrow.namespace
    selector = wide.namespace_selector
    if selector is None or selector.never:
        return False
    if narrow.namespace_selector is None:  # the labels of the namespace are not known here
        return not selector.requirements
    return implies(narrow.namespace_selector, selector)


def implies(selector: Selector, other: Selector) -> bool:
    """Whether everything that a selector matches is matched by another one."""
    if other.never:
        return False
    return selector.never or all(
        any(_implies(own, wanted) for own in selector.requirements if own.key == wanted.key)
        for wanted in other.requirements
    )


def _implies(own: Requirement, wanted: Requirement) -> bool:
    """Whether a requirement of one label contains another one."""
    match wanted.operator:
        case Operator.IN:
            return own.operator is Operator.IN and own.values <= wanted.values
        case Operator.EXISTS:
            return own.operator in {Operator.IN, Operator.EXISTS}
        case Operator.DOES_NOT_EXIST:
            return own.operator is Operator.DOES_NOT_EXIST
        case Operator.NOT_IN:
            return (
                own.operator is Operator.DOES_NOT_EXIST
                or (own.operator is Operator.IN and own.values.isdisjoint(wanted.values))
                or (own.operator is Operator.NOT_IN and own.values >= wanted.values)
            )


def ports_cover(wide: PortEntries, narrow: PortEntries) -> bool:
    """Whether entries of ports contain others."""
    if isinstance(wide, AnyPort):
        return True
    if isinstance(narrow, AnyPort):
        return False
    ranges = merged_ranges(port for port in wide if isinstance(port, PortRange))
    names = {port for port in wide if isinstance(port, NamedPort)}
    return all(port in names or _is_within(port, ranges) for port in narrow)


def port_covers(wide: PolicyPort, narrow: PolicyPort) -> bool:
    """Whether one entry contains another."""
    return ports_cover((wide,), (narrow,))


def _is_within(port: PolicyPort, ranges: Iterable[PortRange]) -> bool:
    if isinstance(port, NamedPort):  # a name may be any port
        return any(each.is_every and each.protocol == port.protocol for each in ranges)
    return any(
        each.protocol == port.protocol and each.first <= port.first and port.last <= each.last for each in ranges
    )
