"""The discoverers' view of a lab: its pods with the links of a node.

The lab makes three kinds of interface and lets veth stand in for all others. That is no fault of the manifests, so it
causes no warning; and an attachment that a node could not enforce policy on, such as a macvtap, must not look
enforceable because a veth is.
"""

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from mnp_core.api import Discovery, InterfaceDiscoverer
from mnp_core.model import Attachment, Link, ObjectName
from mnp_lab.topology import LabPlan, PodLink, PodPlan


class NodeView:
    """The discoverers' view of a lab's pods. `pods` is set on every change of the lab."""

    def __init__(self) -> None:
        self.pods: Mapping[ObjectName, PodPlan] = {}

    def wrap(self, discoverers: Mapping[str, InterfaceDiscoverer]) -> dict[str, InterfaceDiscoverer]:
        """The same discoverers, in front of a node's links."""
        return {cni_type: _Shown(view=self, discoverer=each) for cni_type, each in discoverers.items()}

    def link_of(self, claim: Attachment) -> PodLink | None:
        """The planned link of an attachment, or None."""
        pod = self.pods.get(claim.pod)
        return next((link for link in pod.links if link.interface == claim.interface), None) if pod else None


@frozen(kw_only=True)
class _Shown:
    """One discoverer that looks through the view."""

    view: NodeView
    discoverer: InterfaceDiscoverer

    def discover(self, claim: Attachment, links: Sequence[Link]) -> Discovery:
        planned = self.view.link_of(claim)
        if planned is None or not planned.stand_in:
            return self.discoverer.discover(claim, links)
        shown = [_as_on_a_node(link, planned, claim) if link.name == claim.interface else link for link in links]
        found = self.discoverer.discover(evolve(claim, device=""), shown)  # the device is not on this machine
        return evolve(found, attachment=evolve(found.attachment, device=claim.device))


def unenforceable(
    plan: LabPlan, claims: Sequence[Attachment], discoverers: Mapping[str, InterfaceDiscoverer]
) -> dict[tuple[ObjectName, str], str]:
    """Which attachments a node could not enforce policy on, by pod and interface, and why. No namespace is looked at.

    Args:
        plan: The lab.
        claims: Attachments of its pods.
        discoverers: By CNI type.
    """
    view = NodeView()
    view.pods = plan.pods
    wrapped = view.wrap(discoverers)
    reasons = {}
    for claim in claims:
        if claim.kind in wrapped and claim.pod in plan.pods:
            links = [_planned(link, number) for number, link in enumerate(plan.pods[claim.pod].links, start=2)]
            reasons[claim.pod, claim.interface] = wrapped[claim.kind].discover(claim, links).unenforceable
    return {end: reason for end, reason in reasons.items() if reason}


def _as_on_a_node(link: Link, planned: PodLink, claim: Attachment) -> Link:
    mac = link.mac if len(claim.mac) == len(link.mac) else claim.mac or link.mac  # the lab makes Ethernet alone
    return evolve(link, kind=planned.node_kind, mode=planned.node_mode, mac=mac)


def _planned(link: PodLink, index: int) -> Link:
    return Link(
        name=link.interface,
        index=index,
        kind=link.node_kind,
        mode=link.node_mode,
        mac=link.mac,
        addresses=tuple(address.ip for address in link.addresses),
    )
