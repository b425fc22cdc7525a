"""Makes network devices as CNI plugins make them, kind by kind, on the real kernel of the virtual machine.

A `Kind` attaches ends (a sandbox, an interface name, addresses) to one network so that all of them reach each other:
pods, which get the kind's device, and one end that stands for the outside, for most kinds a host on the far
side of a cable. Addresses are of 10.0.0.0/24 and fd00::/64, of which .254 and ::fe are the node's own.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from attrs import frozen

from mnp_core.api import Sandbox
from mnp_core.testing.netns import End, private_namespace
from tests.vm import sriov, tap
from tests.vm.ip import configure, forward, ip

Attach = Callable[[ExitStack, Sequence[End], End], Sequence[str]]
"""Attaches pods, and the one end that is none. What is made goes with the stack, or with the namespaces of the ends.

Returns the PCI address of each pod's device, as device-info in network-status has it; nothing for kinds without.
"""

ROUTER = ("10.0.0.254", "fd00::fe")
_ROUTES = (("10.0.0.254", "10.0.0.0/24"), ("fd00::fe", "fd00::/64"))
ROUTER_MAC = "02:00:00:00:00:fe"
VLAN_ID = 7


@frozen
class Kind:
    """A kind of attachment.

    Attributes:
        name: For tests and the table.
        cni_type: The ``type`` of the network configuration.
        link_kind: IFLA_INFO_KIND of the device in the pod; empty for hardware.
        attach: See `Attach`.
        sees_outside: Whether packets from outside pass the packet filter of the pod's namespace. In mode l3s of
            ipvlan it does not: the kernel takes it through the filter of the node's namespace and then hands it to the
            pod's sockets (drivers/net/ipvlan/ipvlan_l3s.c), so nothing in the pod can enforce policy on it (S64).
    """

    name: str
    cni_type: str
    link_kind: str
    attach: Attach
    sees_outside: bool = True

    def __str__(self) -> str:
        return self.name


def hosts(end: End) -> list[str]:
    """An end's addresses without the length of their network."""
    return [address.partition("/")[0] for address in end.addresses]


# --- children of an interface of the node -----------------------------------------------------------------------


def _child(kind: str, mode: str) -> Attach:
    def attach(cleanup: ExitStack, pods: Sequence[End], outside: End) -> Sequence[str]:
        node = _cabled(cleanup, outside)
        for pod in pods:
            ip(node, f"link add link up0 name {pod.name} netns {pod.sandbox.path} type {kind} mode {mode}")
            configure(pod)
        if mode in {"l3", "l3s"}:
            _route_for(node, pods, outside)
        return ()

    return attach


def _route_for(node: Sandbox, pods: Sequence[End], outside: End) -> None:
    """In modes l3 and l3s, pods send by the node's routes, and no host answers ARP for them (ipvlan.rst)."""
    ip(
        node,
        f"link set up0 address {ROUTER_MAC}",
        f"addr add {ROUTER[0]}/24 dev up0",
        f"addr add {ROUTER[1]}/64 dev up0 nodad",
    )
    neighbours = (host for pod in pods for host in hosts(pod))
    ip(
        outside.sandbox,
        *(f"neigh replace {n} lladdr {ROUTER_MAC} dev {outside.name} nud permanent" for n in neighbours),
    )


def _cabled(cleanup: ExitStack, outside: End) -> Sandbox:
    """A node with an interface ``up0``, and a cable from there to the end outside."""
    node = cleanup.enter_context(private_namespace())
    ip(node, cable("up0", outside))
    configure(outside)
    return node


def cable(port: str, end: End) -> str:
    """The command of `ip` that makes a port of a namespace, up, and an end elsewhere that is still down and bare."""
    return f"link add {port} up type veth peer name {end.name} netns {end.sandbox.path}"


# --- on cables to a switch --------------------------------------------------------------------------------------


def _bridge(cleanup: ExitStack, pods: Sequence[End], outside: End) -> Sequence[str]:
    _plug(cleanup, (*pods, outside))
    for end in (*pods, outside):
        configure(end)
    return ()


def _vlan(cleanup: ExitStack, pods: Sequence[End], outside: End) -> Sequence[str]:
    """A device of one tag can be made once on an interface: each pod has a node of its own, all on one switch."""
    trunks = [End(cleanup.enter_context(private_namespace()), "trunk") for _ in (*pods, outside)]
    _plug(cleanup, trunks)
    for trunk, end in zip(trunks, (*pods, outside), strict=True):
        tagged = f"link add link trunk name {end.name} netns {end.sandbox.path} type vlan id {VLAN_ID}"
        ip(trunk.sandbox, "link set trunk up", tagged)
        configure(end)
    return ()


def _bond(cleanup: ExitStack, pods: Sequence[End], outside: End) -> Sequence[str]:
    """Two cables of the pod to the same switch, of which one is in use."""
    cables = [End(pod.sandbox, f"{pod.name}-{side}") for pod in pods for side in "ab"]
    _plug(cleanup, (*cables, outside))
    for pod in pods:
        ip(
            pod.sandbox,
            f"link add {pod.name} type bond mode active-backup miimon 100",
            *(f"link set {pod.name}-{side} master {pod.name}" for side in "ab"),
        )
    for end in (*pods, outside):
        configure(end)
    return ()


def _vrf(cleanup: ExitStack, pods: Sequence[End], outside: End) -> Sequence[str]:
    """The kernel takes the IPv6 addresses of an interface when it is put into a VRF, so they come afterwards."""
    _plug(cleanup, (*pods, outside))
    for pod in pods:
        enslave(pod.sandbox, f"vrf-{pod.name}", pod.name)
    for end in (*pods, outside):
        configure(end)
    return ()


def enslave(sandbox: Sandbox, vrf: str, *interfaces: str) -> None:
    """Make a VRF and put interfaces into it."""
    members = (f"link set {interface} master {vrf}" for interface in interfaces)
    ip(sandbox, f"link add {vrf} type vrf table 10", f"link set {vrf} up", *members)


def _plug(cleanup: ExitStack, ends: Sequence[End]) -> None:
    """A cable from each end, which stays as it is made, to a switch."""
    switch = cleanup.enter_context(private_namespace())
    ip(
        switch,
        "link add switch up type bridge",
        *(cable(f"port{number}", end) for number, end in enumerate(ends)),
        *(f"link set port{number} master switch" for number in range(len(ends))),
    )


# --- routed -----------------------------------------------------------------------------------------------------


def _ptp(cleanup: ExitStack, pods: Sequence[End], outside: End) -> Sequence[str]:
    """A cable from each end to a node that routes between them: no end is on another's link."""
    node = cleanup.enter_context(private_namespace())
    for number, end in enumerate((*pods, outside)):
        port = f"port{number}"
        ip(
            node,
            cable(port, end),
            f"addr add {ROUTER[0]}/32 dev {port}",
            f"addr add {ROUTER[1]}/128 dev {port} nodad",
            *(f"route add {host} dev {port}" for host in hosts(end)),
        )
        configure(End(end.sandbox, end.name, tuple(f"{h}/{128 if ':' in h else 32}" for h in hosts(end))))
        routes = ((f"{router} dev {end.name}", f"{subnet} via {router} dev {end.name}") for router, subnet in _ROUTES)
        ip(end.sandbox, *(f"route add {route}" for pair in routes for route in pair))
    forward(node)
    return ()


KINDS = (
    Kind("macvlan", "macvlan", "macvlan", _child("macvlan", "bridge")),
    Kind("ipvlan-l2", "ipvlan", "ipvlan", _child("ipvlan", "l2")),
    Kind("ipvlan-l3", "ipvlan", "ipvlan", _child("ipvlan", "l3")),
    Kind("ipvlan-l3s", "ipvlan", "ipvlan", _child("ipvlan", "l3s"), sees_outside=False),
    Kind("bridge", "bridge", "veth", _bridge),
    Kind("ptp", "ptp", "veth", _ptp),
    Kind("vlan", "vlan", "vlan", _vlan),
    Kind("bond", "bond", "bond", _bond),
    Kind("vrf", "bridge", "veth", _vrf),
    Kind("tap", "tap", "tun", tap.attach),
    Kind("sriov", "sriov", "", sriov.attach_functions),
    Kind("host-device", "host-device", "", sriov.attach_cards),
)
