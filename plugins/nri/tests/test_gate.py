"""The gate beyond the kit: reports to the agent, time limits, faults of the runtime."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
from attrs import evolve

from mnp_core.api import Admission, Decision, PodStart
from mnp_core.errors import InputError
from mnp_core.model import ObjectName
from mnp_core.testing.gatekeeper import FakeGatekeeper, Stopped, wait_until
from mnp_nri import NriGate, make_nri_gate, mnp_register_gates
from plugins.nri.tests.standin import CallError, sandbox

SECONDS = 10
NETWORKS = "k8s.v1.cni.cncf.io/networks"
IN_FORCE = Decision(admission=Admission.IN_FORCE)


def pod(name="web", netns="/run/netns/cni-1", **changes):
    start = PodStart(pod=ObjectName("demo", name), uid=f"uid-{name}", netns=netns, annotations={NETWORKS: "data"})
    return evolve(start, **changes)


@contextmanager
def listening(path):
    """A socket in a runtime's place, and a gate that connects to it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        gate = NriGate(str(path))
        gate.open(FakeGatekeeper())
        yield listener, gate


# --- registration -------------------------------------------------------------------------------------------------


def test_it_registers_and_subscribes_to_pods_and_containers(world):
    plugin = world().open().runtime.plugin
    asked = plugin.registered.result()
    assert (asked.plugin_name, asked.plugin_idx) == ("mnp", "10")
    assert plugin.configuration.events == 0b1111  # run, stop, remove a sandbox; create a container


def test_it_asks_for_failures_to_fail(world):
    """From NRI 0.12.5 on a plugin that does not answer refuses, and stays."""
    policy = world().open().runtime.plugin.configuration.failure_policy
    assert (policy.fail_request, policy.keep_connected) == (True, True)


def test_a_refused_registration_is_a_problem_with_the_runtimes_words(world):
    here = world()
    here.runtime.refusal = "invalid plugin index"
    here.gate.open(here.keeper)
    wait_until(lambda: "invalid plugin index" in here.gate.problem, "the refusal is no problem")
    here.runtime.refusal = ""
    here.wait()


def test_a_missing_socket_is_a_problem_with_the_remedy(tmp_path):
    gate = NriGate(str(tmp_path / "nri.sock"))
    gate.open(FakeGatekeeper())
    wait_until(lambda: "there is no such socket" in gate.problem, gate.problem)
    assert "mount the directory" in gate.problem
    gate.close()


def test_a_socket_without_a_listener_is_a_problem(tmp_path):
    path = str(tmp_path / "nri.sock")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        gate = NriGate(path)
        gate.open(FakeGatekeeper())
        wait_until(lambda: "is the container runtime running" in gate.problem, gate.problem)
        gate.close()


def test_until_the_runtime_has_synchronized_it_is_a_problem(tmp_path):
    """The runtime takes the plugin in only then: pods that it starts before are not held."""
    with listening(tmp_path / "nri.sock") as (listener, gate):
        connected, _ = listener.accept()
        with connected:
            wait_until(lambda: "has not taken the plugin in yet" in gate.problem, gate.problem)
            gate.close()


# --- reports to the agent -----------------------------------------------------------------------------------------


def test_running_pods_come_at_the_registration_in_one_list(world):
    here = world()
    here.runtime.per_part = 3
    here.runtime.pods = [sandbox(pod(f"p{number}", f"/run/netns/cni-{number}")) for number in range(10)]
    here.open()
    [(gate, pods)] = here.keeper.lists
    assert gate == "nri"
    assert pods == tuple(pod(f"p{number}", f"/run/netns/cni-{number}") for number in range(10))


def test_a_sandbox_that_has_stopped_does_not_hide_the_one_that_runs(world):
    here = world()
    old, new = pod(netns="/run/netns/old"), pod(netns="/run/netns/new")
    lonely = pod("done", "/run/netns/done")
    here.runtime.pods = [sandbox(new), sandbox(old, pid=0), sandbox(lonely, pid=0)]
    here.open()
    assert here.keeper.lists == [("nri", (new, lonely))]


def test_a_pod_on_the_hosts_network_starts_unasked(world):
    here = world()
    linux = {"namespaces": [{"type": "ipc", "path": "/proc/7/ns/ipc"}]}
    hosts = sandbox(pod("agent", ""), linux=linux)
    here.runtime.pods = [hosts]
    here.open()
    here.keeper.decide(Decision(admission=Admission.REFUSED))
    assert here.runtime.run(hosts).admitted
    here.runtime.end(hosts)
    assert (here.keeper.asked, here.keeper.gone, here.keeper.lists) == ([], [], [("nri", ())])


def test_without_a_path_the_process_leads_to_the_namespace(world):
    here = world().open()
    here.runtime.run(sandbox(pod(), linux={"namespaces": [{"type": "network", "path": ""}]}))
    here.runtime.run(sandbox(pod(), linux={}))
    assert {start.netns for start in here.keeper.asked} == {"/proc/7/ns/net"}


def test_a_pod_whose_namespace_is_unknown_does_not_start(world):
    here = world().open()
    start = here.runtime.run(sandbox(pod(), linux={}, pid=0))
    assert not start.admitted
    assert "neither path nor process" in start.reason


def test_annotations_of_networks_are_passed_on_and_no_others(world):
    here = world().open()
    annotations = {NETWORKS: "a", "v1.multus-cni.io/default-network": "b", "secret": "c", "k8s.v1.cni.cncf.io": "d"}
    here.runtime.run(sandbox(pod(annotations=annotations)))
    assert here.keeper.asked[0].annotations == {NETWORKS: "a", "v1.multus-cni.io/default-network": "b"}


def test_a_container_that_is_created_later_asks_again(world):
    """The agent was not connected when the sandbox was made, or has restarted since."""
    here = world().open()
    here.keeper.decide(Decision(admission=Admission.REFUSED, reason="not yet"))
    with pytest.raises(CallError, match="not yet"):
        here.runtime.event(4, "CreateContainer", sandbox(pod()))


def test_the_removal_of_an_old_sandbox_does_not_forget_the_new_one(world):
    here = world().open()
    old, new = sandbox(pod(netns="/run/netns/old")), sandbox(pod(netns="/run/netns/new"))
    for each in (old, new):
        here.runtime.run(each)
    here.runtime.end(old)  # with its path when it stops, with none when it is removed
    assert here.keeper.gone == [Stopped(ObjectName("demo", "web"), "uid-web", "/run/netns/old")]


def test_a_sandbox_removed_by_an_error_is_named_with_its_path(world):
    """containerd tears the namespace down first, and has no path left to report."""
    here = world().open()
    here.runtime.run(sandbox(pod()))
    here.runtime.event(3, "RemovePodSandbox", sandbox(pod(), linux={}, pid=0))
    assert [each.netns for each in here.keeper.gone] == ["/run/netns/cni-1"]


# --- time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tells", "limit"), [(True, 0.8 * 5), (False, 0.8 * 2)])
def test_the_agent_gets_four_fifths_of_the_runtimes_limit(world, tells, limit):
    here = world(timeout=5.0, tells_timeout=tells).open()
    here.runtime.run(sandbox(pod()))
    assert limit * 0.7 < here.keeper.limits[0] <= limit


def test_an_agent_without_a_decision_keeps_the_registration(world):
    """The runtime disconnects a plugin that exceeds the limit, and starts the pod."""
    here = world(timeout=1.0)
    here.keeper = FakeGatekeeper(punctual=False)
    here.open()
    start = here.runtime.run(sandbox(pod()))
    assert not start.admitted
    assert "no decision within 0.9 s" in start.reason
    assert here.runtime.registrations == 1
    here.keeper.decide(IN_FORCE)


def test_more_pods_than_threads_wait_for_their_turn(world):
    here = world(timeout=10).open()
    here.keeper.decide(None)
    starts = [here.runtime.start(pod(f"p{number}")) for number in range(100)]
    here.keeper.wait_for(lambda keeper: len(keeper.asked) == 64)
    here.keeper.decide(IN_FORCE)
    assert all(start.result(SECONDS).admitted for start in starts)


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\0\0\0\1\xff\xff\xff\xff", "a length of"),  # a frame of 4 GiB
        (b"\0\0\0\1\0\0\0\x0a\xff\xff\xff\xff\0\0\0\1\1\0", "a length of"),  # a message of 4 GiB
        (b"\0\0\0\2\0\0\0\x0c\0\0\0\2\0\0\0\1\2\0\xff\xff", "cannot be read"),  # no response
        (b"", "before it took the plugin in"),
    ],
)
def test_bytes_that_are_no_nri_end_the_connection_and_nothing_else(tmp_path, data, why):
    with listening(tmp_path / "nri.sock") as (listener, gate):
        for _ in range(2):
            connected, _ = listener.accept()
            with connected:
                connected.sendall(data)
                if data:
                    connected.settimeout(SECONDS)
                    while connected.recv(100):
                        pass
                else:
                    connected.recv(100)
            wait_until(lambda: why in gate.problem, gate.problem)
        gate.close()


@pytest.mark.parametrize("name", ["mnp", "\N{GREEK SMALL LETTER MU}" * 600])
def test_unknown_methods_and_services_are_unimplemented(world, name):
    plugin = world().open().runtime.plugin
    for method, service in ((name, "nri.pkg.api.v1alpha1.Plugin"), ("RunPodSandbox", name)):
        with pytest.raises(CallError, match="code = 12"):
            plugin.send_call(method, b"", service)


def test_events_of_no_use_are_answered(world):
    plugin = world().open().runtime.plugin
    for method in ("StartContainer", "UpdateContainer", "PostCreateContainer", "Shutdown", "StateChange"):
        assert plugin.send_call(method, b"") == b""


def test_a_payload_that_cannot_be_read_refuses_itself_alone(world):
    here = world().open()
    with pytest.raises(CallError, match="code = 3"):
        here.runtime.plugin.send_call("RunPodSandbox", b"\xff\xff")
    assert here.runtime.run(sandbox(pod())).admitted


def test_an_agent_that_raises_refuses_the_pod_alone(world):
    here = world()

    class Faulty(FakeGatekeeper):
        def admit(self, start, **_):
            raise KeyError(start.pod.name)

    here.keeper = Faulty()
    here.open()
    start = here.runtime.run(sandbox(pod()))
    assert not start.admitted
    assert "KeyError" in start.reason
    assert here.gate.problem == ""


def test_a_reason_is_short_and_can_be_sent(world):
    here = world().open()
    here.keeper.decide(Decision(admission=Admission.REFUSED, reason="\udc80" + "x" * 10_000))
    start = here.runtime.run(sandbox(pod()))
    assert "\\udc80xxx" in start.reason
    assert len(start.reason) < 1200


def test_large_messages_of_many_frames_arrive(world):
    """A list of pods can have megabytes."""
    here = world()
    here.runtime.per_part = 10_000
    here.runtime.pods = [sandbox(pod(f"p{number}", f"/run/netns/cni-{number}")) for number in range(600)]
    here.open()
    assert len(here.keeper.lists[0][1]) == 600


def test_a_runtime_that_reads_nothing_blocks_no_close(tmp_path):
    with listening(tmp_path / "nri.sock") as (listener, gate):
        connected, _ = listener.accept()
        with connected:
            connected.recv(1)
            closing = threading.Thread(target=gate.close)
            closing.start()
            closing.join(SECONDS)
            assert not closing.is_alive()


def test_attempts_become_rare(tmp_path):
    """A node without NRI costs next to nothing."""
    gate = NriGate(str(tmp_path / "nri.sock"))
    before = time.process_time()
    gate.open(FakeGatekeeper())
    time.sleep(1)
    gate.close()
    assert time.process_time() - before < 0.2


# --- settings -----------------------------------------------------------------------------------------------------


def test_the_plugin_offers_the_gate():
    [spec] = mnp_register_gates()
    assert spec.name == "nri"
    assert isinstance(spec.factory({}), NriGate)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"nri-socket": "nri.sock"}, "nri-socket"),
        ({"nri-socket": "/" + "x" * 107}, "nri-socket"),
        ({"nri-socket": "/a\0b"}, "nri-socket"),
        ({"nri-socket": "tcp://host"}, "nri-socket"),
        ({"nri-plugin-index": "1"}, "nri-plugin-index"),
        ({"nri-plugin-index": "\N{ARABIC-INDIC DIGIT ONE}0"}, "nri-plugin-index"),
        ({"nri-plugin-index": "100"}, "nri-plugin-index"),
    ],
)
def test_a_setting_that_cannot_be_used_is_an_error(settings, field):
    with pytest.raises(InputError) as error:
        make_nri_gate(settings)
    assert error.value.field == field


def test_the_settings_name_socket_and_place(world):
    here = world()
    here.gate = make_nri_gate({"nri-socket": f"unix://{here.runtime.path}", "nri-plugin-index": "07"})
    assert here.open().runtime.plugin.registered.result().plugin_idx == "07"
