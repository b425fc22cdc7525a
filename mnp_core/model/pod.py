"""A pod, as far as policy concerns it."""

from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Interface

from mnp_core.classes import frozen
from mnp_core.model.address import Address
from mnp_core.model.names import ObjectName
from mnp_core.model.port import ContainerPort

RequestedAddress = Address | IPv4Interface | IPv6Interface
"""An address, with the length of its network's prefix if that was given."""


@frozen(kw_only=True)
class NetworkRequest:
    """One attachment that a pod asks for (annotation ``k8s.v1.cni.cncf.io/networks``).

    Attributes:
        network: The network attachment definition.
        interface: Name in the pod; ``net1``, ``net2`` … by position if it was not given.
        addresses: Asked for explicitly; empty leaves it to the network's IPAM.
        mac: Asked for explicitly, lower case; may be empty.
        claim: Name of the IPAMClaim with its addresses, in the pod's namespace; may be empty.
    """

    network: ObjectName
    interface: str
    addresses: tuple[RequestedAddress, ...] = ()
    mac: str = ""
    claim: str = ""


@frozen(kw_only=True)
class NetworkStatus:
    """One entry of the annotation ``k8s.v1.cni.cncf.io/network-status``: an attachment as the meta-plugin made it (S3).

    Entries of the default network (``default: true`` or no net-attach-def) are not kept, but for the name of
    their interface in `Pod.default_interfaces`.
    """

    network: ObjectName
    interface: str
    addresses: tuple[Address, ...] = ()
    mac: str = ""
    device_pci: str = ""  # device-info.pci.pci-address, or that of the device behind a vdpa
    device_rdma: str = ""  # device-info.pci.rdma-device


@frozen(kw_only=True)
class Pod:
    """A pod that can be a target or a peer, or one that is listed only to say that it is neither (S5).

    Attributes:
        name: Namespace and name.
        uid: ``metadata.uid``; empty in the lab.
        static_uid: Of a mirror pod: the UID that the kubelet gave to the static pod behind it, which is the one that
            the node knows (annotation ``kubernetes.io/config.mirror``). Any author of the pod can claim it.
        labels: ``metadata.labels``.
        node: ``spec.nodeName``.
        phase: ``status.phase``; empty if it was not given.
        terminating: ``metadata.deletionTimestamp`` is set: it counts until it is gone (S5), its sandbox may go first.
        host_network: ``spec.hostNetwork``.
        ports: Ports of its containers, restartable init containers included.
        statuses: Its secondary networks, in the order of the annotation.
        default_interfaces: Interfaces of the default network, which are never touched.
        default_network: The network that is its default one instead of the cluster's (annotation
            ``v1.multus-cni.io/default-network``), or None.
        requests: Attachments requested from the meta-plugin, in the order of the annotation.
        attached: Whether the meta-plugin is done with it: it has network-status, an address, or runs.
        net_admin: Whether one of its containers may change its network namespace: with the capability NET_ADMIN, or
            privileged.
    """

    name: ObjectName
    uid: str = ""
    static_uid: str = ""
    labels: Mapping[str, str]
    node: str = ""
    phase: str = ""
    terminating: bool = False
    host_network: bool = False
    ports: tuple[ContainerPort, ...] = ()
    statuses: tuple[NetworkStatus, ...] = ()
    default_interfaces: frozenset[str] = frozenset()
    default_network: ObjectName | None = None
    requests: tuple[NetworkRequest, ...] = ()
    attached: bool = False
    net_admin: bool = False

    @property
    def finished(self) -> bool:
        """Whether it is over, by its phase; its sandbox may still be there."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def counts(self) -> bool:
        """Whether it is a peer (S5)."""
        return not self.host_network and not self.finished

    @property
    def is_target(self) -> bool:
        """Whether policies may select it (S5): also when it is over, as long as its sandbox lives."""
        return not self.host_network
