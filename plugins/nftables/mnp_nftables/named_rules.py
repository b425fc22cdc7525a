"""Rules of ours in the kernel, by interface, direction and label: their counters and places."""

from collections import Counter
from collections.abc import Iterable, Iterator

from mnp_core.model import Direction, RuleCounter, RulePlace
from mnp_core.netfilter.comments import decode
from mnp_nftables.names import ChainName
from mnp_nftables.sets import TABLE
from mnp_nftables.table import Counted, Placed
from mnp_nftables.transaction import BASE_CHAINS


def counters_of(rule: Counted) -> Iterator[RuleCounter]:
    """The counter of a rule in the chain of an interface, or of one in front of them all, about every interface."""
    if (scope := _scope(rule.chain)) is not None:
        interface, direction = scope
        yield RuleCounter(
            interface=interface,
            direction=direction.value,
            label=decode(rule.comment),
            packets=rule.packets,
            bytes=rule.bytes,
        )


def places_of(rules: Iterable[Placed], *, bridged: bool) -> Iterator[RulePlace]:
    """The places of the rules of one table, of family ``bridge`` or ``inet``."""
    counts = Counter[str]()
    for rule in rules:
        counts[rule.chain] += 1
        yield _place(rule, counts[rule.chain], bridged=bridged)


def _place(rule: Placed, position: int, *, bridged: bool) -> RulePlace:
    interface, direction = _scope(rule.chain) or ("", None)
    return RulePlace(
        bridged=bridged,
        table=TABLE,
        chain=rule.chain,
        handle=rule.handle,
        position=position,
        interface=interface,
        direction=direction.value if direction is not None else "",
        label=decode(rule.comment),
    )


def _scope(chain: str) -> tuple[str, Direction] | None:
    """Interface and direction that a chain of ours is about; no interface in front of them all, None for others."""
    if chain in BASE_CHAINS:
        return "", BASE_CHAINS[chain][3]
    found = ChainName.parse(chain)
    return (found.interface, found.direction) if found is not None else None
