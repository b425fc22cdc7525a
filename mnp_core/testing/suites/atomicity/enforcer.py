"""A node agent that changes its mind all the time, in a process that is killed again and again.

All that it ever puts in force allows the one flow and denies the others; everything else about policies and groups
changes. Before and after each write into the kernel it notes the time.
"""

import random
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from attrs import evolve

from mnp_core.agent.agent import Agent
from mnp_core.api import PathApplier, Result, RuleApplier, Sandbox, Sync
from mnp_core.backend import Backend, Backends, BackendSettings
from mnp_core.cluster import ClusterState
from mnp_core.model import Attachment, Change, CommonRules, Delta, LinkPath, ObjectName, ObjectRef, Pod, Policy, Ruleset
from mnp_core.plugins import load_plugins
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.testing.builders import block, network, pod, pods, policy, requirement, rule, selector, serves, status
from mnp_core.testing.suites.atomicity.processor import have_processor
from mnp_core.testing.suites.atomicity.write_log import Kind, WriteLog
from mnp_core.testing.suites.wire.attachments import claimed_types, make_discoverers

VICTIM, FRIEND, ATTACKER = "10.0.0.1", "10.0.0.2", "10.0.0.3"
VICTIM6, ATTACKER6 = "fd00::1", "fd00::3"
OPEN_PORT, CLOSED_PORT = 80, 81
GUESTS = 40
HERE = "here"
THERE = "there"  # a pod that was never scheduled is no peer (S5)


def main(sandbox: Sandbox, log: Path, seed: int, backend: str) -> None:
    """Enforce changing policies until killed."""
    have_processor(min)
    Enforcer(sandbox, WriteLog(log), seed, backend).run()


def careless_main(sandbox: Sandbox, log: Path, seed: int, backend: str) -> None:
    """The same with an agent that clears the rules before it writes."""
    have_processor(min)
    CarelessEnforcer(sandbox, WriteLog(log), seed, backend).run()


class Enforcer:
    """One life of the agent."""

    def __init__(self, sandbox: Sandbox, write_log: WriteLog, seed: int, backend: str) -> None:
        registry = load_plugins()
        self._sandbox, self._write_log = sandbox, write_log
        self._chance = random.Random(seed)  # noqa: S311 - a game of chance, no secret
        self._pool = SandboxPool(workers=2)
        self._installed = Backends(registry, BackendSettings(node=backend))
        self._agent = Agent(
            cluster=ClusterState(common=CommonRules(), claimed=claimed_types(registry), node=HERE),
            backends=self,
            locator=self,
            discoverers=make_discoverers(registry),
            pool=self._pool,
        )
        self._policies: list[Policy] = []
        self.kind = Kind.START

    def run(self) -> None:
        """Until killed."""
        self.take_over()
        changes = {Kind.RULES: self.change_rules, Kind.MEMBERSHIP: self.change_membership, Kind.WHOLE: self.apply_again}
        while True:
            self.kind = self._chance.choice((Kind.RULES, Kind.MEMBERSHIP, Kind.MEMBERSHIP, Kind.WHOLE))
            changes[self.kind]()

    def of(self, attachments: Iterable[Attachment]) -> Backend:
        """The agent's choice of backends: the one to test, with all writes logged."""
        backend = self._installed.of(attachments)
        return evolve(backend, applier=Noted(backend.applier, lambda: self._write_log.entry(self.kind)))

    def obstacle(self, attachments: Iterable[Attachment], path: LinkPath) -> str:
        """As installed."""
        return self._installed.obstacle(attachments, path)

    def others(self, _: Backend) -> tuple[Backend, ...]:
        """None: no other installed backend has ever been in force."""
        return ()

    def locate(self, _: Pod) -> Sandbox:
        return self._sandbox

    def take_over(self) -> None:
        """Begin with the rules that an earlier life left in force."""
        guests = [_change(self._guest(number)) for number in range(GUESTS)]
        net = network("x/net", "macvlan")
        fixed = [Change(ref=ObjectRef("NetworkAttachmentDefinition", net.name), object=net), *map(_change, people())]
        self._sync([*fixed, *guests, *self._turn_to(self._draw())])

    def change_rules(self) -> None:
        self._sync(self._turn_to(self._draw()))

    def change_membership(self) -> None:
        numbers = self._chance.sample(range(GUESTS), k=self._chance.randint(1, 5))
        self._sync([_change(self._guest(number)) for number in numbers])

    def apply_again(self) -> None:
        """The agent's treatment of a wrong sandbox, applied to a right one."""
        name = ObjectName("x", "victim")
        ruleset = self._agent.ruleset(name)
        applier = self.of(self._agent.cluster.claims(name)).applier
        self._pool.run(self._sandbox, lambda: applier.apply(ruleset))

    def _draw(self) -> list[Policy]:
        """Some form of the one policy that matters, and perhaps others beside it."""
        return [self._chance.choice(MAIN), *self._chance.sample(BESIDE, k=self._chance.randint(0, len(BESIDE)))]

    def _turn_to(self, policies: list[Policy]) -> list[Change]:
        names = {policy.ref for policy in policies}
        gone = [Change(ref=policy.ref, object=None) for policy in self._policies if policy.ref not in names]
        self._policies = policies
        return [*gone, *(Change(ref=policy.ref, object=policy) for policy in policies)]

    def _guest(self, number: int) -> Pod:
        labels = {"app": self._chance.choice(("friend", "guest", "nobody"))}
        addresses = status("x/net", "net1", f"10.0.1.{number + 1}", f"fd00::1:{number + 1:x}")
        web = serves(f"UDP/{OPEN_PORT}", self._chance.choice(("web", "other")))
        return pod(f"x/guest-{number}", addresses, labels=labels, ports=[web], node=THERE)

    def _sync(self, changes: list[Change]) -> Sync:
        sync = self._agent.sync(changes)
        if any(outcome.result is Result.FAILED for outcome in sync.outcomes):
            raise SystemExit(f"not enforced: {sync.outcomes}")
        return sync


class CarelessEnforcer(Enforcer):
    """A fault that the suite must notice."""

    def apply_again(self) -> None:
        self._pool.run(self._sandbox, self.of(self._agent.cluster.claims(ObjectName("x", "victim"))).applier.remove)
        time.sleep(0.005)  # what an agent takes that starts a program for each of the two
        super().apply_again()


class Noted:
    """An applier whose writes are noted; see `mnp_core.api.RuleApplier`."""

    def __init__(self, applier: RuleApplier, note: Callable[[], AbstractContextManager[None]]) -> None:
        self._applier, self._note = applier, note
        self.probe, self.installed, self.generation = applier.probe, applier.installed, applier.generation
        self.counters, self.remove = applier.counters, applier.remove
        if isinstance(applier, PathApplier):
            self.obstacle, self.installed_paths = applier.obstacle, applier.installed_paths

    def apply(self, ruleset: Ruleset) -> None:
        with self._note():
            self._applier.apply(ruleset)

    def update(self, delta: Delta) -> bool | None:
        with self._note():
            return self._applier.update(delta)


def _change(thing: Pod) -> Change:
    return Change(ref=ObjectRef("Pod", thing.name), object=thing)


def people() -> list[Pod]:
    """The pods that traffic goes between; the victim alone is of this node."""
    victim = pod(
        "x/victim",
        status("x/net", "net1", VICTIM, VICTIM6),
        labels={"app": "victim"},
        node=HERE,
        ports=[serves(f"UDP/{OPEN_PORT}", "web")],
    )
    friend = pod(
        "x/friend",
        status("x/net", "net1", FRIEND),
        labels={"app": "friend"},
        node=THERE,
        ports=[serves(f"UDP/{OPEN_PORT}", "web")],
    )
    attacker = pod("x/attacker", status("x/net", "net1", ATTACKER, ATTACKER6), labels={"app": "attacker"}, node=THERE)
    return [victim, friend, attacker]


# --- policies: each form of MAIN allows the friend both ways, none lets the attacker in, or be reached ---

_VICTIM = selector(app="victim")
_FRIENDS = pods(namespace="x", app="friend")
_INVITED = pods(requirement("app", "In", "friend", "guest"), namespace="x")
_ATTACKER = pods(namespace="x", app="attacker")
_NEIGHBOURS = block("10.0.0.0/24", f"{ATTACKER}/32")


def _both_ways(name: str, *rules: object, selecting: object = _VICTIM) -> Policy:
    return policy(f"x/{name}", networks=["x/net"], selector=selecting, ingress=rules, egress=rules)


MAIN = (
    _both_ways("main", rule([_FRIENDS], [f"UDP/{OPEN_PORT}"])),
    _both_ways("main", rule([_INVITED], ["UDP/web"])),
    _both_ways("main", rule([_NEIGHBOURS], ["UDP"]), rule([_INVITED], ["TCP/1-1000"])),
    _both_ways("main", rule(None, [f"UDP/{OPEN_PORT}"])),
    _both_ways("main", rule([_ATTACKER, _NEIGHBOURS], ["UDP/79-80"]), rule([_FRIENDS])),
)
BESIDE = (
    _both_ways("deny"),
    _both_ways("invited", rule([_INVITED])),
    _both_ways("attacker", rule([_ATTACKER], ["TCP", f"UDP/{CLOSED_PORT + 1}-65535"])),
    _both_ways("everybody", rule([_FRIENDS], ["SCTP/web"]), selecting=selector()),
    _both_ways("block", rule([block("10.0.0.0/23", "10.0.0.0/24")])),
)
