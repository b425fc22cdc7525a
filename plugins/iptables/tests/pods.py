"""The kit's pods, on which this plugin enforces policy in either way."""

import subprocess
from functools import partial

from mnp_core.testing.hosts import EnforcedHost
from mnp_iptables.applier import IptablesApplier
from mnp_iptables.render.renderer import IptablesRenderer
from mnp_iptables.restore import sockopt
from mnp_iptables.restore.legacy import LegacyRules
from mnp_iptables.restore.nft import NftRules

WAYS = {"nft": NftRules, "legacy": LegacyRules}
renderer = IptablesRenderer()


class Pod(EnforcedHost):
    """A pod, on which policy is enforced in one of both ways."""

    def __init__(self, sandbox, cleanup, way):
        super().__init__(sandbox, cleanup, renderer, IptablesApplier(WAYS[way]()))
        self.way = way

    def installed(self):
        return self.run(self.applier.installed)

    def generation(self):
        return self.run(self.applier.generation)

    def iptables(self, *arguments, family=4):
        """Run the iptables program of this way, as a user or another program in the pod would."""
        tool = {4: "iptables", 6: "ip6tables"}[family]
        return self.program(f"{tool}-{self.way}", *arguments)

    def ipset(self, *arguments):
        return self.program("ipset", *arguments)

    def program(self, *command, text=""):
        done = self.run(partial(subprocess.run, command, input=text, text=True, capture_output=True))
        assert not done.returncode, done.stderr
        return done.stdout

    def listing(self):
        """All chains and rules of both families, and all sets; an empty table is as good as none."""
        lines = self.sets()
        for tool, family in (("iptables", 4), ("ip6tables", 6)):
            for table in self._tables(family):
                saved = self.program(f"{tool}-{self.way}-save", "-t", table).splitlines()
                kept = (line.partition(" [")[0] for line in saved if line.startswith((":", "-A")))
                lines += [
                    f"{tool} -t {table} {line}" for line in kept if not line.endswith(" ACCEPT") or line[0] == "-"
                ]
        return lines

    def sets(self):
        """All sets with their elements, without the random numbers that the kernel gives them."""
        lines = self.ipset("save").splitlines()
        return sorted(line.partition(" hashsize")[0] for line in lines)

    def _tables(self, family):
        """Tables that can be listed without creating them."""
        if self.way == "nft":
            return ["mangle", "filter", "nat"]
        return sorted(self.run(lambda: sockopt.tables(family)))
