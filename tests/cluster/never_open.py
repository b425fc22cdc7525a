"""Pods that start while a denied flow is tried both ways, from the first microsecond of their init container."""

import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from attrs import frozen

from mnp_core.sandbox.icmp import checksum
from mnp_core.testing.sending import drops_expected
from scripts.testbed import place
from tests.cluster.fixtures import Scene
from tests.cluster.manifests import container, definition, from_pods, network_status, pod, policy

PORT = 9
MILLISECONDS = 300
AT_ONCE = 8
SUBNET = "10.77.2.0/24"
FIRST, COUNT = ip_address("10.77.2.100"), 32  # addresses that starting pods get
_SWEEP_SECONDS = 0.002
_ETHERNET = struct.pack("!6s6sH", b"\xff" * 6, bytes.fromhex("0200000000aa"), 0x0800)


@frozen
class Seen:
    """The result of one start: packets tried, packets that passed, and the last moment of one, in ms from the start."""

    name: str
    tried: int
    came_in: int
    got_out: int
    last: float


class Unrest:
    """A policy that comes and goes, without a difference to any flow."""

    def __init__(self, scene: Scene) -> None:
        """Change nothing yet."""
        self._scene = scene
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        beside = policy("beside", "wide", {"app": "starting"}, ingress=[from_pods(app="nobody")])
        while not self._stop.wait(0.05):
            self._scene.apply(beside)
            self._scene.delete("beside", kind="k8s.cni.cncf.io/v1beta1/MultiNetworkPolicy")


class Starts:
    """Starts pods that the policy `closed` isolates in both directions, beside a pod that sends and receives."""

    def __init__(self, scene: Scene, folder: Path, *chained: Mapping[str, Any]) -> None:
        """Make the pod outside and the policy.

        Args:
            scene: For all objects.
            folder: Of this machine, for the program and the results.
            chained: CNI plugins behind macvlan in the definition of the starting pods' network.
        """
        self._scene, self._folder = scene, folder
        (folder / "results").mkdir()
        source = Path(__file__).with_name("never_open.c")
        subprocess.run(["gcc", "-O1", "-static", "-o", folder / "never_open", source], check=True)
        scene.apply(
            _network("outside", ip_address("10.77.2.10"), 1),
            _network("wide", FIRST, COUNT, *chained),
            policy("closed", "wide", {"app": "starting"}, policyTypes=["Ingress", "Egress"]),
        )
        scene.run(pod("outside", "outside"))
        (status,) = (e for e in network_status(scene.pod("outside")) if e["interface"] == "net1")
        self._outside: str = status["ips"][0]
        self._arrived: Counter[str] = Counter()
        self._stop = threading.Event()

    def run(self, count: int) -> Sequence[Seen]:
        """Start so many pods, some at a time; return the packets that passed."""
        name = self._scene.name("outside")
        with ExitStack() as stack:
            receiver = stack.enter_context(self._scene.bed.sandboxes.run(name, self._receiver))
            sender = stack.enter_context(self._scene.bed.sandboxes.run(name, _packet_socket))
            workers = [threading.Thread(target=self._receive, args=(receiver,))]
            workers += [threading.Thread(target=self._send, args=(sender,))]
            for worker in workers:
                worker.start()
            stack.callback(lambda: [worker.join() for worker in workers])
            stack.callback(self._stop.set)
            with ThreadPoolExecutor(AT_ONCE) as threads:
                return list(threads.map(self._start, range(count)))

    def _start(self, number: int) -> Seen:
        name = f"starting-{number}"
        result = self._folder / "results" / name
        self._scene.apply(self._pod(name))
        self._scene.objects.wait_for(f"{name} has tried", lambda: result.exists() and result.read_text(), patience=90)
        time.sleep(0.05)  # for packets on their way
        tried, came_in, _, last = result.read_text().split()
        self._scene.delete(name)
        return Seen(name, int(tried), int(came_in), self._arrived[name], float(last))

    def _pod(self, name: str) -> Mapping[str, Any]:
        probe = container("probe", ["/probe/never_open", name, self._outside, str(PORT), str(MILLISECONDS)])
        probe["command"].append(f"/probe/results/{name}")
        probe["volumeMounts"] = [{"name": "probe", "mountPath": "/probe"}]
        volume = {"name": "probe", "hostPath": {"path": str(self._folder), "type": "Directory"}}
        return pod(name, "wide", labels={"app": "starting"}, initContainers=[probe], volumes=[volume])

    def _receiver(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((self._outside, PORT))
        made.settimeout(0.2)
        return made

    def _receive(self, receiver: socket.socket) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                self._arrived[receiver.recv(64).decode()] += 1

    def _send(self, sender: socket.socket) -> None:
        """To each address that a pod may get, as broadcast frames: no address has to be resolved first."""
        frames = [_frame(self._outside, str(FIRST + number)) for number in range(COUNT)]
        while not self._stop.wait(_SWEEP_SECONDS):
            with drops_expected():
                for frame in frames:
                    sender.send(frame)


def _network(name: str, first: Any, count: int, *chained: Mapping[str, Any]) -> dict[str, Any]:
    addresses = {"subnet": SUBNET, "rangeStart": str(first), "rangeEnd": str(first + count - 1)}
    plugin = {
        "type": "macvlan",
        "master": place.PARENT,
        "mode": "bridge",
        "ipam": {"type": "host-local", "ranges": [[addresses]]},
    }
    return definition(name, {"cniVersion": "1.0.0", "name": name, "plugins": [plugin, *chained]})


def _packet_socket() -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    made.bind(("net1", 0))
    return made


def _frame(source: str, target: str) -> bytes:
    payload = b"in"
    udp = struct.pack("!HHHH", PORT, PORT, 8 + len(payload), 0) + payload
    addresses = ip_address(source).packed + ip_address(target).packed
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP)
    return _ETHERNET + head + struct.pack("!H", checksum(head + bytes(2) + addresses)) + addresses + udp
