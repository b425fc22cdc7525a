"""A lab's life: built, changed step by step, used, gone. Without an agent, or with one that only looks."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

from mnp_core.api import Outcome, Result, Sync
from mnp_core.errors import InputError, SandboxError, SandboxNotFoundError
from mnp_core.model import ObjectName, ObjectRef, Protocol
from mnp_core.model.parsing import parse_pod
from mnp_core.offline.probe import Probe, ProbeVerdict
from mnp_core.plugins import load_plugins
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.sources.decode import Decoder
from mnp_lab.lab import Enforcement, Lab
from mnp_lab.state import LabDirectory
from tests.lab.looks import pairs
from tests.lab.manifests import deny_ingress, nad, pod, subnet, written

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("run_dir")]

NET, OTHER = subnet("10.0.0.0/24"), subnet("10.1.0.0/24", "other")
NET_IPAM = {"type": "host-local", "subnet": "10.0.0.0/24"}
A, B, C = (ObjectName("default", name) for name in "abc")
REFUSED_BY_THE_KERNEL = pod("c", [{"name": "net", "mac": "01:00:00:00:00:01"}])  # a multicast address
ALLOWED = ProbeVerdict.ALLOWED


def crosses(lab, source, source_address, destination, address):
    """Whether a pod of one network reaches a pod of another."""
    probe = Probe(
        source=source,
        source_interface="net1",
        source_address=ip_address(source_address),
        destination=destination,
        network=ObjectName("default", "other"),
        interface="net1",
        address=ip_address(address),
        protocol=Protocol.ICMP,
    )
    return lab.probe([probe], 0.5)[0].verdict is ALLOWED


class Watcher:
    """An agent that only records changes, and whether a pod's links were up at the time."""

    def __init__(self, locator, failing=()):
        self.locator, self.failing = locator, failing
        self.told, self.up = [], {}

    def sync(self, changes):
        changes = list(changes)
        self.told.append([(change.ref, change.object is not None) for change in changes])
        pods = [change.object for change in changes if change.ref.kind == "Pod" and change.object]
        for each in pods:
            links = run_inside(self.locator.locate(each), read_links)
            self.up[each.name] = any(link.up for link in links if link.name != "lo")
        failed = [
            Outcome(pod=each.name, result=Result.FAILED, error="no") for each in pods if each.name in self.failing
        ]
        return Sync(outcomes=tuple(failed), reports=(), seconds=0.0)


@pytest.fixture
def agents():
    return []


@pytest.fixture
def enforcement(agents):
    failing = set()

    def make_agent(locator):
        agents.append(Watcher(locator, failing))
        return agents[-1]

    return Enforcement(decoder=Decoder(()), make_agent=make_agent)


# --- a lab for the length of a block ----------------------------------------------------------------------------


def test_a_program_runs_inside_the_pod(tmp_path):
    out = tmp_path / "links"
    with Lab.run([NET, pod("a")]) as lab:
        assert lab.exec(A, ["sh", "-c", f"ip -json address > {out}; exit 7"]) == 7
    found = {link["ifname"]: link for link in json.loads(out.read_text())}
    assert set(found) == {"lo", "net1"}
    assert found["net1"]["addr_info"][0]["local"] == "10.0.0.2"
    assert found["net1"]["address"] == lab.plan.pods[A].links[0].mac


def test_status_of_a_program_that_a_signal_ended():
    with Lab.run([pod("a", "")]) as lab:
        assert lab.exec(A, ["sh", "-c", "kill -9 $$"]) == 137


def test_unrunnable_program_is_an_input_error():
    with Lab.run([pod("a", "")]) as lab:
        with pytest.raises(InputError, match="there is no program 'no-such-program'"):
            lab.exec(A, ["no-such-program"])
        with pytest.raises(InputError, match="there is no pod default/b in the lab: its pods are default/a"):
            lab.exec(B, ["true"])


def test_pods_of_two_networks_meet_on_neither():
    with Lab.run([NET, OTHER, pod("a"), pod("b"), pod("c", "other@net1")]) as lab:
        assert pairs(lab) == {("a", "b"), ("b", "a")}
        assert not crosses(lab, C, "10.1.0.2", A, "10.0.0.2")


def test_two_labs_with_the_same_names_and_addresses_do_not_meet():
    with Lab.run([NET, pod("a"), pod("b")]) as one, Lab.run([NET, pod("a"), pod("b")]) as two:
        assert pairs(one) == pairs(two) == {("a", "b"), ("b", "a")}
        one.delete([ObjectRef("Pod", B)])
        assert pairs(one) == set()
        assert pairs(two) == {("a", "b"), ("b", "a")}


def test_ipam_routes_lead_through_a_pod_that_forwards():
    """S47 needs pods that forward, and routes to them."""
    there = subnet("10.0.0.0/24", gateway="10.0.0.9", routes=[{"dst": "10.1.0.0/24"}])
    back = subnet("10.1.0.0/24", "other", gateway="10.1.0.9", routes=[{"dst": "10.0.0.0/24"}])
    router = pod("b", [{"name": "net", "ips": ["10.0.0.9"]}, {"name": "other", "ips": ["10.1.0.9"]}])
    with Lab.run([there, back, router, pod("a"), pod("c", [{"name": "other", "ips": ["10.1.0.5"]}])]) as lab:
        assert lab.exec(B, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]) == 0
        assert crosses(lab, A, "10.0.0.1", C, "10.1.0.5")
        assert lab.exec(B, ["sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"]) == 0
        assert not crosses(lab, A, "10.0.0.1", C, "10.1.0.5")


# --- changes ----------------------------------------------------------------------------------------------------


def test_apply_and_delete_of_pods():
    with Lab.run([NET, pod("a")]) as lab:
        applied = lab.apply([pod("b")])
        assert applied.created == (ObjectRef("Pod", B),)
        assert pairs(lab) == {("a", "b"), ("b", "a")}
        assert lab.delete([ObjectRef("Pod", A)]).deleted == (ObjectRef("Pod", A),)
        lab.apply([pod("c")])
        assert pairs(lab) == {("b", "c"), ("c", "b")}
        assert str(lab.plan.pods[C].links[0].addresses[0]) == "10.0.0.2/24"  # that of a, who has gone


def test_other_labels_leave_a_pod_as_it_is_and_other_networks_do_not():
    with Lab.run([NET, OTHER, pod("a"), pod("b")]) as lab:
        before = lab.sandbox(A)
        assert lab.apply([pod("a", labels={"x": "y"})]).changed == (ObjectRef("Pod", A),)
        assert lab.sandbox(A) == before
        lab.apply([pod("a", "net,other")])
        assert lab.sandbox(A) != before
        assert pairs(lab) == {("a", "b"), ("b", "a")}


def test_another_kind_of_network_makes_its_pods_anew():
    with Lab.run([NET, OTHER, pod("a"), pod("b"), pod("c", "other")]) as lab:
        others = lab.sandbox(C)
        config = json.loads(NET.raw["spec"]["config"]) | {"type": "bridge"}
        lab.apply([NET.__class__(where="x", raw=NET.raw | {"spec": {"config": json.dumps(config)}})])
        assert {link.kind for link in run_inside(lab.sandbox(A), read_links)} == {"", "veth"}
        assert pairs(lab) == {("a", "b"), ("b", "a")}
        assert lab.sandbox(C) == others


def test_inconsistent_input_changes_nothing():
    with Lab.run([NET, pod("a"), pod("b")]) as lab:
        plan = lab.plan
        for change in (
            lambda: lab.apply([pod("c"), pod("a", "nowhere")]),
            lambda: lab.delete([ObjectRef("NetworkAttachmentDefinition", ObjectName("default", "net"))]),
            lambda: lab.delete([ObjectRef("Pod", A), ObjectRef("Pod", C)]),
        ):
            with pytest.raises(InputError):
                change()
        assert lab.plan == plan
        assert pairs(lab) == {("a", "b"), ("b", "a")}


def test_a_new_pod_that_does_not_fit_affects_itself_alone():
    """S6"""
    with Lab.run([NET, pod("a"), pod("b", "nowhere")]) as lab:
        applied = lab.apply([pod("c"), pod("d", "nowhere")])
        assert applied.created == (ObjectRef("Pod", C), ObjectRef("Pod", ObjectName("default", "d")))
        assert pairs(lab) == {("a", "c"), ("c", "a")}
        assert {name.name for name in lab.plan.left_out} == {"b", "d"}
        lab.apply([pod("b")])
        assert len(pairs(lab)) == 6


def test_networks_of_one_wire_meet_as_far_as_their_addresses_do():
    """In a cluster definitions with one master are one layer 2; without a router only neighbours reach each other."""
    same = [nad(f"n{number}", {"type": "macvlan", "ipam": NET_IPAM}) for number in range(2)]
    far = nad("far", {"type": "macvlan", "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}})
    with Lab.run([*same, far, pod("a", "n0"), pod("b", "n1"), pod("c", "far")]) as lab:
        assert pairs(lab) == {("a", "b"), ("b", "a")}
        assert {str(probe.network) for probe in lab.plan_probes()} == {"default/n0", "default/n1"}


def test_a_wire_of_several_kinds_of_interface():
    annotated = {"metadata": {"name": "n1", "namespace": "default", "annotations": {"mnp.lab/wire": "x"}}}
    one = nad("n0", {"type": "macvlan", "ipam": NET_IPAM})
    one = written(one.raw | {"metadata": annotated["metadata"] | {"name": "n0"}})
    two = written(nad("n1", {"type": "bridge", "ipam": NET_IPAM}).raw | annotated)
    with Lab.run([one, two, pod("a", "n0"), pod("b", "n1"), pod("c", "n0")]) as lab:
        assert len(pairs(lab)) == 6


def test_a_refusal_by_the_kernel_leaves_the_lab_as_it_was():
    with Lab.run([NET, OTHER, pod("a"), pod("b")]) as lab:
        with pytest.raises(SandboxError, match="pod default/c cannot be wired"):
            lab.apply([pod("a", "other"), REFUSED_BY_THE_KERNEL])
        assert set(lab.plan.pods) == {A, B}
        assert pairs(lab) == {("a", "b"), ("b", "a")}
        lab.apply([pod("c")])
        assert len(pairs(lab)) == 6


def test_a_refusal_by_the_kernel_at_the_start_leaves_nothing():
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(SandboxError, match="default/c"):
        Lab.run([NET, pod("a"), REFUSED_BY_THE_KERNEL])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- with an agent ----------------------------------------------------------------------------------------------


def test_rules_come_before_links_are_up(enforcement, agents):
    """S60: no packet passes a pod that is not enforced yet."""
    with Lab.run([NET, pod("a"), deny_ingress()], enforcement=enforcement) as lab:
        lab.apply([pod("b")])
        assert agents[0].up == {A: False, B: False}
        assert pairs(lab) == {("a", "b"), ("b", "a")}  # now they are


def test_the_agent_receives_the_changes_and_nothing_else(enforcement, agents):
    """S61"""
    with Lab.run([NET, pod("a"), pod("b"), deny_ingress()], enforcement=enforcement) as lab:
        lab.apply([pod("a", labels={"x": "y"}), pod("b")])
        lab.delete([ObjectRef("MultiNetworkPolicy", ObjectName("default", "deny"))])
        lab.apply([pod("b", "net,net")])
    (agent,) = agents
    policy = ObjectRef("MultiNetworkPolicy", ObjectName("default", "deny"))
    later = [told for told in agent.told if told][1:]
    assert later == [
        [(ObjectRef("Pod", A), True)],
        [(policy, False)],
        [(ObjectRef("Pod", B), False)],  # its namespace goes
        [(ObjectRef("Pod", B), True)],
    ]


def test_a_pod_that_cannot_be_enforced_stays_disconnected(enforcement, agents):
    """S64: never silently left open."""
    lab = Lab.run([NET, pod("a")], enforcement=enforcement)
    with lab:
        agents[0].failing.add(B)
        applied = lab.apply([pod("b")])
        assert applied.disconnected == {B}
        assert "default/b left disconnected" in str(applied)
        assert pairs(lab) == set()
        agents[0].failing.clear()
        lab.apply([pod("a", labels={"any": "change"})])
        assert pairs(lab) == {("a", "b"), ("b", "a")}


# --- labs that stay ---------------------------------------------------------------------------------------------


def test_up_apply_exec_probe_down_by_name():
    Lab.up("demo", [NET, pod("a")]).close()
    with pytest.raises(InputError, match="lab 'demo' is up already"):
        Lab.up("demo", [NET])
    with Lab.open("demo") as lab:
        lab.apply([pod("b")])
    with Lab.open("demo") as lab:
        assert set(lab.plan.pods) == {A, B}
        assert pairs(lab) == {("a", "b"), ("b", "a")}
        assert lab.exec(B, ["true"]) == 0
    assert Lab.names() == ("demo",)
    assert Lab.down_named("demo") == ("demo",)
    assert Lab.names() == ()


def test_nothing_is_left_in_the_file_system(run_dir):
    Lab.up("demo", [NET, pod("a")]).down()
    Lab.up("other", [NET, pod("a")]).close()
    assert Lab.down_all() == ("other",)
    assert list((run_dir / "labs").iterdir()) == []


def test_a_lab_that_is_not_there():
    for use in (Lab.open, Lab.down_named):
        with pytest.raises(InputError, match="there is no lab 'demo': make one with mnp lab up PATH --name demo"):
            use("demo")


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "x" * 64, "-a", "."])
def test_names_that_cannot_be_one(name):
    with pytest.raises(InputError, match="is not a name for a lab"):
        Lab.open(name)


def test_a_lab_whose_state_cannot_be_read_can_still_be_taken_down(run_dir):
    Lab.up("demo", [NET, pod("a")]).close()
    (run_dir / "labs" / "demo" / "state.json").write_text("[")
    with pytest.raises(InputError, match="mnp lab down --name demo"):
        Lab.open("demo")
    assert Lab.down_named("demo") == ("demo",)


def test_commands_on_one_lab_take_turns():
    """The second command sees the changes of the first."""
    Lab.up("demo", [NET]).close()

    def add(number):
        with Lab.open("demo") as lab:
            lab.apply([pod(f"p{number}")])

    with ThreadPoolExecutor(4) as many:
        list(many.map(add, range(8)))
    with Lab.open("demo") as lab:
        assert len(lab.plan.pods) == 8
        assert len(pairs(lab)) == 56


def test_an_agent_beside_the_lab_finds_its_pods_by_the_registered_locator():
    registry = load_plugins()
    with Lab.up("demo", [NET, pod("a")]) as lab:
        locator = registry.locator("lab", {"lab": "demo"})
        assert locator.locate(parse_pod(pod("a").raw)[0]) == lab.sandbox(A)
        with pytest.raises(SandboxNotFoundError):
            locator.locate(parse_pod(pod("b").raw)[0])


def test_a_change_by_another_command_is_seen():
    with Lab.up("demo", [NET, pod("a")]) as one, Lab.open("demo") as two:
        two.apply([pod("b")])
        one.apply([pod("c")])
        assert set(one.plan.pods) == {A, B, C}
        one.down()
        with pytest.raises(InputError, match="there is no lab"):
            two.apply([pod("d")])


def test_a_change_that_was_cut_short_is_put_right_by_the_next_command(enforcement):
    """As a SIGKILL leaves it: noted as unfinished, one pod half gone, another half made."""
    with Lab.up("demo", [NET, pod("a"), pod("b")], enforcement=enforcement) as lab:
        directory = LabDirectory("demo")
        assert lab.exec(A, ["sh", "-c", "echo 77 > /proc/sys/net/ipv4/ip_default_ttl"]) == 0  # to know it by
        state = directory.read()
        directory.write(state.__class__(**{**vars_of(state), "unfinished": frozenset({A, C}), "serial": 99}))
        directory.namespaces.drop(Path("pods/default/a"))
        directory.namespaces.make(Path("pods/default/c"))
    with Lab.open("demo", enforcement=enforcement) as lab:
        assert run_inside(lab.sandbox(A), Path("/proc/sys/net/ipv4/ip_default_ttl").read_text) == "64\n"
        assert pairs(lab) == {("a", "b"), ("b", "a")}
        with pytest.raises(SandboxNotFoundError):
            directory.namespaces.find(Path("pods/default/c"))
        assert directory.read().unfinished == frozenset()


def vars_of(state):
    return {name: getattr(state, name) for name in ("documents", "leases", "unfinished", "serial")}


def test_watching_follows_the_files_and_survives_broken_ones(tmp_path):
    folder = tmp_path / "manifests"
    folder.mkdir()

    def write(*documents):
        draft = tmp_path / "draft"
        draft.write_text(yaml.safe_dump_all([document.raw for document in documents]))
        draft.replace(folder / "lab.yaml")

    write(NET, pod("a"))
    stop = threading.Event()
    with Lab.up("demo", [NET, pod("a")]) as lab:
        changes = lab.watch([folder], stop)
        timer = threading.Timer(0.2, write, (NET, pod("a"), pod("b")))
        timer.start()
        assert next(changes).created == (ObjectRef("Pod", B),)
        with Lab.open("demo") as elsewhere:
            elsewhere.apply([pod("c")])
        (folder / "lab.yaml").write_text("{")
        assert isinstance(next(changes), InputError)
        write(NET, pod("b"))
        assert next(changes).deleted == (ObjectRef("Pod", A),)
        assert set(lab.plan.pods) == {B, C}
        stop.set()
        assert list(changes) == []


def test_without_privileges_the_error_names_the_missing_ones():
    script = (
        "from mnp_lab.lab import Lab\n"
        "from mnp_core.errors import UnsupportedError\n"
        "from mnp_core.sources.manifests import Document\n"
        "raw = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'a'}}\n"
        "try: Lab.run([Document(where='x', raw=raw)])\n"
        "except UnsupportedError as error: print(error)\n"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "root" in done.stdout
