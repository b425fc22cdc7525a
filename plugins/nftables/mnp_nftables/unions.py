"""Unions of groups as named sets."""

from collections.abc import Iterable, Mapping

from mnp_core.model import Address
from mnp_core.netfilter.unions import Union
from mnp_nftables.sets import SetName


def union_name(union: Union) -> SetName:
    """The set of a union."""
    return SetName(family=union.family, endpoints=False, group=union.identity, union=True)


def union_elements(members: Mapping[Union, Iterable[Address]]) -> dict[str, frozenset[str]]:
    """Members as nft writes them, by name of the set."""
    return {str(union_name(union)): frozenset(map(str, found)) for union, found in members.items()}
