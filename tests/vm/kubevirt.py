"""Guests behind pods' interfaces, wired as KubeVirt's bridge binding wires them; KubeVirt itself is not needed for it.

From its public description and source (docs/networking and pkg/network of kubevirt/kubevirt): the pod's interface
``pod<hash>`` goes down and becomes ``<hash>-nic``, with a MAC address made up for it and learning off; a bridge
``k6t-<hash>`` has it and the guest's ``tap<hash>`` as ports; a dummy, down, takes the old name, MAC and IP addresses.
The guest has the old MAC and IP addresses. Here it is a network namespace with a tap of its own;
a program exchanges frames between the two taps, as QEMU does between a tap and a guest's card.
"""

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from attrs import frozen

from mnp_core.api import Sandbox
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End, private_namespace
from tests.vm import tap
from tests.vm.ip import configure, ip

HASH = "37a8eec1ce1"
INTERFACE = f"pod{HASH}"
NIC, BRIDGE, TAP = f"{HASH}-nic", f"k6t-{HASH}", f"tap{HASH}"
GUEST = "eth0"
_ARP_IGNORE = Path("/proc/sys/net/ipv4/conf/all/arp_ignore")


@frozen
class Guest:
    """A guest: its own end, and the sandbox of its pod."""

    end: End
    sandbox: Sandbox


def plug(cleanup: ExitStack, ends: Sequence[End]) -> Mapping[str, str]:
    """Cables from all ends to one switch; returns the MAC address of each by its namespace's path."""
    switch = cleanup.enter_context(private_namespace())
    ip(
        switch,
        "link add switch up type bridge",
        *(
            f"link add port{number} up type veth peer name {end.name} netns {end.sandbox.path}"
            f" address 02:00:00:00:0a:{number:02x}"
            for number, end in enumerate(ends, start=1)
        ),
        *(f"link set port{number} master switch" for number in range(1, len(ends) + 1)),
    )
    return {end.sandbox.path: f"02:00:00:00:0a:{number:02x}" for number, end in enumerate(ends, start=1)}


def bind(sandbox: Sandbox, mac: str, addresses: Sequence[str], interface: str = INTERFACE) -> None:
    """What KubeVirt does in a pod's namespace before the guest starts; the tap is made by `start`."""
    suffix = interface.removeprefix("pod")
    run_inside(sandbox, lambda: _ARP_IGNORE.write_text("1"))  # else the bridge answers for the address of the dummy
    ip(
        sandbox,
        f"link set {interface} down",
        f"link set {interface} name {suffix}-nic",
        f"link set {suffix}-nic address 02:00:00:ff:{mac[-5:]}",
        f"link add {interface} type dummy",
        f"link set {interface} address {mac}",
        *(f"addr add {address} dev {interface}" for address in addresses),
        f"link add k6t-{suffix} type bridge",
        f"link set {suffix}-nic master k6t-{suffix}",
        f"link set {suffix}-nic type bridge_slave learning off",
        f"addr add 169.254.75.10/32 dev k6t-{suffix}",
        f"link set {suffix}-nic up",
        f"link set k6t-{suffix} up",
    )


def start(
    cleanup: ExitStack, sandbox: Sandbox, mac: str, addresses: Sequence[str], interface: str = INTERFACE
) -> Guest:
    """Start a guest behind a bound interface."""
    suffix = interface.removeprefix("pod")
    subprocess.run(["modprobe", "tun"], check=True)
    namespace = cleanup.enter_context(private_namespace())
    end = End(namespace, GUEST, tuple(addresses))
    files = [
        run_inside(sandbox, lambda: tap.open_tap(f"tap{suffix}")),
        run_inside(namespace, lambda: tap.open_tap(GUEST)),
    ]
    cleanup.enter_context(tap.hub(files))
    ip(sandbox, f"link set tap{suffix} master k6t-{suffix}", f"link set tap{suffix} up")
    ip(namespace, f"link set {GUEST} address {mac}")
    configure(end)
    return Guest(end=end, sandbox=sandbox)
