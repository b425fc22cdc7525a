"""A pod's interface on a network."""

from enum import StrEnum

from mnp_core.classes import frozen
from mnp_core.model.address import Address
from mnp_core.model.names import ObjectName

UNKNOWN_KIND = ""
"""The kind of an attachment whose network attachment definition is not there (any more)."""


class AddressSource(StrEnum):
    """Who is believed about the addresses of an attachment (settings ``own-addresses`` and ``peer-addresses``)."""

    KERNEL = "kernel"  # read from the interface; on the pod's own node only
    NETWORK_STATUS = "network-status"  # as reported by the meta-plugin


class LinkPath(StrEnum):
    """How the packets of an attachment travel through the pod's network namespace, as discovery found it."""

    IP = "ip"  # through its IP layer, by the interface that network-status names
    BRIDGED = "bridged"  # by a port of a bridge, as frames: KubeVirt's bridge binding
    REDIRECTED = "redirected"  # past every hook of netfilter: tc, or a character device


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
        device: PCI address of the device behind it; may be empty.
        rdma: Name of the RDMA device that the pod was given with it, whose packets pass the kernel by; may be empty.
        lost: Requested by the annotation networks, but missing from network-status (S64).
        path: How its packets travel; for one that was never inspected, the way of ordinary interfaces.
        recorded: Its addresses are those of an `AddressRecord`, as network-status has none.
        carrier: Name of the link by which they enter and leave the pod, if it is not `interface`; else empty.
    """

    pod: ObjectName
    network: ObjectName
    interface: str
    addresses: tuple[Address, ...] = ()
    kind: str = UNKNOWN_KIND
    mac: str = ""
    device: str = ""
    rdma: str = ""
    lost: bool = False
    recorded: bool = False
    path: LinkPath = LinkPath.IP
    carrier: str = ""
