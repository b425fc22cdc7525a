"""The kit's standard tests, which every backend must pass, in both of its ways."""

from functools import partial

from attrs import evolve

from mnp_core.testing import nft
from mnp_core.testing.conformance import BackendConformance
from plugins.iptables.tests.pods import WAYS, IptablesApplier, Pod, renderer
from plugins.iptables.tests.test_applier import TAMPERED


class Inside(Pod):
    """The pod that this thread is in."""

    def __init__(self, way):
        super().__init__(None, None, way)

    def run(self, work):
        return work()


class Iptables(BackendConformance):
    way = ""

    def make_renderer(self):
        return renderer

    def make_applier(self):
        return IptablesApplier(WAYS[self.way]())

    def everything(self):
        return "\n".join([*Inside(self.way).listing(), nft.foreign_listing() if "theirs" in nft.listing() else ""])

    def put_foreign_rules(self):
        """In tables of others, and in the chains of those that ours are in."""
        super().put_foreign_rules()
        pod = Inside(self.way)
        pod.ipset("create", "theirs", "hash:ip")
        pod.iptables("-t", "mangle", "-N", "THEIRS")
        pod.iptables("-t", "mangle", "-A", "THEIRS", "-m", "set", "--match-set", "theirs", "src", "-j", "DROP")
        pod.iptables("-t", "mangle", "-A", "PREROUTING", "-j", "THEIRS")
        pod.iptables("-A", "OUTPUT", "-p", "udp", "--dport", "4242", "-j", "DROP", family=6)

    def foreign_rules(self):
        theirs = [line for line in Inside(self.way).listing() if "MNP" not in line and "mnp" not in line]
        return "\n".join([*theirs, super().foreign_rules()])

    def tampering(self):
        for description, change in TAMPERED.items():
            yield description, partial(change, Inside(self.way))

    def broken_rulesets(self, ruleset):
        """Refused by any parser, and by the kernel, which looks for loops last."""
        yield from super().broken_rulesets(ruleset)
        loop = "-A MNP-INGRESS -j MNP-INGRESS\n-I "
        yield evolve(ruleset, text=ruleset.text.replace("-I ", loop))


class TestNft(Iptables):
    way = "nft"


class TestLegacy(Iptables):
    way = "legacy"
