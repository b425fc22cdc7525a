"""Hooks and helpers of the standard tests of appliers: rulesets brought into force and read back. Needs root."""

from collections.abc import Callable, Iterator

from attrs import evolve

from mnp_core.api import PolicyRenderer, RuleApplier, RuleVerifier, Sandbox
from mnp_core.model import Delta, Group, GroupDelta, Ruleset, SandboxPolicy
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.conformance.base import Conformance, missing_hook
from mnp_core.testing.lifecycle import State, regrouping
from mnp_core.testing.policies import (
    DENY,
    GROUP,
    OTHER_GROUP,
    addresses,
    allow,
    allow_endpoints,
    endpoints,
    interface,
    isolated,
    sandbox,
)

MEMBERS = addresses(GROUP, "10.0.0.2", "10.0.0.30", "fd00::2")
SERVED = endpoints(OTHER_GROUP, ("10.0.0.2", "SCTP", 80), ("fd00::2", "TCP", 65535))
FULL = sandbox(
    interface("net1", ingress=isolated(allow([GROUP, "10.0.0.0/8"], ["TCP/80", "UDP/5000-6000"])), egress=DENY),
    interface("net2", egress=isolated(allow_endpoints(OTHER_GROUP))),
    groups=[MEMBERS, SERVED],
)
"""Something of everything."""


class ApplierHooks(Conformance, standard=True):
    """Hooks and helpers of the standard tests of an `mnp_core.api.RuleApplier`, with a renderer of its dialect.

    Each test has a network namespace of its own. Hooks about rules of others and about tampering run inside of it; by
    default they use the nft program, which lists everything in nf_tables.
    """

    def make_renderer(self) -> PolicyRenderer:
        """Make a renderer of the dialect, this plugin's or another's: define this."""
        raise missing_hook(self, "make_renderer")

    def make_applier(self) -> RuleApplier:
        """Make the applier: define this."""
        raise missing_hook(self, "make_applier")

    def everything(self) -> str:
        """List everything in the packet filter, in a form that is the same as long as nothing changes."""
        return nft.listing()

    def put_foreign_rules(self) -> None:
        """Add foreign rules, as near to the plugin's own as possible."""
        nft.load(nft.FOREIGN)

    def foreign_rules(self) -> str:
        """List the rules of `put_foreign_rules`."""
        return nft.foreign_listing()

    def tampering(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Ways to change the plugin's own rules, which are in force: each with a description.

        Each starts from rules in force anew. By default with the nft program: everything, each rule and each set.
        """
        for description, commands in nft.tampering():
            yield description, lambda commands=commands: nft.load(commands)  # type: ignore[misc] # binds it now

    def broken_rulesets(self, ruleset: Ruleset) -> Iterator[Ruleset]:
        """Rulesets that must be refused, made from a good one; by default its text with nonsense at the end."""
        yield evolve(ruleset, text=f"{ruleset.text}\n)(nonsense in no language;\n")

    # --- helpers --------------------------------------------------------------------------------------------------

    def enforce(self, where: Sandbox, policy: SandboxPolicy) -> Ruleset:
        """Bring a policy into force."""
        ruleset = self.make_renderer().render(policy)
        run_inside(where, lambda: self.make_applier().apply(ruleset))
        return ruleset

    def regroup(self, where: Sandbox, before: Group, after: Group) -> Delta:
        """Change the membership of a group."""
        delta = self.make_renderer().render_delta(GroupDelta(before=before, after=after))
        run_inside(where, lambda: self.make_applier().update(delta))
        return delta

    def matches(self, where: Sandbox, ruleset: Ruleset) -> bool:
        """Whether exactly this is in force, as another applier sees it."""
        applier = self.make_applier()
        if isinstance(applier, RuleVerifier):
            return run_inside(where, lambda: applier.is_in_force(ruleset))
        found = run_inside(where, applier.installed)
        return found is not None and found.matches(ruleset)

    def become(self, where: Sandbox, before: State, after: State) -> None:
        """Go from one state to the next, as the agent does: by membership alone where that is all."""
        deltas = regrouping(before, after)
        if after is None:
            run_inside(where, self.make_applier().remove)
        elif deltas is None:
            self.enforce(where, after)
        else:
            for delta in deltas:
                self.regroup(where, delta.before, delta.after)
