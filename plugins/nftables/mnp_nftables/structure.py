"""A ruleset without its text and messages: what is kept of it to tell later what another one has in common with it."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

from attrs import evolve, field, frozen

from mnp_core.model import CustomRules
from mnp_nftables.content import Content, joined
from mnp_nftables.rule import Chain
from mnp_nftables.sets import SetName
from mnp_nftables.transaction import one_set_content

_DIGEST_SIZE = 16


@frozen(kw_only=True, eq=False)
class Structure:
    """A table.

    Attributes:
        chains: Name to a digest of its rules; custom chains apart.
        sets: Name to all that the kernel knows of the set but its members.
        custom: Custom rules.
        frames: The table for bridged interfaces; None without one.
    """

    chains: Mapping[str, bytes]
    sets: Mapping[str, bytes]
    custom: tuple[CustomRules, ...] = field(factory=tuple)
    frames: "Structure | None" = None


def structure_of(
    content: Content, sets: Iterable[SetName], chains: Iterable[Chain], custom: tuple[CustomRules, ...]
) -> Structure:
    """The structure of one table."""
    by_chain: defaultdict[str, list[bytes]] = defaultdict(list)
    for chain, rule in content.rules:
        by_chain[chain].append(rule)
    return Structure(
        chains={chain.name: _digest(by_chain[chain.name]) for chain in chains},
        sets={str(name): one_set_content(name) for name in sets},
        custom=custom,
    )


def with_frames(structure: Structure | None, frames: Structure | None) -> Structure | None:
    """The structure of both tables."""
    return evolve(structure, frames=frames) if structure is not None else None


def _digest(rules: Iterable[bytes]) -> bytes:
    return hashlib.blake2b(joined(*rules), digest_size=_DIGEST_SIZE).digest()
