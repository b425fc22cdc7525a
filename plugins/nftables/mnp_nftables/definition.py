"""One table as it is to be: as text, as messages, and in the forms in which it is compared.

The messages are made when they are sent: mostly only the difference from the rules in force is
(`mnp_nftables.difference`).
"""

from collections.abc import Sequence
from functools import cached_property

from attrs import field, frozen

from mnp_core.model import CustomRules
from mnp_core.netfilter.batch import Batch
from mnp_core.netfilter.messages import NFPROTO_BRIDGE, NFPROTO_INET
from mnp_nftables.content import rules_digest, table_digest
from mnp_nftables.custom import custom_chain, rule_lines
from mnp_nftables.rule import Chain
from mnp_nftables.sets import Elements, SetName, command
from mnp_nftables.structure import Structure
from mnp_nftables.transaction import (
    BASE_CHAINS,
    CustomChain,
    chain_contents,
    messages_of,
    one_set_content,
    set_contents,
    text_of,
)

_FAMILIES = {"inet": NFPROTO_INET, "bridge": NFPROTO_BRIDGE}


@frozen(kw_only=True, slots=False, eq=False)
class TableDefinition:
    """A table.

    Attributes:
        family: As nft names it.
        sets: Its sets.
        chains: Its chains; custom chains apart.
        custom: Custom rules, compiled on the node that applies them.
        members: The elements of all sets.
        structure: What is kept of it.
        digest: As that of its `Content` in the kernel.
    """

    family: str = "inet"
    sets: Sequence[SetName]
    chains: Sequence[Chain]
    custom: tuple[CustomRules, ...] = ()
    members: Elements = field(factory=dict)
    structure: Structure = field(init=False)
    digest: str = field(init=False)

    @structure.default
    def _structure(self) -> Structure:
        return Structure(
            chains={chain.name: chain.digest for chain in self.chains},
            sets={str(name): one_set_content(name) for name in self.sets},
            custom=self.custom,
        )

    @digest.default
    def _digest(self) -> str:
        digests = {chain.name: chain.digest for chain in self.chains if chain.rules}
        digests |= {chain.name: rules_digest([chain.content()]) for chain in self._custom_chains}
        return table_digest(self._chain_contents(), self.structure.sets.values(), digests)

    @cached_property
    def outline(self) -> tuple[frozenset[bytes], frozenset[bytes]]:
        """Each chain and each named set, in the form for comparison."""
        return self._chain_contents(), set_contents(self.sets)

    @property
    def text(self) -> str:
        """The transaction as nft takes it, made anew."""
        rules = text_of(self.sets, self.chains, self._custom_chains, self.family)
        return f"{rules}{command('add', self.members, self.family)}# digest {self.digest}\n"

    @cached_property
    def batch(self) -> Batch:
        """The transaction as the kernel takes it, the rules of custom chains apart."""
        batch = messages_of(self.sets, self.chains, self._custom_chains, self.members)
        return batch if self.family == "inet" else batch.in_family(_FAMILIES[self.family])

    def _chain_contents(self) -> frozenset[bytes]:
        custom = map(custom_chain, self.custom)
        return chain_contents({*BASE_CHAINS, *custom, *(chain.name for chain in self.chains)})

    @property
    def _custom_chains(self) -> tuple[CustomChain, ...]:
        return tuple(CustomChain(name=custom_chain(each), lines=rule_lines(each)) for each in self.custom)
