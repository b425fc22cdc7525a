"""What is to be wired to what: the values that describe a lab."""

from collections.abc import Mapping

from attrs import field, frozen

from mnp_core.lab.definition import LinkKind
from mnp_core.lab.field import AddressInterface
from mnp_core.lab.ipam import Route
from mnp_core.model import ContainerPort, ObjectName, ObjectRef
from mnp_core.sources.manifests import Document


@frozen(order=True)
class LeaseKey:
    """What an address is given to: an attachment of a pod."""

    pod: ObjectName
    interface: str
    network: ObjectName


Leases = Mapping[LeaseKey, tuple[AddressInterface, ...]]
"""Addresses that attachments have had so far, so that they keep them when others come and go."""


@frozen(kw_only=True)
class Switch:
    """The layer 2 of one network: whatever is attached to it reaches everything else on it."""

    network: ObjectName
    kind: LinkKind


@frozen(kw_only=True)
class PodLink:
    """One interface of a pod, as it is to be made."""

    network: ObjectName
    kind: LinkKind
    interface: str
    mac: str
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
        switches: One for each network that is used.
        pods: Those that have a network namespace of their own: not on the host's network, not finished.
        objects: The manifests as API server and meta-plugin would show them.
        leases: What has been given to whom.
        notices: What the lab does otherwise than a cluster would.
    """

    switches: Mapping[ObjectName, Switch]
    pods: Mapping[ObjectName, PodPlan]
    objects: Mapping[ObjectRef, Document]
    leases: Leases
    notices: tuple[str, ...]

    @property
    def documents(self) -> tuple[Document, ...]:
        """The objects, as a source would deliver them."""
        return tuple(self.objects.values())
