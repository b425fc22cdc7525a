"""The faults: each is a row of the table, a context manager around changes that are made meanwhile.

A row is added by adding to `FAULTS`. Each asserts that the fault was there, and undoes it.
"""

from collections.abc import Callable
from errno import EAGAIN, EINTR, ENOBUFS, ENOMEM
from functools import partial

from attrs import frozen

from tests.faults import kernel, kills, shortages, surroundings
from tests.faults.bed import Bed

MEMBERS, POLICY = Bed.change_members, Bed.change_policy


@frozen(kw_only=True)
class Fault:
    """One row of the table of faults.

    Attributes:
        name: The fault.
        inject: Causes it, for the length of a block.
        lasts: Duration, in seconds.
        change: The change of policy or members meanwhile.
        told: Texts that the log has to have then.
        opens: Whether it opens the pod, by design: then it has to be in the log (docs/security.md).
        cuts: Whether it cuts the allowed flow itself.
        replaces: Whether another backend takes over meanwhile, so that there is another table afterwards.
        memory: MiB that the process may grow by.
        fresh: Whether the agent is started anew before: pauses between requests grow with the failures of other rows.
        tier: The mark of the runs that it is left to: ``full``, ``long``, or none.
    """

    name: str
    inject: Callable
    lasts: float = 0.5
    change: Callable = Bed.change
    told: tuple = ()
    opens: bool = False
    cuts: bool = False
    replaces: bool = False
    memory: float = 10
    fresh: bool = False
    tier: str = ""

    def __str__(self):
        return self.name


FAULTS = (
    Fault(name="killed before a commit", inject=kills.killed, tier="full"),
    Fault(name="killed between commit and stamp", inject=partial(kills.killed, when="after")),
    Fault(
        name="killed between commit and clean-up",
        inject=kills.killed_in_clean_up,
        change=POLICY,
    ),
    Fault(
        name="killed at a change of members",
        inject=partial(kills.killed, when="after"),
        change=MEMBERS,
        tier="full",
    ),
    Fault(
        name="killed at start, before the first message", inject=partial(kills.killed_at_start, on="send"), tier="full"
    ),
    Fault(name="killed at takeover, after the first commit", inject=partial(kills.killed_at_start, when="after")),
    Fault(
        name="iptables: killed between sets and rules", inject=kills.killed_with_iptables, replaces=True, tier="full"
    ),
    Fault(name="killed 50 times at any moment", inject=partial(kills.killed_at_random, lives=50), tier="long"),
    Fault(name="killed at each message of a change", inject=kills.killed_everywhere, tier="long"),
    Fault(name="killed at each message of a start", inject=partial(kills.killed_everywhere, starts=True), tier="long"),
    Fault(name="out of memory: OOM kill", inject=shortages.out_of_memory),
    Fault(name="out of memory: allocations fail", inject=shortages.no_address_space, tier="full"),
    Fault(name="SIGSTOP, 5 s", inject=shortages.stopped, lasts=5),
    Fault(name="SIGSTOP, 60 s", inject=shortages.stopped, lasts=60, tier="long"),
    Fault(name="notifications lost, drift among them", inject=shortages.overflown),
    Fault(name="disk full: log and TMPDIR", inject=shortages.full_disk),
    Fault(name="descriptors exhausted", inject=shortages.no_descriptors, lasts=1, told=("limit of open files",)),
    Fault(
        name="netlink: EAGAIN, ENOBUFS, EINTR",
        inject=kernel.ordered(do="error", codes=[EAGAIN, ENOBUFS, EINTR], every=3),
        lasts=1,
    ),
    Fault(
        name="commits refused",
        inject=kernel.ordered(do="spoil", old="mnp\0", new="mnq\0"),
        told=("nf_tables refuses",),
    ),
    Fault(name="a commit refused for lack of memory", inject=kernel.ordered(do="answer", code=ENOMEM, number=1)),
    Fault(
        name="a clean-up refused for lack of memory",
        inject=kernel.clean_up_refused,
        change=POLICY,
        tier="full",
    ),
    Fault(
        name="kernel without an expression",
        inject=kernel.ordered(do="spoil", old="counter\0", new="cuonter\0"),
        told=("nf_tables refuses",),
        tier="full",
    ),
    Fault(name="kernel without an expression, at start", inject=kernel.starts_without_counters, tier="full"),
    Fault(name="kernel without nf_tables, at start", inject=kernel.without_nf_tables, tier="full"),
    Fault(name="namespace deleted during a commit", inject=kernel.namespace_deleted),
    Fault(
        name="interface renamed", inject=kernel.interface_renamed, opens=True, cuts=True, told=("reason=Unenforceable",)
    ),
    Fault(name="interface made anew", inject=kernel.interface_recreated, cuts=True),
    Fault(name="50 pods at once", inject=partial(shortages.many_pods, number=50), memory=30),
    Fault(name="500 pods at once", inject=partial(shortages.many_pods, number=500), memory=100, tier="long"),
    Fault(name="API server: down", inject=lambda bed: bed.server.down(), lasts=1, fresh=True),
    Fault(name="API server: down for 60 s", inject=lambda bed: bed.server.down(), lasts=60, tier="long", fresh=True),
    Fault(name="API server: slow", inject=lambda bed: bed.server.slow(), lasts=1, fresh=True, tier="full"),
    Fault(name="API server: late, twice, in any order", inject=surroundings.lying, lasts=1, fresh=True),
    Fault(name="API server: 410", inject=surroundings.compacted, lasts=1, fresh=True, tier="full"),
    Fault(
        name="API server: 429",
        inject=lambda bed: bed.server.refusing(429, **{"Retry-After": "1"}),
        lasts=1,
        fresh=True,
        tier="full",
    ),
    Fault(name="etcd restored from a snapshot", inject=surroundings.restored, fresh=True),
    Fault(name="container runtime restarts", inject=surroundings.no_runtime, lasts=1),
    Fault(name="clock: a day forth, a day back", inject=surroundings.clock_steps, tier="full"),
)
