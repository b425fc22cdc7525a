"""Compares a macvlan attachment, as network-status claims it, with the links in the pod's network namespace.

The CNI plugin makes a link of kind macvlan on an interface of the node and moves it into the pod
(containernetworking/plugins, main/macvlan). There it is a device like any other: packets enter and leave the pod's
kernel by it, so rules in the pod's namespace police it by name, and whatever else it may turn out to be, a device by
that name is policed.

Claims are what a user can write and links are what a process in the pod can make, so both are taken as hostile: texts
about them are short whatever they hold.
"""

from collections.abc import Iterable, Iterator, Sequence

from attrs import evolve

from mnp_core.api import Discovery
from mnp_core.model import Address, Attachment, Link, Trait

KIND = "macvlan"
"""IFLA_INFO_KIND, and the CNI type."""

_SHOWN = 4  # of a list in a text
_LENGTH = 32  # of a name in a text: more than IFNAMSIZ, and than a MAC address


class MacvlanDiscoverer:
    """An `mnp_core.api.InterfaceDiscoverer` for the CNI type ``macvlan``."""

    def discover(self, claim: Attachment, links: Sequence[Link]) -> Discovery:
        """Find the link by the claimed name and say in what it differs; see the Protocol."""
        link = next((link for link in links if link.name == claim.interface), None)
        if link is None:
            return Discovery(attachment=claim, unenforceable=_absence(claim, links))
        attachment = evolve(
            claim,
            addresses=tuple(address for address in link.addresses if not address.is_link_local),
            mac=link.mac,
            traits=claim.traits | {Trait.KERNEL_DEVICE},
        )
        return Discovery(attachment=attachment, mismatches=tuple(_differences(claim, link)))


def _absence(claim: Attachment, links: Sequence[Link]) -> str:
    renamed = next((link.name for link in links if claim.mac and link.mac == claim.mac.lower()), None)
    if renamed is not None:
        return (
            f"there is none by that name in the pod's network namespace, but {_quoted(renamed)} has its MAC address:"
            " it was renamed and nothing polices it; rename it back, or delete the pod and deny it CAP_NET_ADMIN"
        )
    present = _listed(_quoted(link.name) for link in links) or "nothing"
    return (
        f"there is none by that name in the pod's network namespace, which has {present};"
        " its rules are in place and hold as soon as it appears"
    )


def _differences(claim: Attachment, link: Link) -> Iterator[str]:
    if link.kind != KIND:
        found = f"a link of kind {_quoted(link.kind)}" if link.kind else "a device of hardware"
        yield f"by its network it is a {KIND}, but the kernel has {found}; it is policed all the same"
    if claim.mac and link.mac != claim.mac.lower():
        yield f"network-status gives it the MAC address {_quoted(claim.mac)}, the kernel has {_quoted(link.mac)}"
    if missing := set(claim.addresses) - set(link.addresses):
        yield (
            f"network-status gives it {_addresses(missing)}, the kernel has {_addresses(link.addresses) or 'none'};"
            " a policy that selects this pod as a peer means what network-status says"
        )
    if further := {address for address in link.addresses if not address.is_link_local} - set(claim.addresses):
        yield (
            f"the kernel has {_addresses(further)} on it, which network-status does not list:"
            " a policy that selects this pod as a peer does not mean that address"
        )


def _addresses(addresses: Iterable[Address]) -> str:
    return _listed(str(address) for address in sorted(addresses, key=lambda address: (address.version, int(address))))


def _quoted(text: str) -> str:
    return ascii(text[:_LENGTH])


def _listed(texts: Iterable[str]) -> str:
    found = list(texts)
    shown = ", ".join(found[:_SHOWN])
    return f"{shown} and {len(found) - _SHOWN} more" if len(found) > _SHOWN else shown
