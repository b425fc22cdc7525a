"""Groups and long lists of blocks as ipsets: their names, types and the text of members.

A group has the same sets in every sandbox, one per family, both always declared, so that a change of membership is the
same everywhere. Sets of blocks are named by their content, so they never change. The names here are without the version
that the applier appends (`mnp_iptables.sets.versioned_sets`).
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import summarize_address_range

from attrs import frozen

from mnp_core.model import (
    Address,
    AddressGroup,
    AddressRange,
    Block,
    Cidr,
    EndpointGroup,
    Family,
    Group,
    address_ranges,
)
from mnp_core.model.group import GROUP_ID_LENGTH
from mnp_core.netfilter.unions import Union
from mnp_iptables.names import group_id, short_hash

FAMILIES: tuple[Family, ...] = (4, 6)
_LARGEST = {4: (1 << 32) - 1, 6: (1 << 128) - 1}
_BLOCKS_IN_RULES = 16
"""From this number of CIDRs on, a set costs a packet less than the rules do."""

MAXELEM = 1 << 24
"""Elements that a set may have; ipset's own limit of 65,536 is less than a large cluster."""

Elements = Mapping[str, frozenset[str]]
"""Name of a set to its elements, as ipset writes them."""


@frozen(kw_only=True, order=True)
class SetType:
    """The type of a set: ``hash:ip``, ``hash:ip,port`` or ``hash:net`` of one family."""

    kind: str
    family: Family

    def __str__(self) -> str:
        return f"{self.kind} family {'inet' if self.family == 4 else 'inet6'}"

    @classmethod
    def parse(cls, text: str) -> "SetType":
        """Parse the form of `__str__`."""
        kind, _, family = text.split(" ")
        return cls(kind=kind, family=4 if family == "inet" else 6)


def group_set(identity: str, family: Family) -> str:
    """The set of a group of addresses."""
    return f"mnp{family}-{group_id(identity)}"


def endpoint_set(identity: str, family: Family) -> str:
    """The set of a group of endpoints."""
    return f"mnpe{family}-{group_id(identity)}"


def union_set(union: Union) -> str:
    """The set of a union of groups."""
    return f"mnpu{union.family}-{union.identity}"


def union_elements(members: Mapping[Union, Iterable[Address]]) -> dict[str, frozenset[str]]:
    """Members of unions as elements, without those that `elements` leaves out, too."""
    return {
        union_set(union): frozenset(str(each) for each in found if not each.is_unspecified)
        for union, found in members.items()
    }


def set_types(group: Group) -> dict[str, SetType]:
    """The sets of a group."""
    if isinstance(group, EndpointGroup):
        return {endpoint_set(group.id, family): SetType(kind="hash:ip,port", family=family) for family in FAMILIES}
    return {group_set(group.id, family): SetType(kind="hash:ip", family=family) for family in FAMILIES}


def elements(group: Group) -> dict[str, frozenset[str]]:
    """The elements of each of a group's sets.

    The unspecified address (0.0.0.0, ::), which a status may claim, is left out: no pod has it, ipset refuses it, and
    one such claim must not keep a whole ruleset from coming into force (S6).
    """
    match group:
        case AddressGroup(id=identity, members=addresses):
            return {
                group_set(identity, family): frozenset(
                    str(each) for each in addresses if each.version == family and not each.is_unspecified
                )
                for family in FAMILIES
            }
        case EndpointGroup(id=identity, members=endpoints):
            return {
                endpoint_set(identity, family): frozenset(
                    f"{each.address},{each.protocol.name.lower()}:{each.port}"
                    for each in endpoints
                    if each.address.version == family and not each.address.is_unspecified
                )
                for family in FAMILIES
            }


@frozen(kw_only=True)
class Blocks:
    """The union of blocks in one family (S23).

    Attributes:
        everything: They cover the whole family.
        cidrs: Else: disjoint, sorted.
    """

    family: Family
    everything: bool
    cidrs: tuple[Cidr, ...]

    @property
    def set_name(self) -> str:
        """The set that holds them, empty if they are few enough to be written into rules."""
        if len(self.cidrs) <= _BLOCKS_IN_RULES:
            return ""
        return f"mnpb{self.family}-{short_hash(' '.join(map(str, self.cidrs)), GROUP_ID_LENGTH)}"


def combine(blocks: Iterable[Block], family: Family) -> Blocks:
    """The union of the blocks of one family, excepts cut out."""
    ranges = address_ranges(blocks, family)
    if any(_is_whole_family(span) for span in ranges):
        return Blocks(family=family, everything=True, cidrs=())
    return Blocks(family=family, everything=False, cidrs=_cidrs(ranges))


def _cidrs(ranges: Sequence[AddressRange]) -> tuple[Cidr, ...]:
    return tuple(cidr for span in ranges for cidr in summarize_address_range(span.first, span.last))


def _is_whole_family(span: AddressRange) -> bool:
    return int(span.last) - int(span.first) == _LARGEST[span.first.version]
