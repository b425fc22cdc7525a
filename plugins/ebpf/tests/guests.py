"""A virtual machine's kernel, played by a network namespace of its own behind the wiring of a pod."""

import fcntl
import os
import struct
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import evolve
from pyroute2 import IPRoute

from mnp_core.model import LinkPath
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.guests import EnforcedGuest
from mnp_core.testing.hosts import INSIDE, OUTSIDE, Host, Wire
from mnp_core.testing.netns import End, macvlan, private_namespace, veth_pair
from mnp_core.testing.wiring import WiredSandbox
from tests.vm.tap import hub, open_tap

TUN = Path("/dev/net/tun")
TUNSETIFF, TAP_WITHOUT_HEADER = 0x400454CA, 0x1002  # <linux/if_tun.h>: IFF_TAP | IFF_NO_PI
REDIRECT = "action mirred egress redirect"


class Guest(EnforcedGuest):
    """Interfaces are where the wiring of the pod says that discovery would find them."""

    def __init__(self, sandbox, cleanup, backend):
        super().__init__(sandbox, cleanup, *backend, self._located)
        self.found = {}  # path and carrier of net1

    def _located(self, policy):
        return evolve(policy, interfaces=tuple(evolve(each, **self.found) for each in policy.interfaces))

    def counters(self):
        found = self.in_pod(self.applier.counters)
        return {(each.direction, each.label): each.packets for each in found}


class GuestWire(Wire):
    """A `Wire` whose pod is a guest: by ``wiring`` its card is the pod's ``net1``."""

    def __init__(self, cleanup, backend, wiring):
        load_tun()
        self._cleanup = cleanup
        guest, pod = (cleanup.enter_context(private_namespace()) for _ in range(2))
        self.pod = Guest(WiredSandbox(pod=pod, packets=guest), cleanup, backend)
        self.peer = Host(cleanup.enter_context(private_namespace()), cleanup)
        card = run_inside(guest, lambda: open_tap("eth0"))
        other_end, mac, self.pod.found = wiring(self)
        configure(guest, "eth0", mac, INSIDE)
        cleanup.enter_context(hub([card, other_end]))


def kata(wire):
    """A tap beside the interface, and tc that redirects all packets from each to the other."""
    veth_pair(End(wire.pod.outside, "net1", INSIDE), End(wire.peer.sandbox, "out", OUTSIDE))

    def set_up():
        tap = open_tap("tap0_kata")
        run("ip link set tap0_kata up")
        for one, other in (("net1", "tap0_kata"), ("tap0_kata", "net1")):
            run(f"tc qdisc add dev {one} ingress")
            run(f"tc filter add dev {one} parent ffff: protocol all u32 match u8 0 0 {REDIRECT} dev {other}")
        return tap, mac_of("net1"), {"path": LinkPath.REDIRECTED, "carrier": "net1"}

    return run_inside(wire.pod.outside, set_up)


def kubevirt(wire):
    """KubeVirt's bridge binding: the interface, renamed, and a tap are ports of a bridge; a dummy has its name."""
    veth_pair(End(wire.pod.outside, "net1-nic"), End(wire.peer.sandbox, "out", OUTSIDE))

    def set_up():
        tap, mac = open_tap("tap0"), mac_of("net1-nic")
        run("ip link set net1-nic address 02:00:00:00:00:77")
        run("ip link add k6t-net1 type bridge")
        for name in ("net1-nic", "tap0"):
            run(f"ip link set {name} master k6t-net1 up")
        run("ip link set k6t-net1 up")
        return tap, mac, {"path": LinkPath.BRIDGED, "carrier": "net1-nic"}

    return run_inside(wire.pod.outside, set_up)


def macvtap(wire):
    """A macvtap whose character device the guest has."""
    node = wire._cleanup.enter_context(private_namespace())
    veth_pair(End(node, "eth1"), End(wire.peer.sandbox, "out", OUTSIDE))
    macvlan(End(node, "eth1"), End(wire.pod.outside, "net1"), kind="macvtap")

    def open_it():
        run("ip link set net1 allmulticast on")  # for the guest's groups, which the pod's kernel does not join
        return open_character_device("net1"), mac_of("net1"), {"path": LinkPath.REDIRECTED, "carrier": "net1"}

    return run_inside(wire.pod.outside, open_it)


def run(command):
    subprocess.run(command.split(), check=True, capture_output=True)


def load_tun():
    """The device file of a module that is not loaded is missing."""
    if not TUN.exists():
        subprocess.run(["modprobe", "tun"], check=False, capture_output=True)
    if not TUN.exists():
        pytest.skip(f"{TUN} is missing: this kernel has no taps")  # which a guest is attached by


def open_character_device(name):
    """Of a macvtap: its number is in sysfs, which shows the interfaces of whoever mounted it."""
    with TemporaryDirectory() as folder:
        command = f"mount -t sysfs none {folder} && cat {folder}/class/net/{name}/tap*/dev"
        found = subprocess.run(["unshare", "-m", "sh", "-c", command], check=True, capture_output=True, text=True)
        major, minor = map(int, found.stdout.split(":"))
        node = Path(folder, "tap")
        os.mknod(node, 0o20600, os.makedev(major, minor))
        file = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", b"", TAP_WITHOUT_HEADER))
    return file


def mac_of(name):
    with IPRoute() as kernel:
        (link,) = kernel.get_links(*kernel.link_lookup(ifname=name))
        return link.get("IFLA_ADDRESS")


def configure(guest, name, mac, addresses):
    def work():
        run(f"ip link set {name} address {mac} up")
        for address in addresses:
            run(f"ip address add {address} dev {name}" + (" nodad" if ":" in address else ""))

    run_inside(guest, work)
