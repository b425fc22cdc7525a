"""Cost of writing and reading one sandbox: `python benchmarks/iptables_apply.py` as root.

As `nftables_apply.py`, for both ways of the iptables plugin; medians in milliseconds. Budgets: everything anew in
150 ms through iptables-nft and 300 ms through the legacy tables, one member in 5 ms.
"""

from ipaddress import IPv4Address

from nftables_apply import MEMBERS, REPEATS, RULES, group, sandbox, timed

from mnp_core.api import Sandbox
from mnp_core.model import Delta, GroupDelta, Ruleset
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import private_namespace
from mnp_iptables.applier import IptablesApplier
from mnp_iptables.render.renderer import IptablesRenderer
from mnp_iptables.restore.legacy import LegacyRules
from mnp_iptables.restore.nft import NftRules


def main() -> None:
    members = [IPv4Address("10.0.0.1") + number for number in range(MEMBERS)]
    others = [IPv4Address("10.100.0.1") + number for number in range(MEMBERS)]
    newcomers = [IPv4Address("10.200.0.1") + number for number in range(REPEATS)]
    renderer = IptablesRenderer()
    rulesets = [renderer.render(sandbox(each)) for each in (members, others)]
    deltas = [GroupDelta(before=group(members), after=group([*members, newcomer])) for newcomer in newcomers]
    added = [renderer.render_delta(delta) for delta in deltas]
    removed = [renderer.render_delta(GroupDelta(before=delta.after, after=delta.before)) for delta in deltas]

    print(f"{MEMBERS} members, {RULES} rules, median of {REPEATS}")
    timed("render", lambda _: renderer.render(sandbox(members)))
    timed("render one member more", lambda number: renderer.render_delta(deltas[number]))
    for rules in (NftRules(), LegacyRules()):
        print(f"-- {rules.probe()}")
        with private_namespace() as namespace:
            measure(namespace, IptablesApplier(rules), rulesets, added, removed)


def measure(
    namespace: Sandbox, applier: IptablesApplier, rulesets: list[Ruleset], added: list[Delta], removed: list[Delta]
) -> None:
    def apply(ruleset: Ruleset) -> None:
        run_inside(namespace, lambda: applier.apply(ruleset))

    def update(delta: Delta) -> None:
        run_inside(namespace, lambda: applier.update(delta))

    timed("everything, all members new", lambda number: apply(rulesets[number % 2]))
    timed("everything, members as before", lambda _: apply(rulesets[0]))
    timed("read what is installed", lambda _: run_inside(namespace, applier.installed))
    timed("read the counters", lambda _: run_inside(namespace, applier.counters))
    timed("read the generation", lambda _: run_inside(namespace, applier.generation))
    timed("one member more", lambda number: update(added[number]))
    timed("one member less", lambda number: update(removed[number]))


if __name__ == "__main__":
    main()
