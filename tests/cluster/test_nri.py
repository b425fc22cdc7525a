"""The gate at the NRI of the bed's runtime: requests, time limits, pods that start without it."""

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from attrs import evolve

from mnp_core.api import Admission, Decision
from mnp_core.sandbox.created import new_namespace
from mnp_core.sandbox.netns import identify
from mnp_core.testing.builders import pod, policy
from mnp_core.testing.gatekeeper import FakeGatekeeper, wait_until
from mnp_nri import NriGate
from scripts.testbed.kind import chosen
from scripts.testbed.programs import find_present
from tests.cluster.own.choice import make
from tests.cluster.own.containerd import TOLERATE
from tests.cluster.own.crio import OwnCrio
from tests.cluster.own.runtime import NODE
from tests.node.gated import GatedNode

MISSING = [name for name in ("runc", chosen().runtime) if find_present(name) is None]

pytestmark = [
    pytest.mark.root,
    pytest.mark.cluster,
    pytest.mark.skipif(
        bool(MISSING), reason=f"no container runtime to start here, make testbed-up installs it: {MISSING} missing"
    ),
    pytest.mark.skipif(bool(chosen().packaged), reason="containerd 1.6 has no NRI"),
]

NETWORKS = "k8s.v1.cni.cncf.io/networks"
IN_FORCE = Decision(admission=Admission.IN_FORCE)
REFUSED = Decision(admission=Admission.REFUSED, reason="pod default/web: policy red is not in force: wait")
SECONDS = 20


def numbered(number):
    return evolve(pod(f"web{number}"), uid=f"0a1b2c3d-0000-4000-8000-{number:012}")


WEB, OTHER = numbered(0), numbered(1)


@contextmanager
def running(required):
    """A runtime with NRI, which creates no container without these plugins."""
    home = Path(tempfile.mkdtemp(prefix="mnp-"))  # short, as sockets below it have to be
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home)
        runtime = make(home, stack.enter_context(new_namespace()).sandbox, nri=required)
        stack.callback(runtime.clean_up)
        runtime.start()
        runtime.import_pause()
        yield runtime


@pytest.fixture(scope="module")
def runtime():
    with running([]) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def strict():
    if chosen().runtime != "containerd":
        pytest.skip("only containerd can require an NRI plugin")
    with running(["mnp"]) as runtime:
        yield runtime


class Gate:
    """A gate at a runtime, the agent behind it, and pods."""

    def __init__(self, runtime, keeper):
        self.runtime, self.keeper = runtime, keeper
        self.gate = NriGate(str(runtime.nri_socket))
        self.sandboxes, self.threads = [], ThreadPoolExecutor(8)

    def open(self):
        self.gate.open(self.keeper)
        self.wait()
        return self

    def wait(self):
        wait_until(lambda: not self.gate.problem, "the gate does not hold", SECONDS)
        time.sleep(0.2)  # the runtime takes a plugin in once it has the answer

    def run(self, pod, **rest):
        self.sandboxes.append(self.runtime.run(pod, **rest))
        return self.sandboxes[-1]

    def start(self, pod, **rest):
        return self.threads.submit(self.run, pod, **rest)

    def close(self):
        self.keeper.decide(IN_FORCE)
        self.threads.shutdown()
        self.gate.close()
        for sandbox in self.sandboxes:
            self.runtime.call("RemovePodSandbox", pod_sandbox_id=sandbox)


def inside(runtime, sandbox):
    """The namespace that the sandbox's first process is in."""
    return identify(f"/proc/{runtime.pid(sandbox)}/ns/net")


@pytest.fixture
def gate(runtime):
    made = Gate(runtime, FakeGatekeeper(IN_FORCE))
    yield made.open()
    made.close()


def test_a_sandbox_waits_for_the_agent_who_gets_its_namespace(gate):
    gate.keeper.decide(None)
    start = gate.start(WEB, annotations={NETWORKS: "red", "other": "x"})
    gate.keeper.wait_for(lambda keeper: keeper.asked, SECONDS)
    told = gate.keeper.asked[0]
    assert (told.pod, told.uid, told.annotations) == (WEB.name, WEB.uid, {NETWORKS: "red"})
    there = identify(told.netns)
    time.sleep(0.3)
    assert not start.done()
    gate.keeper.decide(IN_FORCE)
    sandbox = start.result(SECONDS)
    here = inside(gate.runtime, sandbox)
    assert (there.device, there.inode) == (here.device, here.inode)


def test_a_refusal_undoes_the_sandbox_and_the_kubelet_gets_the_reason(gate):
    gate.keeper.decide(REFUSED)
    with pytest.raises(grpc.RpcError) as error:
        gate.run(WEB)
    assert REFUSED.reason in error.value.details()
    path = gate.keeper.asked[0].netns
    gate.keeper.wait_for(lambda keeper: keeper.gone, SECONDS)
    assert {(each.pod, each.uid, each.netns) for each in gate.keeper.gone} == {(WEB.name, WEB.uid, path)}
    wait_until(lambda: not Path(path).exists(), "the network namespace stays", SECONDS)
    gate.keeper.decide(IN_FORCE)
    gate.run(WEB)


def test_a_container_waits_too_and_a_refusal_leaves_the_sandbox(gate):
    sandbox = gate.run(WEB)
    gate.keeper.decide(REFUSED)
    with pytest.raises(grpc.RpcError) as error:
        gate.runtime.create(WEB, sandbox)
    assert REFUSED.reason in error.value.details()
    gate.keeper.decide(IN_FORCE)
    assert gate.runtime.create(WEB, sandbox)


def test_a_pod_on_the_hosts_network_shows_nothing_but_the_hosts_own(gate):
    """CRI-O gives a path for the host's namespace, too; the agent knows its own node's."""
    gate.run(WEB, network=NODE)
    told = [identify(each.netns) for each in gate.keeper.asked]
    assert len(told) == isinstance(gate.runtime, OwnCrio)
    assert {(each.device, each.inode) for each in told} <= {(gate.runtime.host.device, gate.runtime.host.inode)}


def test_an_ended_sandbox_is_named_by_its_own_path(gate):
    old = gate.run(WEB)
    gate.runtime.call("StopPodSandbox", pod_sandbox_id=old)
    gate.run(WEB)
    first, second = (each.netns for each in gate.keeper.asked)
    gate.runtime.call("RemovePodSandbox", pod_sandbox_id=old)
    gate.sandboxes.remove(old)
    assert first != second
    assert {each.netns for each in gate.keeper.gone} == {first}


def test_an_agent_without_a_decision_is_answered_for_before_the_runtime_goes_on(runtime):
    """The runtime's limit is two seconds; one that passes disconnects the plugin and starts the pod."""
    gate = Gate(runtime, FakeGatekeeper(punctual=False)).open()
    try:
        with pytest.raises(grpc.RpcError) as error:
            gate.run(WEB)
        assert "the node agent gave no decision within 1.8 s" in error.value.details()
        assert gate.gate.problem == ""
        gate.keeper.decide(REFUSED)
        with pytest.raises(grpc.RpcError, match="not in force"):
            gate.run(WEB)
    finally:
        gate.close()


def test_the_runtime_asks_for_one_pod_after_another(gate):
    """NRI's own limit, in the documentation: a pod that waits delays the others of its node."""
    gate.keeper.decide(None)
    starts = [gate.start(each) for each in (WEB, OTHER)]
    gate.keeper.wait_for(lambda keeper: keeper.asked, SECONDS)
    time.sleep(1)
    assert len(gate.keeper.asked) == 1
    gate.keeper.decide(IN_FORCE)
    for start in starts:
        start.result(SECONDS)


def test_after_a_restart_of_the_runtime_pods_are_listed_and_held_again(gate):
    gate.run(WEB)
    [path] = {each.netns for each in gate.keeper.asked}
    gate.runtime.stop()
    wait_until(lambda: gate.gate.problem, "a runtime that is down is no problem", SECONDS)
    gate.runtime.start()
    gate.wait()
    name, pods = gate.keeper.lists[-1]
    assert name == "nri"
    assert [(each.pod, each.uid, each.netns) for each in pods] == [(WEB.name, WEB.uid, path)]
    gate.keeper.decide(REFUSED)
    with pytest.raises(grpc.RpcError):
        gate.run(OTHER)


def test_without_the_agent_pods_start_unless_the_runtime_requires_it(runtime, strict):
    sandbox = runtime.run(WEB)
    assert runtime.create(WEB, sandbox)
    runtime.call("RemovePodSandbox", pod_sandbox_id=sandbox)
    sandbox = strict.run(WEB)
    with pytest.raises(grpc.RpcError) as error:
        strict.create(WEB, sandbox)
    assert 'required plugin "mnp" not present' in error.value.details()
    made = Gate(strict, FakeGatekeeper(IN_FORCE)).open()
    try:
        assert strict.create(WEB, sandbox)
        assert [each.pod for each in made.keeper.asked] == [WEB.name]
    finally:
        made.close()
    strict.call("RemovePodSandbox", pod_sandbox_id=sandbox)


def test_a_pod_with_the_annotation_starts_without_the_agent(strict):
    """As the agent's own pod has to."""
    annotations = {TOLERATE: "true"}
    sandbox = strict.run(WEB, annotations=annotations)
    assert strict.create(WEB, sandbox, annotations=annotations)
    strict.call("RemovePodSandbox", pod_sandbox_id=sandbox)


def test_the_agent_has_the_rules_in_force_when_the_runtime_has_a_sandbox():
    """From end to end but for the API server; a pod that was there before gets its rules at the registration."""
    if chosen().runtime != "containerd":
        pytest.skip("only containerd attaches pods to two networks by itself")
    old, new = (evolve(each, node="here") for each in (WEB, OTHER))
    requests = {NETWORKS: "net@eth1"}
    with running([]) as runtime, GatedNode() as node:
        runtime.add_network("20-net", "10.98.0.0/16")
        runtime.stop()
        runtime.start()
        there = inside(runtime, runtime.run(old, annotations=requests))
        node.begin(policy("p", networks=["net"], ingress=[]), old, new)
        gate = Gate(runtime, node.keeper)
        gate.gate.open(node.keeper)
        gate.wait()
        here = inside(runtime, runtime.run(new, annotations=requests))
        assert node.rules(here) == node.wanted(new)
        assert "eth1" in node.agent.ruleset(new.name).text
        wait_until(lambda: node.rules(there) == node.wanted(old), "the pod from before has no rules")
        gate.threads.shutdown()
        gate.gate.close()
