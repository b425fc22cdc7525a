"""The blocks of one rule as a list with an identity: a set with members, as a group is.

The identity is that of the rule, so it stays while its blocks change, and is the same on every pod: a renderer that
keeps the list in a set of that name writes a changed CIDR as a change of elements (`BlocksDelta`), not of rules.
"""

from mnp_core.classes import frozen
from mnp_core.model.address import Block
from mnp_core.model.group import identity_of
from mnp_core.model.rules import Origin


def block_list_id(origin: Origin) -> str:
    """The identity of the blocks of a rule, in the form of `GroupSpec.identity`."""
    ref = origin.policy
    return identity_of("\0".join((ref.kind, ref.name.namespace, ref.name.name, origin.direction, str(origin.rule))))


@frozen(kw_only=True)
class BlocksDelta:
    """A change of the blocks of one rule, to which nothing else of it has changed.

    Attributes:
        id: The identity of the list (`Peers.list_id`).
        before: The blocks before, in their order; never empty.
        after: The blocks after, likewise.
    """

    id: str
    before: tuple[Block, ...]
    after: tuple[Block, ...]
