"""Wires, pods and links: the values that describe a lab."""

from collections.abc import Mapping

from attrs import field, frozen

from mnp_core.errors import InputError
from mnp_core.model import ContainerPort, ObjectName, ObjectRef, Reason, Report
from mnp_core.offline.definition import LinkKind
from mnp_core.offline.ipam import Route
from mnp_core.offline.strict_field import AddressInterface
from mnp_core.sources.manifests import Document


@frozen(order=True)
class LeaseKey:
    """The owner of an address: an attachment of a pod."""

    pod: ObjectName
    interface: str
    network: ObjectName


Leases = Mapping[LeaseKey, tuple[AddressInterface, ...]]
"""Addresses that attachments have had so far, so that they keep them when others come and go."""


@frozen(kw_only=True)
class Switch:
    """One layer 2: all attachments on it reach each other.

    Attributes:
        wire: Its name: its only network, or the name by `mnp_core.offline.wires` for several that share it.
        kinds: Of the attached interfaces.
    """

    wire: str
    kinds: frozenset[LinkKind]


@frozen(kw_only=True)
class PodLink:
    """One planned interface of a pod.

    Attributes:
        network: The NetworkAttachmentDefinition.
        wire: The switch that it is attached to.
        kind: The kind of interface that the lab makes.
        interface: Its name in the pod.
        mac: Its MAC address, of Ethernet.
        addresses: With the lengths of their prefixes.
        routes: By way of it.
        node_kind: The kind of interface that a node would have (IFLA_INFO_KIND; empty for hardware).
        node_mode: Its mode, for kinds that have one (`Link.mode`).
    """

    network: ObjectName
    wire: str
    kind: LinkKind
    interface: str
    mac: str
    node_kind: str = "veth"
    node_mode: str = ""

    @property
    def stand_in(self) -> bool:
        """Whether a node would have an interface of another kind or mode."""
        return (self.node_kind, self.node_mode) not in {(self.kind.value, ""), (LinkKind.IPVLAN.value, "l2")}

    addresses: tuple[AddressInterface, ...] = ()
    routes: tuple[Route, ...] = ()


@frozen(kw_only=True)
class PodPlan:
    """One pod, as it is to be made."""

    name: ObjectName
    links: tuple[PodLink, ...] = ()
    ports: tuple[ContainerPort, ...] = field(default=(), eq=False)  # for probes; no reason to make the pod anew


@frozen(kw_only=True)
class LabPlan:
    """A whole lab.

    Attributes:
        switches: Those with attachments, by their wire.
        pods: Those that have a network namespace of their own: not on the host's network, not finished.
        left_out: Pods that cannot be built, with the reason; the others are not concerned (S6).
        objects: The manifests as stored by API server and meta-plugin.
        leases: The addresses, by attachment.
        notices: Deviations of the lab from a cluster.
    """

    switches: Mapping[str, Switch]
    pods: Mapping[ObjectName, PodPlan]
    objects: Mapping[ObjectRef, Document]
    leases: Leases
    notices: tuple[str, ...]
    left_out: Mapping[ObjectName, InputError] = field(factory=dict)

    @property
    def documents(self) -> tuple[Document, ...]:
        """The objects, as a source would deliver them."""
        return tuple(self.objects.values())

    @property
    def complaints(self) -> tuple[str, ...]:
        """Those of the notices that are about pods which cannot be built."""
        return tuple(f"pod {pod} is left out: {error}" for pod, error in sorted(self.left_out.items()))

    @property
    def wires(self) -> dict[ObjectName, str]:
        """By network, the wire that its attachments are plugged into."""
        return {link.network: link.wire for pod in self.pods.values() for link in pod.links}

    @property
    def reports(self) -> tuple[Report, ...]:
        """The errors that keep pods from being built."""
        return tuple(_left_out(pod, error) for pod, error in sorted(self.left_out.items()))


def _left_out(pod: ObjectName, error: InputError) -> Report:
    return Report(
        about=ObjectRef("Pod", pod),
        field=error.field,
        reason=Reason.MALFORMED,
        message=f"the lab leaves it out, {error.message.rstrip('.')} ({error.where})",
        remedy="Correct it: until then it has no interfaces here, the other pods are not concerned",
    )
