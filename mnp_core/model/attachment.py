"""A pod's interface on a network."""

from enum import StrEnum

from attrs import frozen

from mnp_core.model.address import Address
from mnp_core.model.names import ObjectName

UNKNOWN_KIND = ""
"""The kind of an attachment whose network attachment definition is not there (any more)."""


class Trait(StrEnum):
    """Properties of an attachment that matter to a backend, independent of its kind."""

    KERNEL_DEVICE = "kernel-device"  # an interface of the kernel, inside the sandbox
    HOST_PORT = "host-port"  # a port on the host side that can be enforced (veth peer, representor)
    USERSPACE_DATAPATH = "userspace-datapath"  # DPDK and the like: packets pass the kernel by
    NO_OWN_MAC = "no-own-mac"  # shares the MAC of its parent (ipvlan)


class AddressSource(StrEnum):
    """Who is believed about the addresses of an attachment (settings ``own-addresses`` and ``peer-addresses``)."""

    KERNEL = "kernel"  # read from the interface; on the pod's own node only
    NETWORK_STATUS = "network-status"  # as reported by the meta-plugin


@frozen(kw_only=True)
class Attachment:
    """One interface of one pod on one network.

    Attributes:
        pod: The pod.
        network: The network attachment definition.
        interface: Name in the pod's network namespace, safe to be put into rules (checked when parsed).
        addresses: Its addresses, both families.
        kind: A CNI type that a plugin claims, or UNKNOWN_KIND.
        mac: Lower case, colon separated; may be empty.
        traits: See Trait.
        device: PCI address of the device behind it; may be empty.
        rdma: Name of the RDMA device that the pod was given with it, whose packets pass the kernel by; may be empty.
        lost: Requested by the annotation networks, but missing from network-status (S64).
        host_port: Interface on the node's side of it, if that is known (a switchdev representor), with the trait
            HOST_PORT; may be empty.
    """

    pod: ObjectName
    network: ObjectName
    interface: str
    addresses: tuple[Address, ...] = ()
    kind: str = UNKNOWN_KIND
    mac: str = ""
    traits: frozenset[Trait] = frozenset()
    device: str = ""
    rdma: str = ""
    host_port: str = ""
    lost: bool = False
