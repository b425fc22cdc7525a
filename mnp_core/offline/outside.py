"""The world outside of the cluster, cut into blocks that rules can tell apart."""

from collections.abc import Collection, Container, Iterable, Iterator
from ipaddress import ip_network

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import Address, Cidr

MOST_BLOCKS = 4_000
"""Distinct CIDRs of one answer."""

_EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_SHOWN = 3  # holes in a block's name


@frozen(kw_only=True)
class Outside:
    """A block of addresses without the blocks inside it.

    Attributes:
        name: Its CIDR and holes; for the remaining addresses of a family in words.
        address: One of its addresses, no pod's.
    """

    name: str
    address: Address


def outside_blocks(cidrs: Iterable[Cidr], families: Container[int], taken: Collection[Address]) -> tuple[Outside, ...]:
    """The parts of the address space that CIDRs make.

    A part without an address outside of the cluster is left out.

    Args:
        cidrs: The CIDRs and excepts of rules.
        families: The families in use.
        taken: The addresses of pods.

    Raises:
        InputError: There are too many.
    """
    everything = {block for block in _EVERYTHING if block.version in families}
    blocks = {cidr for cidr in cidrs if cidr.version in families} | everything
    if len(blocks) > MOST_BLOCKS:
        raise InputError(
            f"the policies have {len(blocks)} distinct CIDRs, the limit is {MOST_BLOCKS}: leave --outside out, or "
            "name fewer manifests"
        )
    return tuple(part for block, holes in _tree(blocks) for part in _part(block, holes, taken))


def _tree(blocks: Collection[Cidr]) -> Iterator[tuple[Cidr, list[Cidr]]]:
    """Each block with the blocks directly inside it, in the order of addresses, larger ones first."""
    ordered = sorted(blocks, key=lambda cidr: (cidr.version, int(cidr.network_address), cidr.prefixlen))
    holes: dict[Cidr, list[Cidr]] = {cidr: [] for cidr in ordered}
    around: list[Cidr] = []
    for cidr in ordered:
        while around and not _inside(cidr, around[-1]):
            around.pop()
        if around:
            holes[around[-1]].append(cidr)
        around.append(cidr)
    yield from holes.items()


def _inside(cidr: Cidr, other: Cidr) -> bool:
    return cidr.version == other.version and cidr.network_address in other


def _part(block: Cidr, holes: list[Cidr], taken: Collection[Address]) -> Iterator[Outside]:
    number, last = int(block.network_address), int(block.broadcast_address)
    make = type(block.network_address)
    beyond = {int(hole.network_address): int(hole.broadcast_address) + 1 for hole in holes}
    while number <= last:
        if number in beyond:
            number = beyond[number]
        elif make(number) in taken:
            number += 1
        else:
            yield Outside(name=_name(block, holes), address=make(number))
            return


def _name(block: Cidr, holes: list[Cidr]) -> str:
    if block in _EVERYTHING:
        return f"{'other' if holes else 'any'} IPv{block.version} outside"
    more = f" and {len(holes) - _SHOWN} more" if len(holes) > _SHOWN else ""
    return f"{block} except {', '.join(map(str, holes[:_SHOWN]))}{more}" if holes else str(block)
