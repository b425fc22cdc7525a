"""Audit mode on random policies: it changes no verdict, and it counts what the same policies deny once enforced.

A drawn cluster has some of its policies in audit mode. The rules of one of its pods go into a namespace with links of
the same names: as they are without the audited policies, then in audit mode, then with everything enforced. The same
packets are sent each time; the first two have one verdict, and the counters equal the packets that the third stops.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from random import Random

import pytest
from attrs import evolve
from hypothesis import assume, given, seed, settings
from hypothesis import strategies as st

from mnp_core.backend import Backend, Backends, BackendSettings
from mnp_core.cluster import ClusterState
from mnp_core.model import Attachment, Audited, CommonRules, Direction, Feature, ObjectName, SandboxPolicy
from mnp_core.model.parsing.policy import ENFORCEMENT
from mnp_core.plugins import load_plugins
from mnp_core.policy.evaluate import evaluate
from mnp_core.testing.conformance.audit import WOULD_DENY
from mnp_core.testing.flood import ALLOWED, DENIED, counted, counting_chain, counting_table, flood
from mnp_core.testing.guests import GuestWire
from mnp_core.testing.hosts import PEER, POD, Wire
from mnp_core.testing.netns import forget_connections
from mnp_core.testing.oracle import Question
from mnp_core.testing.policies import allow, audited, isolated, only, origin
from mnp_core.testing.suites.differential.profile import SEED
from mnp_core.testing.suites.differential.standing import SHAPES
from mnp_core.testing.suites.differential.strategies import Manifest, policy_sets
from mnp_core.testing.suites.wire.living import make_decoder
from mnp_core.testing.wired import WiredPod
from mnp_core.testing.wiring import Wiring

pytestmark = pytest.mark.root

PROFILE = settings.get_profile("differential")
PACKETS = 150
"""At most so many in each state of a scenario."""

ATTEMPTS = 3  # kernels send packets of their own
QUIET = CommonRules(accept_multicast_management=True)  # which are mostly multicast reports
POD_NAME = ObjectName("x", "audited")
Key = tuple[str, Direction]


class Bench:
    """A pod that packets are sent at, and the backend that enforces on it."""

    def __init__(self, cleanup: ExitStack, backend: Backend, wiring: Wiring) -> None:
        """Build the pod, with every name of an interface of the drawn pods."""
        self.backend, self._wiring = backend, wiring
        self.scenarios = self.packets = self.denials = 0
        self.pod = WiredPod(cleanup, sorted({nic.name for shape in SHAPES for nic in shape.nics}), wiring)
        self.pod.forget_connections = partial(forget_connections, backend.applier)

    def wrong(self, policy: SandboxPolicy, asked: Iterable[Question], like: SandboxPolicy) -> list[str]:
        """Put a policy into force; packets whose verdict is not that of another one."""
        ruleset = self.backend.renderer.render(self._wiring.located(policy))
        self.pod.run(lambda: self.backend.applier.apply(ruleset))
        expected = [evolve(q, verdict=evaluate(like, q.interface, q.direction, q.packet)) for q in asked]
        return [str(surprise) for surprise in self.pod.surprises(expected)]

    def would_deny(self) -> Counter[Key]:
        """The counters of would-be denials, without zeros."""
        found: Counter[Key] = Counter()
        for each in self.pod.run(self.backend.applier.counters):
            if each.label == WOULD_DENY and each.packets:
                found[each.interface, Direction(each.direction)] += each.packets
        return found


@pytest.fixture(scope="module")
def backend(mnp_backend: str, mnp_wiring: Wiring) -> Backend:
    """The named one, if it has an audit mode; with one beside it for a path that it does not reach."""
    wired = Attachment(pod=POD_NAME, network=POD_NAME, interface="net1", path=mnp_wiring.path)
    found = Backends(load_plugins(), BackendSettings(node=mnp_backend)).of([wired])
    if Feature.AUDIT in found.refuses:
        pytest.skip(f"backend {found.name} declares that it has no audit mode")  # as it may (Feature.AUDIT)
    return found


@pytest.fixture(scope="module")
def bench(backend: Backend, mnp_wiring: Wiring, mnp_figures: list[str]) -> Iterator[Bench]:
    """One for all scenarios: what is in force is replaced, as in a pod that lives on."""
    with ExitStack() as cleanup:
        made = Bench(cleanup, backend, mnp_wiring)
        yield made
    mnp_figures.append(
        f"audit mode, {backend.name}, {mnp_wiring.path} pods: {made.scenarios} scenarios,"
        f" {made.packets} packets in each of two states, {made.denials} would-be denials counted, as many denied"
    )


def would_be_denials_are_denials(bench: Bench, objects: list[Manifest], dice: int) -> None:
    """Go through the three states of a scenario; those in which no audit has an effect are left out."""
    chance = Random(dice)  # noqa: S311 - chooses policies and packets, no secret
    names = [each["metadata"]["name"] for each in objects if each["kind"] == "MultiNetworkPolicy"]
    audits = {name for name in names if chance.random() < 0.6}
    shape = chance.choice(SHAPES)
    pod = ObjectName(shape.namespace, shape.name)
    audited = rules((in_audit_mode(each) if is_in(audits, each) else each for each in objects), pod)
    affected = audited_directions(audited)
    assume(affected)
    without = rules((each for each in objects if not is_in(audits, each)), pod)
    enforced = rules(objects, pod)
    asked = sampled(bench.pod.questions(enforced), chance)
    keys = ((q.interface, q.direction) for q in asked if not q.verdict.allowed)
    denied = Counter(key for key in keys if key in affected)
    for _ in range(ATTEMPTS):
        assert bench.wrong(audited, asked, like=without) == []
        counted = bench.would_deny()
        if counted == denied:
            break
    assert bench.wrong(enforced, asked, like=enforced) == []
    assert counted == denied
    bench.scenarios += 1
    bench.packets += len(asked)
    bench.denials += counted.total()


def is_in(audits: set[str], manifest: Manifest) -> bool:
    """Whether it is a policy of one of these names."""
    return manifest["kind"] == "MultiNetworkPolicy" and manifest["metadata"]["name"] in audits


def in_audit_mode(manifest: Manifest) -> Manifest:
    """A policy with the annotation."""
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), ENFORCEMENT: "audit"}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def rules(objects: Iterable[Manifest], pod: ObjectName) -> SandboxPolicy:
    """The rules of a pod of a cluster."""
    cluster = ClusterState(common=QUIET, claimed=frozenset({"macvlan"}))
    cluster.apply(make_decoder().decode_all(objects))
    return cluster.sandbox_policy(pod) or SandboxPolicy(pod=pod, interfaces=(), common=QUIET)


def audited_directions(policy: SandboxPolicy) -> set[Key]:
    """Directions in which an audit has an effect."""
    return {(i.interface, d) for i in policy.interfaces for d in Direction if isinstance(i.of(d), Audited)}


def sampled(asked: tuple[Question, ...], chance: Random) -> list[Question]:
    """Some packets, in the order in which they are asked."""
    if len(asked) <= PACKETS:
        return list(asked)
    return [asked[number] for number in sorted(chance.sample(range(len(asked)), PACKETS))]


@seed(int(SEED or 2))
@settings(PROFILE, max_examples=5)
@given(policy_sets(SHAPES), st.integers(min_value=0, max_value=1 << 32))
@pytest.mark.timeout(600)
def test_would_be_denials_are_the_denials_of_the_same_policies(bench, cluster, dice):
    """S71, S72"""
    would_be_denials_are_denials(bench, cluster.objects, dice)


@pytest.mark.full
@seed(int(SEED or 3))
@settings(PROFILE, max_examples=200)
@given(policy_sets(SHAPES), st.integers(min_value=0, max_value=1 << 32))
@pytest.mark.timeout(3600)
def test_would_be_denials_are_the_denials_of_the_same_policies_in_200_scenarios(bench, cluster, dice):
    """S71, S72"""
    would_be_denials_are_denials(bench, cluster.objects, dice)


# --- promotion ----------------------------------------------------------------------------------------------------

CHANGES = 40
WEB = allow(ports=[f"UDP/{ALLOWED}"])
MORE = allow(ports=[f"UDP/{ALLOWED + 1}"], source=origin(1))


def settled_counts(wire: Wire) -> dict[str, int]:
    """Packets that the sender's kernel has sent, and that the pod's IP layer has let in, when none is under way.

    Neither place is one at which a backend drops packets: some do that before any hook of netfilter in the pod.
    """
    while (found := counted(wire.peer) | counted(wire.pod)) != counted(wire.peer) | counted(wire.pod):
        time.sleep(0.1)
    return found


@pytest.mark.parametrize(
    ("states", "denies"),
    [
        ((audited(WEB), isolated(WEB)), False),
        ((isolated(WEB), isolated(WEB, MORE)), True),
    ],
    ids=["alone", "beside an enforced policy"],
)
def test_no_packet_is_wrong_while_a_policy_is_promoted(backend, mnp_wiring, states, denies):
    """S73, S60: back and forth, under a flood of packets that open flows; its rules' own are never lost."""
    with ExitStack() as cleanup:
        wire = GuestWire(cleanup, mnp_wiring, backend.renderer, backend.applier)
        wire.pod.enforce(only(ingress=states[0]))
        wire.peer.nft(counting_table(counting_chain("before", "postrouting", 300, "before")))
        wire.pod.nft(counting_table(counting_chain("after", "input", 100, "after")))
        for port in (ALLOWED, DENIED):
            wire.pod.udp(POD[4], port)
        with flood(wire.peer, PEER[4], POD[4]):
            for number in range(CHANGES):
                wire.pod.enforce(only(ingress=states[(number + 1) % 2]))
        found = settled_counts(wire)
    assert found["allowed after"] == found["allowed before"] > CHANGES
    assert found["denied before"] > CHANGES
    assert found["denied after"] == 0 if denies else found["denied after"] > 0
