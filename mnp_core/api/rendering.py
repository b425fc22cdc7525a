"""Policy rendering: dialects in which policy is written."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from mnp_core.classes import frozen
from mnp_core.model import BlocksDelta, Delta, Feature, GroupDelta, Ruleset, SandboxPolicy


class PolicyRenderer(Protocol):
    """Writes policy in one dialect. Pure: no I/O, same text for equal input in every process."""

    def render(self, policy: SandboxPolicy) -> Ruleset:
        """Write everything that is to be in force in one sandbox.

        The result does not depend on `policy.pod`, which is for messages: copies of a pod share one ruleset.
        """

    def render_delta(self, delta: GroupDelta) -> Delta:
        """Write a change of one group's membership, for every sandbox that uses the group."""


@runtime_checkable
class SandboxDeltaRenderer(Protocol):
    """Optional: a renderer whose rulesets have sets of several groups, such as an index of their members."""

    def render_sandbox_delta(self, deltas: Sequence[GroupDelta], policy: SandboxPolicy) -> Delta | None:
        """Write the effect of changes of membership on the sets of one sandbox that belong to no single group.

        Applied after the deltas of the groups themselves, so the rules must not depend on the order.

        Args:
            deltas: All changes of groups since the last rendering for this sandbox, in order.
            policy: The sandbox's policy after these changes.

        Returns:
            The change; None for a ruleset without such sets.
        """


@runtime_checkable
class BlocksRenderer(Protocol):
    """Optional: a renderer that keeps the blocks of a rule in sets, so that a changed CIDR is a change of elements.

    The sets are named by `mnp_core.model.Peers.list_id`, not by their content.
    """

    def render_blocks_delta(self, delta: BlocksDelta) -> Delta | None:
        """Write a change of the blocks of one rule, for every sandbox that has the rule.

        Returns:
            The change, which leads from the ruleset with the blocks before to the one with those after: these have one
            digest. None if the rule is written otherwise after it: the agent replaces the rules then.
        """


@frozen(kw_only=True)
class PolicyRendererSpec:
    """Registers a `PolicyRenderer` for one dialect.

    Attributes:
        name: For settings and messages.
        dialect: The language that it writes; two renderers of one dialect are an error.
        factory: Makes the renderer.
        refuses: Settings that it cannot write. A node that has one of them in force and would use this renderer
            does not start, and `render` raises `InputError` or `UnsupportedError` for a policy that has one.
    """

    name: str
    dialect: str
    factory: Callable[[], PolicyRenderer]
    refuses: frozenset[Feature] = frozenset()
