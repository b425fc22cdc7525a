"""The program of a node and pods with virtual machines' guests, wired as KubeVirt's bridge binding has it, by packets.

Bridged interfaces are enforced by the backends that reach them on this kernel: by eBPF programs everywhere, by nftables
in the virtual machine of `make test-vm`.
"""

import json
import signal
import socket
from contextlib import ExitStack, suppress

import pytest
import yaml

from mnp_core.backend import Backends, BackendSettings
from mnp_core.errors import UnsupportedError
from mnp_core.model import LinkPath, ObjectName
from mnp_core.plugins import load_plugins
from mnp_core.sources.manifests import load_documents
from mnp_core.testing.flood import flood
from mnp_core.testing.hosts import Host, works
from mnp_core.testing.netns import End, delete_link, private_namespace, veth_pair
from mnp_core.testing.wiring import WiredSandbox, bind
from plugins.ebpf.tests.guests import REDIRECT, configure, load_tun, mac_of, run
from tests.node.program import QUICKSTART, WEB, Node, served_lab
from tests.vm.tap import hub, open_tap

pytestmark = [pytest.mark.root, pytest.mark.timeout(1500)]
STATUS = "k8s.v1.cni.cncf.io/network-status"
POLICY_FOR = "k8s.v1.cni.cncf.io/policy-for"
CLIENT, STRANGER, TARGET = (ObjectName("demo", name) for name in ("client", "stranger", "target"))
MACVLAN = '"type": "macvlan", "master": "eth1", "mode": "bridge"'
REGISTRY = load_plugins()


def reaching():
    """The backends that enforce on bridged interfaces here."""
    for name in ("nftables", "ebpf"):
        settings = BackendSettings(node=name, paths={LinkPath.BRIDGED: name})
        with suppress(UnsupportedError):
            if not Backends(REGISTRY, settings).obstacle((), LinkPath.BRIDGED):
                yield name


class Scene:
    """The quickstart's pods and one more with the labels of `web`, on a bridge; guests come by `start_guest`."""

    def __init__(self, node, cleanup):
        self.node, self._cleanup = node, cleanup
        self.client, self.stranger = (Host(node.lab.sandbox(name), cleanup) for name in (CLIENT, STRANGER))
        self.guests = {}

    def status(self, pod):
        """Its network-status."""
        return json.loads(self.node.raw("Pod", pod.name)["metadata"]["annotations"][STATUS])

    def address(self, pod):
        return next(entry["ips"][0] for entry in self.status(pod) if entry["interface"] == "net1")

    def put(self, pod, status, **metadata):
        """Change a pod's network-status, and other metadata."""
        raw = self.node.raw("Pod", pod.name)
        raw["metadata"]["annotations"][STATUS] = json.dumps(status)
        raw["metadata"] |= metadata
        self.node.server.put("pods", raw)

    def start_guest(self, pod, address="", interface="net1"):
        """Have a guest behind an interface."""
        if pod not in self.guests:
            self.guests[pod] = Host(self._cleanup.enter_context(private_namespace()), self._cleanup)
        sandbox = WiredSandbox(pod=self.node.lab.sandbox(pod), packets=self.guests[pod].sandbox)
        bind(sandbox, interface, (f"{address or self.address(pod)}/24",))
        return self.guests[pod]

    def start_redirected_guest(self, pod):
        """Have a guest behind a tap to which tc redirects all packets, as in Kata's pods."""
        load_tun()
        guest = Host(self._cleanup.enter_context(private_namespace()), self._cleanup)
        card = guest.run(lambda: open_tap("eth0"))
        tap, mac = self.node.inside(pod, make_tap)
        self.node.until(lambda: "'tap0_kata'" in self.node.log.read_text())  # the last change of links was noticed
        self.node.inside(pod, redirect)
        configure(guest.sandbox, "eth0", mac, (f"{self.address(pod)}/24",))
        self._cleanup.enter_context(hub([card, tap]))
        return guest

    def connects(self, source, target, address, port=80):
        """Whether a connection from one host to another comes about."""
        listener, client = target.listener(address, port), source.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.settimeout(0.3)
        try:
            client.connect((address, port))
        except (TimeoutError, OSError):
            return False
        finally:
            listener.close()
            client.close()
        return True

    def is_found(self, pod):
        """Whether rules for a bridged interface are in force in a pod."""
        appliers = [REGISTRY.applier(name) for name in reaching()]
        return any(self.node.inside(pod, applier.installed_paths) for applier in appliers)

    def enforced(self, guest, address):
        """Wait until the policy holds for a guest."""
        self.node.until(lambda: not self.connects(self.stranger, guest, address))
        assert self.connects(self.client, guest, address)


@pytest.fixture
def scene(tmp_path):
    if not [*reaching()]:
        pytest.skip("no backend reaches bridged interfaces here")
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = (QUICKSTART / "cluster.yaml").read_text().replace(MACVLAN, '"type": "bridge"')
    pods = [raw for raw in yaml.safe_load_all(cluster) if raw["kind"] == "Pod"]
    target = next(raw for raw in pods if raw["metadata"]["name"] == WEB.name)
    target["metadata"]["name"] = TARGET.name
    (folder / "cluster.yaml").write_text(f"{cluster}\n---\n{yaml.safe_dump(target)}")
    documents = load_documents([folder / "cluster.yaml", QUICKSTART / "policy.yaml"])
    with (
        served_lab(tmp_path, documents) as (lab, server),
        Node(lab, server, tmp_path) as node,
        ExitStack() as cleanup,
    ):
        yield Scene(node, cleanup)


def make_tap():
    """A tap beside net1: its file, and the MAC address of net1."""
    tap = open_tap("tap0_kata")
    run("ip link set tap0_kata up")
    return tap, mac_of("net1")


def redirect():
    """Packets of each go to the other."""
    for one, other in (("net1", "tap0_kata"), ("tap0_kata", "net1")):
        run(f"tc qdisc add dev {one} ingress")
        run(f"tc filter add dev {one} parent ffff: protocol all u32 match u8 0 0 {REDIRECT} dev {other}")


def received(guest, address):
    """Datagrams of the flood that got into a guest."""
    count = 0
    for port in (80, 81):
        inbox = guest.udp(address, port)
        inbox.settimeout(0)
        with suppress(BlockingIOError):
            while inbox.recv(9):
                count += 1
    return count


def flooded(scene, guest, address):
    """Packets that the policy denies, all the time, from now on; the guest has sockets for them."""
    for port in (80, 81):
        guest.udp(address, port)
    received(guest, address)
    return flood(scene.stranger, scene.address(STRANGER), address)


@pytest.mark.full
def test_a_guest_that_starts_in_a_running_pod_is_enforced(scene):
    """S64: found in the pod, without an event of the API server."""
    scene.node.start()
    guest = scene.start_guest(WEB)
    scene.enforced(guest, scene.address(WEB))
    assert scene.node.problems("Unenforceable") == []


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGTERM, marks=pytest.mark.full, id="SIGTERM"), pytest.param(signal.SIGKILL, id="SIGKILL")],
)
def test_a_guest_stays_enforced_while_the_agent_ends_and_starts(scene, number):
    """S62: not one packet of a denied flow, none lost of a connection."""
    scene.node.start()
    stays_enforced(scene, scene.start_guest(WEB), number)


@pytest.mark.full
def test_a_guest_behind_redirections_stays_enforced_past_sigkill(scene):
    """S62: programs at the interface are held by it. S64: the redirection comes later than its tap."""
    if obstacle := Backends(REGISTRY, BackendSettings()).obstacle((), LinkPath.REDIRECTED):
        pytest.skip(f"redirected interfaces are enforced by no backend here: {obstacle}")
    scene.node.start()
    stays_enforced(scene, scene.start_redirected_guest(WEB), signal.SIGKILL)


def stays_enforced(scene, guest, number):
    address = scene.address(WEB)
    scene.enforced(guest, address)
    listener, near = guest.listener(address, 80), scene.client.socket(socket.AF_INET, socket.SOCK_STREAM)
    near.connect((address, 80))
    far, _ = listener.accept()
    with far, flooded(scene, guest, address):
        for _ in range(2):
            scene.node.end(number)
            assert works(near, far)
            scene.node.start()
            assert works(near, far)
    assert received(guest, address) == 0


@pytest.mark.full
def test_another_choice_of_backends_opens_nothing(scene):
    """S60: settings change with a restart; each choice takes over from the one before."""
    mains = [name for name in ("nftables", "iptables-nft", "ebpf") if is_usable(name)]
    choices = [{"backend": main, "backend_by_path": {"bridged": name}} for main in mains for name in reaching()]
    scene.node.set(**choices[0])
    scene.node.start()
    guest, address = scene.start_guest(WEB), scene.address(WEB)
    scene.enforced(guest, address)
    with flooded(scene, guest, address):
        for choice in [*choices[1:], choices[0]]:
            scene.node.end()
            scene.node.set(**choice)
            scene.node.start()
            assert scene.connects(scene.client, guest, address), choice
    assert received(guest, address) == 0


def is_usable(name):
    """Whether a backend can be used here."""
    with suppress(UnsupportedError):
        return bool(Backends(REGISTRY, BackendSettings(node=name)))
    return False


@pytest.mark.full
def test_an_interface_that_is_plugged_into_a_running_pod_is_enforced(scene):
    """S61, S64: its wiring is there before network-status tells of it."""
    node = scene.node
    definition = node.raw("NetworkAttachmentDefinition", "data")
    node.server.put(
        "network-attachment-definitions", definition | {"metadata": {**definition["metadata"], "name": "more"}}
    )
    node.start()
    guest, address = scene.start_guest(WEB), scene.address(WEB)
    scene.enforced(guest, address)
    pod = node.lab.sandbox(WEB)
    veth_pair(End(pod, "net2"), End(scene.stranger.sandbox, "more", ("10.77.0.2/24",)))
    scene.start_guest(WEB, "10.77.0.1", "net2")
    assert scene.connects(scene.stranger, guest, "10.77.0.1"), "no policy is about it"
    entry = {"name": "demo/more", "interface": "net2", "ips": ["10.77.0.1"], "mac": "", "dns": {}}
    scene.put(WEB, [*scene.status(WEB), entry])
    policy = node.raw("MultiNetworkPolicy", "web-deny")
    policy["metadata"]["annotations"][POLICY_FOR] = "data, more"
    node.server.put("multi-networkpolicies", policy)
    node.until(lambda: not scene.connects(scene.stranger, guest, "10.77.0.1"))
    scene.enforced(guest, address)
    delete_link(scene.stranger.sandbox, "more")


@pytest.mark.full
def test_a_live_migration_leaves_source_and_target_enforced(scene):
    """S5: both pods have one address; the guest goes on in the other pod, and not one denied packet gets into it."""
    node = scene.node
    node.start()
    source, address = scene.start_guest(WEB), scene.address(WEB)
    scene.enforced(source, address)
    scene.put(
        TARGET, [entry | ({"ips": [address]} if entry["interface"] == "net1" else {}) for entry in scene.status(TARGET)]
    )
    node.until(lambda: node.problems("DuplicateAddress"))
    target = scene.start_guest(TARGET, address)
    node.until(lambda: scene.is_found(TARGET))  # wired before the guest comes, as KubeVirt does it
    with flooded(scene, target, address), flooded(scene, source, address):
        delete_link(source.sandbox, "net1")  # the guest stops here, and goes on there: it tells its neighbours
        target.udp(address, 9).sendto(b"here", (scene.address(CLIENT), 9))
        node.until(lambda: scene.connects(scene.client, target, address))
        scene.put(WEB, scene.status(WEB), deletionTimestamp="2026-01-01T00:00:00Z")
        node.until(lambda: node.metric('mnp_reports{reason="DuplicateAddress"}') == 0)
        scene.enforced(target, address)
    assert received(target, address) == 0
