"""A pod's start waits for its rules; at the limit the settings decide (never open)."""

import socket
import time
from contextlib import suppress

import pytest
from attrs import evolve

from mnp_core.api import Admission, PodStart
from mnp_core.errors import ApplyError
from mnp_core.model import InterfacePolicy, Reason, SandboxPolicy
from mnp_core.settings import AtLimit
from mnp_core.testing.builders import named, pod, policy, present, status
from mnp_core.testing.netns import run_inside
from mnp_nftables import NftablesApplier
from tests.node.gated import GatedNode, interface
from tests.node.test_loop import eventually

pytestmark = pytest.mark.root
NETWORKS = "k8s.v1.cni.cncf.io/networks"
OPEN = SandboxPolicy(pod=named("a"), interfaces=(InterfacePolicy(interface="net1"),))
DENIES = policy("p", networks=["net"], ingress=[])
A = evolve(pod("a", node="here"), uid="1")
ASKS = {NETWORKS: "net"}


def reasons(node):
    return [report.reason for report in node.agent.reports()]


@pytest.mark.parametrize("described", [{"annotations": ASKS}, {"interfaces": (interface(),)}], ids=["request", "CNI"])
def test_a_pod_is_admitted_with_its_rules_in_force_before_network_status_exists(described):
    with GatedNode() as node:
        node.begin(DENIES, A)
        sandbox = node.sandbox("eth0", "net1")
        decision = node.admit(A, sandbox, **described).result(5)
        assert decision.admission is Admission.IN_FORCE
        assert node.rules(sandbox) == node.wanted(A)
        assert "net1" in node.agent.ruleset(A.name).text


def test_network_status_that_comes_later_writes_nothing():
    with GatedNode() as node:
        node.begin(DENIES, A)
        sandbox = node.sandbox("eth0", "net1")
        node.admit(A, sandbox, annotations=ASKS).result(5)
        before = run_inside(sandbox, node.backend.applier.generation)
        node.deliver(present(evolve(A, statuses=(status("net", "net1", "10.0.1.1"),), attached=True)))
        eventually(lambda: len([o for s in node.observer.syncs for o in s.outcomes]) >= 2)
        assert run_inside(sandbox, node.backend.applier.generation) == before


def test_a_pod_without_attachments_is_not_held():
    with GatedNode(seconds=60.0) as node:  # the agent never starts
        decision = node.admit(A, node.sandbox("eth0"), annotations={}).result(5)
        assert decision.admission is Admission.IN_FORCE


def test_a_pod_that_the_watch_has_not_delivered_is_read():
    with GatedNode() as node:
        node.begin(DENIES)
        node.server[A.name] = A
        eventually(lambda: node.agent.started)
        sandbox = node.sandbox("eth0", "net1")
        assert node.admit(A, sandbox, annotations=ASKS).result(5).admission is Admission.IN_FORCE
        assert node.rules(sandbox) == node.wanted(A)


def test_an_attachment_of_the_meta_plugins_own_configuration_is_found_by_its_link():
    """Multus attaches networks that no annotation requests; network-status alone claims them."""
    attached = evolve(A, statuses=(status("net", "net1", "10.0.1.1"),), attached=True)
    with GatedNode() as node:
        node.begin(DENIES, A)  # the watch lags behind
        node.server[A.name] = attached
        eventually(lambda: node.agent.started)
        sandbox = node.sandbox("eth0", "net1")
        assert node.admit(A, sandbox, annotations={}).result(5).admission is Admission.IN_FORCE
        assert node.rules(sandbox) == node.wanted(A)


def test_a_pod_of_the_same_name_in_a_new_sandbox_is_held_anew():
    with GatedNode() as node:
        node.begin(DENIES, A)
        for _ in range(2):
            sandbox = node.sandbox("eth0", "net1")
            assert node.admit(A, sandbox, annotations=ASKS).result(5).admission is Admission.IN_FORCE
            assert node.rules(sandbox) == node.wanted(A)


def test_until_the_agent_has_started_everything_is_denied_and_the_rules_follow():
    with GatedNode(seconds=0.6) as node:
        sandbox = node.sandbox("eth0", "net1", "net2")
        decision = node.admit(A, sandbox, annotations=ASKS, interfaces=(interface("net2"),)).result(5)
        assert decision.admission is Admission.DENIED
        closed = run_inside(sandbox, node.backend.applier.installed)
        assert closed is not None
        node.begin(DENIES, A)
        eventually(lambda: node.rules(sandbox) not in {None, closed.digest} and node.rules(sandbox) == node.wanted(A))
        assert [str(report) for report in node.agent.reports()] == []


def test_denied_interface_opens_where_no_policy_selects_it():
    with GatedNode(seconds=0.6) as node:
        sandbox = node.sandbox("eth0", "net1")
        assert node.admit(A, sandbox, annotations=ASKS).result(5).admission is Admission.DENIED
        node.begin(A)
        eventually(lambda: node.agent.started and node.rules(sandbox) == node.wanted(A))


class Refusing(NftablesApplier):
    """An applier that the kernel refuses."""

    def commit(self, _ruleset):
        raise ApplyError("no memory")

    def apply(self, ruleset):
        self.commit(ruleset)


@pytest.mark.parametrize(
    ("at_limit", "admission", "reason"),
    [
        (AtLimit.CLOSED, Admission.REFUSED, Reason.START_REFUSED),
        (AtLimit.OPEN, Admission.OPEN, Reason.STARTED_OPEN),
    ],
)
def test_at_the_limit_the_setting_decides_and_it_is_reported_until_rules_are_in_force(at_limit, admission, reason):
    applier = Refusing()
    with GatedNode(seconds=0.5, at_limit=at_limit, applier=applier) as node:
        node.begin(DENIES, A)
        sandbox = node.sandbox("eth0", "net1")
        decision = node.admit(A, sandbox, annotations=ASKS).result(5)
        assert decision.admission is admission
        assert "no memory" in decision.reason
        eventually(lambda: reason in reasons(node))
        (report,) = (report for report in node.agent.reports() if report.reason is reason)
        assert report.exposed is (admission is Admission.OPEN)
        applier.commit = super(Refusing, applier).commit
        eventually(lambda: node.rules(sandbox) == node.wanted(A))
        if admission is Admission.OPEN:
            eventually(lambda: reason not in reasons(node))


def test_a_network_can_be_open_at_the_limit_where_the_node_is_closed():
    networks = {named("net"): AtLimit.OPEN}
    with GatedNode(seconds=0.5, networks=networks, applier=Refusing()) as node:
        node.begin(DENIES, A)
        both = {NETWORKS: "net, other"}
        assert node.admit(A, node.sandbox("net1"), annotations=ASKS).result(5).admission is Admission.OPEN
        assert node.admit(A, node.sandbox("net1", "net2"), annotations=both).result(5).admission is Admission.REFUSED


@pytest.mark.parametrize("down", [True, False], ids=["API server down", "no such pod"])
def test_a_pod_that_no_one_knows_is_refused_with_the_cause(down):
    with GatedNode(seconds=0.5) as node:
        node.begin()
        eventually(lambda: node.agent.started)
        node.down = down
        decision = node.admit(A, node.sandbox("net1"), annotations=ASKS).result(5)
        assert decision.admission is Admission.REFUSED
        assert ("does not answer" if down else "no pod default/a") in decision.reason


def test_the_gates_own_limit_is_shorter():
    with GatedNode(seconds=30.0, applier=Refusing()) as node:
        node.begin(DENIES, A)
        began = time.monotonic()
        start = PodStart(pod=A.name, uid=A.uid, netns=node.sandbox("net1").path, annotations=ASKS)
        assert node.keeper.admit(start, seconds=0.5).admission is Admission.REFUSED
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("path", ["/proc/self/ns/net", "/nowhere", "/etc/passwd", ""])
def test_neither_the_hosts_namespace_nor_any_other_file_is_a_sandbox(path):
    with GatedNode(seconds=0.5) as node:
        node.begin(DENIES, A)
        decision = node.keeper.admit(PodStart(pod=A.name, uid=A.uid, netns=path, annotations=ASKS))
        wanted = Admission.IN_FORCE if path.endswith("ns/net") else Admission.REFUSED
        assert decision.admission is wanted


def test_an_unclaimed_interface_is_denied_from_the_start_where_the_settings_say_so():
    """S64."""
    with GatedNode(denies_unclaimed=True) as node:
        node.begin(A)
        sandbox = node.sandbox("eth0", "net1", "stray")
        assert node.admit(A, sandbox, annotations=ASKS).result(5).admission is Admission.IN_FORCE
        denied = [each.interface for each in node.agent.cluster.sandbox_policy(A.name).interfaces if each.ingress]
        assert "stray" in denied
        assert node.rules(sandbox) == node.wanted(A)


def test_a_sandbox_that_has_ended_is_forgotten():
    with GatedNode() as node:
        node.begin(DENIES, A)
        sandbox = node.sandbox("eth0", "net1")
        node.admit(A, sandbox, annotations=ASKS).result(5)
        node.keeper.stopped(A.name, "another pod of the name")
        assert node.described.locate(A) == sandbox
        node.keeper.stopped(A.name, A.uid, sandbox.path)
        eventually(lambda: node.agent.cluster.gated(A.name) is None)


def test_pods_that_run_when_a_gate_connects_are_located_and_described():
    with GatedNode() as node:
        node.begin(DENIES, A)
        sandbox = node.sandbox("eth0", "net1")
        start = PodStart(pod=A.name, uid=A.uid, netns=sandbox.path, annotations=ASKS)
        hostile = evolve(start, pod=evolve(A.name, name="../x"))
        node.keeper.running("nri", (hostile, start))
        eventually(lambda: node.rules(sandbox) is not None and node.rules(sandbox) == node.wanted(A))


def test_many_starts_at_once_are_held_side_by_side():
    many = [evolve(pod(f"p{number}", node="here"), uid=str(number)) for number in range(40)]
    with GatedNode(seconds=20.0) as node:
        node.begin(DENIES, *many)
        eventually(lambda: node.agent.started)
        sandboxes = [node.sandbox("net1") for _ in many]
        futures = [node.admit(each, sandbox, annotations=ASKS) for each, sandbox in zip(many, sandboxes, strict=True)]
        assert {future.result(30).admission for future in futures} == {Admission.IN_FORCE}
        assert {node.rules(sandbox) for sandbox in sandboxes} == {node.wanted(many[0])}
        assert len(node.decisions) == 40


def test_connections_that_are_older_than_the_first_rules_are_forgotten():
    """Tracking begins while the rules are prepared: what came then would count as established ever after."""
    with GatedNode() as node:
        node.begin(policy("p", networks=["net"], ingress=[], egress=[]), A)
        sandbox, outside = node.sandbox("net1"), node.outside["net1"]
        run_inside(sandbox, lambda: node.backend.applier.apply(node.backend.renderer.render(OPEN)))  # tracking is on
        receiver = node.stack.enter_context(run_inside(sandbox, lambda: udp("10.0.0.1")))
        sender = node.stack.enter_context(run_inside(outside, lambda: udp("10.0.0.2")))
        sender.sendto(b"early", ("10.0.0.1", 9))
        assert receiver.recv(9) == b"early"
        assert node.admit(A, sandbox, annotations=ASKS).result(5).admission is Admission.IN_FORCE
        with suppress(PermissionError):  # it would be a reply, and establish the flow
            receiver.sendto(b"late", ("10.0.0.2", 9))
        with pytest.raises(TimeoutError):
            sender.recv(9)


def test_connections_of_a_pod_whose_containers_run_are_kept():
    """S42."""
    with GatedNode() as node:
        node.begin(A)
        sandbox, outside = node.sandbox("net1"), node.outside["net1"]
        assert node.admit(A, sandbox, annotations=ASKS).result(5).admission is Admission.IN_FORCE
        receiver = node.stack.enter_context(run_inside(sandbox, lambda: udp("10.0.0.1")))
        sender = node.stack.enter_context(run_inside(outside, lambda: udp("10.0.0.2")))
        for source, target in ((sender, "10.0.0.1"), (receiver, "10.0.0.2")):  # both ways: established
            source.sendto(b"early", (target, 9))
        assert (receiver.recv(9), sender.recv(9)) == (b"early", b"early")
        node.deliver(present(DENIES))
        eventually(lambda: node.rules(sandbox) == node.wanted(A))
        again = PodStart(pod=A.name, uid=A.uid, netns=sandbox.path, annotations=ASKS, fresh=False)
        assert node.keeper.admit(again).admission is Admission.IN_FORCE
        sender.sendto(b"late", ("10.0.0.1", 9))
        assert receiver.recv(9) == b"late"


def udp(address):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 9))
    made.settimeout(0.5)
    return made
