"""Addresses that stand for unknown ones, so that rules with selectors can be judged by what the pods are.

They are of the block that is reserved for future use (RFC 1112, section 4): no rule means them, but one for any
address. A network that is known to be IPv6 alone has those of the discard prefix (RFC 6666) instead.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from itertools import count

from attrs import evolve

from mnp_core.model import Address, ObjectName, Pod

_FIRST_V4, _FIRST_V6 = int(IPv4Address("240.0.0.1")), int(IPv6Address("100::1"))


def identify(
    pods: Iterable[Pod], unleased: Collection[ObjectName]
) -> tuple[Mapping[ObjectName, Pod], frozenset[Address]]:
    """Give addresses to attachments that have none yet.

    Args:
        pods: All pods.
        unleased: The networks whose addresses are not known; on others an attachment without addresses has none.

    Returns:
        The changed pods by name, and their new addresses.
    """
    pods = list(pods)
    families: dict[ObjectName, set[int]] = defaultdict(set)
    for pod in pods:
        for status in pod.statuses:
            families[status.network] |= {address.version for address in status.addresses}
    numbers = count()
    changed: dict[ObjectName, Pod] = {}
    for pod in sorted(pods, key=lambda pod: pod.name):
        known = tuple(
            evolve(status, addresses=tuple(_made(families[status.network] or {4}, next(numbers))))
            if not status.addresses and status.network in unleased and not pod.attached
            else status
            for status in pod.statuses
        )
        if known != pod.statuses:
            changed[pod.name] = evolve(pod, statuses=known)
    before = {address for pod in pods for status in pod.statuses for address in status.addresses}
    after = {address for pod in changed.values() for status in pod.statuses for address in status.addresses}
    return changed, frozenset(after - before)


def _made(families: Collection[int], number: int) -> Iterator[Address]:
    if 4 in families:
        yield IPv4Address(_FIRST_V4 + number)
    if 6 in families:
        yield IPv6Address(_FIRST_V6 + number)
