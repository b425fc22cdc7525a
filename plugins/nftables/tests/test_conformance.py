"""The kit's standard tests: what this plugin must do as every backend must."""

from attrs import evolve

from mnp_core.testing.conformance import BackendConformance
from mnp_nftables import NftablesApplier, NftablesRenderer


class TestNftables(BackendConformance):
    def make_renderer(self):
        return NftablesRenderer()

    def make_applier(self):
        return NftablesApplier()

    def broken_rulesets(self, ruleset):
        """Refused by the library, and by the kernel at the very end of the transaction."""
        yield from super().broken_rulesets(ruleset)
        yield evolve(ruleset, text=f"{ruleset.text}add rule inet mnp ingress jump nowhere\n")
