"""The kit's standard tests, which every backend must pass."""

from mnp_core.testing.conformance import BackendConformance
from mnp_nftables import NftablesApplier, NftablesRenderer
from mnp_nftables.rule import Chain, Rule
from mnp_nftables.terms import jump
from plugins.nftables.tests.policies import with_chain

NOWHERE = Chain(name="ingress", rules=(Rule.of(jump("nowhere")),))


class TestNftables(BackendConformance):
    def make_renderer(self):
        return NftablesRenderer()

    def make_applier(self):
        return NftablesApplier()

    def broken_rulesets(self, ruleset):
        """Refused by the applier, and by the kernel at the end of all rules."""
        yield from super().broken_rulesets(ruleset)
        yield with_chain(ruleset, NOWHERE)
