"""Virtual machines behind bridged pod interfaces, enforced in family ``bridge``: verdicts, changes, restarts, drift."""

import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from attrs import evolve

from mnp_core.inspection import Claimed, inspect
from mnp_core.model import LinkPath, ObjectName, Protocol
from mnp_core.node.status.trace import PodTracing
from mnp_core.node.status.traced import TracedPacket
from mnp_core.policy.ends import Flow
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End
from mnp_netdev import NetdevDiscoverer
from tests.vm import kubevirt
from tests.vm.conversations import Place
from tests.vm.corpus import ADDRESSES, OUTSIDE, Attached, states, verdict
from tests.vm.devices import Kind
from tests.vm.network import PodNetwork

pytestmark = pytest.mark.vm
LAN = Attached("lan1", "bridge", kubevirt.INTERFACE)
STATES = states("lan1")
CHANGES = 25
PORT = 4999


class GuestNetwork(PodNetwork):
    """The pods of the corpus with a guest each; questions are asked by the guests, rules are in the pods."""

    def __init__(self) -> None:
        self.guests = {}
        super().__init__([Kind("kubevirt", LAN.cni_type, "dummy", lambda *_: ())])
        self.networks = (LAN,)

    def _attach(self, _kind: Kind, _interface: str) -> None:
        outside = self._cleanup.enter_context(kubevirt.private_namespace())
        ends = {
            name: End(
                sandbox,
                kubevirt.GUEST if name == OUTSIDE else kubevirt.INTERFACE,
                tuple(f"{address}/{64 if ':' in address else 24}" for address in ADDRESSES[name]),
            )
            for name, sandbox in (*self.pods.items(), (OUTSIDE, outside))
        }
        macs = kubevirt.plug(self._cleanup, list(ends.values()))
        for name, end in ends.items():
            place = self._guest(name, end, macs[end.sandbox.path]) if name in self.pods else end
            self.places += [Place(name, place.sandbox, place.name, a) for a in ADDRESSES[name]]
        kubevirt.configure(ends[OUTSIDE])

    def _guest(self, name: str, end: End, mac: str) -> End:
        kubevirt.bind(end.sandbox, mac, end.addresses)
        guest = kubevirt.start(self._cleanup, end.sandbox, mac, end.addresses)
        self.guests[name] = guest
        return guest.end

    def found(self, pod: str, obstacle: str = ""):
        """The findings of the agent in a pod."""
        claims = tuple(self.cluster().claims(pod).enforced)
        claimed = Claimed(pod=claims[0].pod, attachments=claims, defaults=frozenset({"eth9"}))
        sandbox = self.pods[pod]
        return run_inside(
            sandbox, lambda: inspect(claimed, read_links, {"bridge": NetdevDiscoverer()}, lambda _: obstacle)
        )

    def cluster(self, policies=()):
        return _Bridged(super().cluster(policies))


class _Bridged:
    """A cluster whose sandboxes' interfaces are as discovery finds them."""

    def __init__(self, cluster) -> None:
        self._cluster, self.claims = cluster, cluster.claims

    def sandbox(self, name):
        policy = self._cluster.sandbox(name)
        bridged = tuple(evolve(i, path=LinkPath.BRIDGED, carrier=kubevirt.NIC) for i in policy.interfaces)
        return evolve(policy, interfaces=bridged)


@pytest.fixture(scope="module")
def network():
    with GuestNetwork() as network:
        wrong = network.conversations.wrong(dict.fromkeys(network.questions, True))
        assert sorted(map(str, wrong)) == []
        yield network


@pytest.fixture
def engine(engine):
    if LinkPath.BRIDGED not in engine.paths:
        pytest.skip(f"{engine.name} does not reach bridged interfaces")
    return engine


def test_this_kernel_tracks_connections_on_bridges(engine):
    assert engine.applier.obstacle(LinkPath.BRIDGED) == ""


def test_discovery_finds_the_port_and_the_guest(network):
    found = network.found("web")
    ((path, carrier),) = [(each.path, each.carrier) for each in found.attachments]
    assert (path, carrier) == (LinkPath.BRIDGED, kubevirt.NIC)
    assert found.problems == ()
    assert found.bindings == {
        kubevirt.INTERFACE: f"bridge, by '{kubevirt.NIC}' in '{kubevirt.BRIDGE}', the guest behind '{kubevirt.TAP}'"
    }


def test_verdicts(network, engine, check):
    """S10, S11, S20, S23, S30, S31, S40, S43, S45, S46 for guests; ARP and neighbour discovery are among them."""
    wrong = {}
    with network.enforced(engine) as enforce:
        for state, policies in STATES.items():
            rules = enforce(policies)
            expected = {question: _verdict(rules, question) for question in network.questions}
            wrong[state] = check("kubevirt bridge", network.conversations, expected)
    assert wrong == {state: {} for state in STATES}


def _verdict(rules, question):
    named = [evolve(place, interface=kubevirt.INTERFACE) for place in (question.source, question.destination)]
    return verdict(rules, question._replace(source=named[0], destination=named[1]))


def test_rules_are_read_back_as_they_were_written(network, engine):
    """S62, S63."""
    state = network.cluster(STATES["mixed"])
    ruleset = engine.renderer.render(state.sandbox("web"))
    sandbox = network.pods["web"]
    try:
        run_inside(sandbox, lambda: engine.applier.apply(ruleset))
        assert run_inside(sandbox, engine.applier.installed).matches(ruleset)
        assert run_inside(sandbox, engine.applier.installed_paths) == {LinkPath.BRIDGED}
        run_inside(sandbox, lambda: _nft("delete rule bridge mnp forward handle 0", check=False))
        run_inside(sandbox, lambda: _nft("flush chain bridge mnp ingress"))
        assert not run_inside(sandbox, engine.applier.installed).matches(ruleset)
        run_inside(sandbox, lambda: engine.applier.apply(ruleset))
        assert run_inside(sandbox, engine.applier.installed).matches(ruleset)
    finally:
        run_inside(sandbox, engine.applier.remove)
    assert run_inside(sandbox, engine.applier.installed) is None
    assert run_inside(sandbox, lambda: _nft("list tables")) == ""


def _nft(command, *, check=True):
    return subprocess.run(["nft", command], check=check, capture_output=True, text=True).stdout


def test_text_is_what_the_kernel_gets(network, engine):
    """nft makes of the text what the messages say."""
    ruleset = engine.renderer.render(network.cluster(STATES["mixed"]).sandbox("web"))
    with ExitStack() as cleanup:
        one, other = (cleanup.enter_context(kubevirt.private_namespace()) for _ in range(2))
        run_inside(one, lambda: engine.applier.apply(ruleset))
        run_inside(other, lambda: subprocess.run(["nft", "-f", "-"], input=ruleset.text, check=True, text=True))
        assert run_inside(other, engine.applier.installed) == run_inside(one, engine.applier.installed)
        assert run_inside(other, engine.applier.installed).matches(ruleset)


def test_nothing_passes_while_rules_change(network, engine):
    """S60: a flood of a denied flow meets replacements from one closed state to another."""
    closed, mixed = STATES["closed"], STATES["mixed"]
    job, outside = (next(p for p in network.places if p.name == name and p.version == 4) for name in ("job", OUTSIDE))
    with network.enforced(engine) as enforce, ExitStack() as cleanup:
        enforce(closed)
        heard = cleanup.enter_context(run_inside(job.sandbox, lambda: _bound(job.address)))
        sent = cleanup.enter_context(_flood(outside, job.address))
        before = sent()
        for _ in range(CHANGES):
            enforce(mixed)
            enforce(closed)
        number = sent() - before
        time.sleep(0.2)
        assert number > CHANGES
        assert _count(heard) == 0
        assert number > 0, "nothing was sent"


def test_an_established_connection_of_a_guest_outlasts_a_policy(network, engine):
    """S41, S42: tracking is on before the first policy."""
    web, job = (next(p for p in network.places if p.name == name and p.version == 4) for name in ("web", "job"))
    with network.enforced(engine) as enforce, _Connection(job, web) as connection:
        enforce(())
        assert connection.echo()
        enforce(STATES["closed"])
        assert connection.echo()


def test_the_trace_of_a_guests_packet_names_the_rule_that_decides(network, engine):
    """S11, rule by rule, in the pod of the target; a packet that no policy judges passes untouched."""
    job, outside = (next(p for p in network.places if p.name == name and p.version == 4) for name in ("job", OUTSIDE))
    with network.enforced(engine) as enforce:
        for policies, verdict, rules in ((STATES["closed"], "denied", ["denied"]), ((), "allowed", [])):
            enforce(policies)
            found = _traced(network.pods["job"], engine.applier, outside, job)
            assert (found["verdict"], found["port"]) == (verdict, PORT), found
            assert [step["rule"] for step in found["steps"] if step["rule"]] == rules, found
            assert {step["interface"] for step in found["steps"] if step["rule"]} == (
                {LAN.interface} if rules else set()
            )
    assert "mnp-trace" not in run_inside(network.pods["job"], lambda: _nft("list tables"))


def _traced(pod, applier, source, target):
    """A datagram to a guest, on its way through the pod."""
    packet = Flow(protocol=Protocol.UDP, port=PORT).packet(ip_address(source.address), ip_address(target.address))
    made = TracedPacket(ObjectName("demo", target.name), None, 0.0)
    with run_inside(pod, lambda: PodTracing(applier, [packet], 1, bridged=True)) as tracing:
        made.rules = tracing.rules
        with run_inside(source.sandbox, lambda: _bound("")) as sender:
            until = time.monotonic() + 10
            while not made.steps and time.monotonic() < until:
                sender.sendto(b"?", (target.address, PORT))
                time.sleep(0.2)
                for step in tracing.sources[0].read():
                    made.add(step, 0.0)
    return made.as_json()


def test_frames_with_a_vlan_tag_are_denied_and_counted(network, engine):
    """A guest's tagged frames belong to no policy; the kernel would take their content for untagged."""
    guest, other = network.guests["web"].end, network.guests["api"].end
    for end, address in ((guest, "10.7.0.1/24"), (other, "10.7.0.2/24")):
        kubevirt.ip(
            end.sandbox,
            f"link add {end.name}.7 link {end.name} type vlan id 7",
            f"addr add {address} dev {end.name}.7",
            f"link set {end.name}.7 up",
        )
    try:
        assert _reaches(guest.sandbox, other.sandbox, "10.7.0.2")
        with network.enforced(engine) as enforce:
            enforce(STATES["closed"])
            assert not _reaches(guest.sandbox, other.sandbox, "10.7.0.2")
            counters = run_inside(network.pods["web"], engine.applier.counters)
            assert sum(c.packets for c in counters if c.label == "denied-vlan" and c.direction == "Egress") > 0
    finally:
        for end in (guest, other):
            kubevirt.ip(end.sandbox, f"link del {end.name}.7")


def _reaches(one, other, address):
    """Whether a datagram arrives."""
    with run_inside(other, lambda: _bound(address)) as receiver, run_inside(one, lambda: _bound("")) as sender:
        for _ in range(5):  # the first waits for ARP
            sender.sendto(b"?", (address, PORT))
            with suppress(TimeoutError):
                return bool(receiver.recv(10))
    return False


def _bound(address):
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.settimeout(0.4)
    found.bind((address, PORT))
    return found


@contextmanager
def _flood(source, target):
    """Datagrams all the time, from a process of its own."""
    code = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    try:
        sender.sendto(b"!", (sys.argv[1], int(sys.argv[2])))
    except OSError:
        pass
"""
    command = [sys.executable, "-c", code, target, str(PORT)]
    sender = run_inside(source.sandbox, lambda: subprocess.Popen(command))
    try:
        yield lambda: run_inside(source.sandbox, lambda: _sent(source.interface))
    finally:
        sender.kill()
        sender.wait()


def _sent(interface):
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    return next(int(line.split()[10]) for line in lines if line.strip().startswith(f"{interface}:"))


def _count(receiver):
    """Datagrams in a socket's queue."""
    receiver.settimeout(0)
    found = 0
    with suppress(BlockingIOError):
        while receiver.recv(10):
            found += 1
    return found


class _Connection:
    """A TCP connection between two guests."""

    def __init__(self, client, server) -> None:
        self._client = run_inside(client.sandbox, socket.socket)
        self._server = run_inside(server.sandbox, socket.socket)
        self._address = server.address, PORT

    def __enter__(self):
        self._server.bind(self._address)
        self._server.listen()
        for each in (self._client, self._server):
            each.settimeout(5)
        self._client.connect(self._address)
        self._accepted, _ = self._server.accept()
        self._accepted.settimeout(5)
        return self

    def echo(self):
        self._client.sendall(b"?")
        self._accepted.sendall(self._accepted.recv(1) + b"!")
        return self._client.recv(2) in {b"?!", b"?"}

    def __exit__(self, *_):
        for each in (self._client, self._accepted, self._server):
            each.close()
