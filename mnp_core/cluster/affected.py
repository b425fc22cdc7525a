"""The consequences of a batch of changes: collected in `Dirty` while it is applied, returned as `Affected`."""

from attrs import field

from mnp_core.classes import define, frozen
from mnp_core.cluster.multimap import Multimap
from mnp_core.model import BlocksDelta, GroupDelta, ObjectName, ObjectRef

GroupChange = tuple[GroupDelta, frozenset[ObjectName]]
"""The difference of a group, and the local pods that use the group."""

BlocksChange = tuple[BlocksDelta, frozenset[ObjectName]]
"""The difference of the blocks of a rule, and the local pods that have the rule."""

MembersChange = tuple[GroupDelta | BlocksDelta, frozenset[ObjectName]]
"""One or the other."""


@frozen(kw_only=True)
class Affected:
    """The work that a batch of changes leaves to do in the sandboxes of this node.

    Attributes:
        sandboxes: Local pods whose rules may have changed as a whole, including pods without any attachment left.
        gone: Local pods that exist no longer: their namespaces go with them, nothing is to be written.
        deltas: Changes of membership, in groups and in lists of blocks, without users that are in `sandboxes`.
    """

    sandboxes: frozenset[ObjectName] = frozenset()
    gone: frozenset[ObjectName] = frozenset()
    deltas: tuple[MembersChange, ...] = ()


@define
class Dirty:
    """Names of pods to refresh at the end of a batch.

    Attributes:
        peers: Pods that may have joined or left groups.
        targets: Pods whose rules may have changed as a whole.
        policies: Policies that have changed, by the pods that they select or selected.
        problems: Pods whose own reports may have changed.
        were_local: Pods that had attachments and counted on this node before the batch.
    """

    peers: set[ObjectName] = field(factory=set)
    targets: set[ObjectName] = field(factory=set)
    policies: Multimap[ObjectName, ObjectRef] = field(factory=Multimap)
    problems: set[ObjectName] = field(factory=set)
    were_local: set[ObjectName] = field(factory=set)
