"""Compares an attachment, as network-status claims it, with the interfaces in the pod's network namespace.

Common to discoverers of every kind; plugins may use it, and add the checks of their kind. An
interface of the kernel is enforced by its name, of any device type: packets enter and leave the pod's
kernel by it. Interfaces whose packets bypass it are detected here, because any kind may meet them.

Claims are what a user can write and links are what a process in the pod can make, so both are taken as hostile: texts
about them are cut short.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from attrs import evolve

from mnp_core import bindings
from mnp_core.api import Discovery
from mnp_core.model import Address, Attachment, Link, LinkPath

_CHARACTER_DEVICES = frozenset({"macvtap", "ipvtap"})
"""Kinds that hand every packet to the process that has opened their character device (drivers/net/tap.c)."""

_VRF = "vrf"
"""The only kind of master whose members keep receiving under their own name (S47)."""

_SHOWN = 4  # of a list in a text
_LENGTH = 32  # of a name in a text: more than IFNAMSIZ, and than a MAC address


def find_link(claim: Attachment, links: Iterable[Link]) -> Link | None:
    """The interface by the claimed name, or None."""
    return next((link for link in links if link.name == claim.interface), None)


def compare(
    claim: Attachment, links: Sequence[Link], *, kinds: Collection[str] | None = None, own_mac: bool = True
) -> Discovery:
    """Find the interface by the claimed name and say in what it differs.

    Args:
        claim: The entry of network-status.
        links: Every interface in the pod's network namespace.
        kinds: Kinds of link (IFLA_INFO_KIND, empty for hardware) that the CNI plugin may make; None for any.
        own_mac: Whether interfaces of this kind have a MAC address of their own.

    Returns:
        The attachment with the kernel's addresses and MAC if rules in the pod enforce policy on it; otherwise the
        unchanged claim, but for path and carrier, and the reason, in `unenforceable`.
    """
    link = find_link(claim, links)
    if found := bindings.bridged_by(claim, links):
        return _bridged(claim, *found)
    if link is not None and not link.hidden and (link.diverted or link.kind in _CHARACTER_DEVICES):
        redirected = evolve(claim, path=LinkPath.REDIRECTED, carrier=link.name)
        return Discovery(attachment=redirected, unenforceable=_bypass(link, links))
    if link is None:
        return Discovery(attachment=claim, unenforceable=_absence(claim, links, own_mac=own_mac))
    if bypass := _bypass(link, links) or _double(claim, link, links, own_mac=own_mac):
        return Discovery(attachment=claim, unenforceable=bypass)
    addresses = tuple(address for address in link.addresses if not address.is_link_local)
    attachment = evolve(
        claim,
        addresses=addresses or claim.addresses if claim.recorded else addresses,
        recorded=claim.recorded and not addresses,
        mac=link.mac,
        device=link.device or claim.device,
    )
    wiring = bindings.masquerade(claim, links)
    return Discovery(
        attachment=attachment,
        mismatches=tuple(_differences(claim, link, kinds)),
        binding=f"masquerade, through bridge {quoted(wiring.bridge.name)}" if wiring else "",
        parts=wiring.names if wiring else frozenset(),
    )


def _bridged(claim: Attachment, port: Link, wiring: bindings.Wiring) -> Discovery:
    """Of another path only if the port's packets are not taken away before the bridge has them."""
    if port.diverted:
        return Discovery(attachment=claim, unenforceable=f"{quoted(port.name)}: {port.diverted}", parts=wiring.names)
    bridge = quoted(wiring.bridge.name)
    behind = f", the guest behind {quoted(wiring.tap.name)}" if wiring.tap else ""
    reason = f"{'it' if port.name == claim.interface else quoted(port.name)} is a port of {bridge} of kind 'bridge'"
    return Discovery(
        attachment=bindings.bridged(claim, port),
        unenforceable=f"{reason}, its packets are frames there, past the pod's IP layer; enforce policy in the guest",
        binding=f"bridge, by {quoted(port.name)} in {bridge}{behind}",
        parts=wiring.names,
    )


def quoted(text: str) -> str:
    """A name that may hold anything, short and printable."""
    return ascii(text[:_LENGTH])


def _absence(claim: Attachment, links: Sequence[Link], *, own_mac: bool) -> str:
    for link in links:
        if mark := _mark_of(claim, link, own_mac=own_mac):
            return (
                f"there is none by that name in the pod's network namespace, but {quoted(link.name)} has {mark}:"
                " it was renamed and is not enforced; rename it back, or delete the pod and deny it CAP_NET_ADMIN"
            )
    present = _listed(quoted(link.name) for link in links) or "nothing"
    return (
        f"there is none by that name in the pod's network namespace, which has {present};"
        " its rules are in place and hold as soon as it appears"
    )


def _mark_of(claim: Attachment, link: Link, *, own_mac: bool) -> str:
    """The property that identifies an interface of another name as the claimed one; empty if none does."""
    if claim.device and link.device == claim.device:
        return "its device"
    if not claim.mac or link.mac != claim.mac.lower():
        return ""
    if own_mac:
        return "its MAC address"
    return "its MAC and IP addresses" if claim.addresses and {*claim.addresses} <= {*link.addresses} else ""


def _bypass(link: Link, links: Iterable[Link]) -> str:
    """Why the packets of an interface do not meet rules that name it; empty if they do."""
    if link.diverted:
        return f"{link.diverted}; enforce policy where they go, or take that away"
    if link.kind in _CHARACTER_DEVICES:
        return (
            f"it is a {link.kind}: the process that has opened its character device exchanges packets with the network"
            " past the pod's kernel; enforce policy in the program behind it"
        )
    master = next((other for other in links if other.index == link.master), None)
    if link.master is None or (master is not None and master.kind == _VRF):
        return ""
    name = f"{quoted(master.name)} of kind {quoted(master.kind)}" if master else "an interface that has just gone"
    return (
        f"it is a port of {name}, and its packets are received and sent as that interface's;"
        " enforce policy on the network of that interface, or take it out of there"
    )


def _double(claim: Attachment, link: Link, links: Iterable[Link], *, own_mac: bool) -> str:
    """Another interface that has the claimed MAC address, and so may be the real one; empty if there is none.

    Interfaces that belong together share one: a bond or bridge with its ports, an interface with those on top of it.
    """
    mac = claim.mac.lower() or link.mac
    if not own_mac or not mac.strip("0:"):
        return ""
    for other in links:
        if other.mac == mac and not other.loopback and not _related(link, other):
            return (
                f"{quoted(other.name)} has its MAC address, too: packets may go through it"
                " (virtual machines are bound to a network so), and no rule is about it; enforce policy in the guest"
            )
    return ""


def _related(link: Link, other: Link) -> bool:
    """Whether one is on top of the other, or they are one; an index counts in the pod's own namespace alone."""
    below = {one.parent for one in (link, other) if one.parent_inside} | {link.master, other.master}
    return link.index == other.index or not below.isdisjoint({link.index, other.index})


def _differences(claim: Attachment, link: Link, kinds: Collection[str] | None) -> Iterator[str]:
    if kinds is not None and link.kind not in kinds:
        found = f"a link of kind {quoted(link.kind)}" if link.kind else "a device of hardware"
        yield f"its network is of CNI type {quoted(claim.kind)}, but the kernel has {found}; policy is enforced on it"
    if claim.mac and link.mac != claim.mac.lower():
        yield f"network-status gives it the MAC address {quoted(claim.mac)}, the kernel has {quoted(link.mac)}"
    # Recorded addresses are a guest's, which the kernel need not have.
    if not claim.recorded and (missing := set(claim.addresses) - set(link.addresses)):
        yield (
            f"network-status gives it {_addresses(missing)}, the kernel has {_addresses(link.addresses) or 'none'};"
            " a policy that selects this pod as a peer uses the addresses of network-status"
        )
    if further := {address for address in link.addresses if not address.is_link_local} - set(claim.addresses):
        yield (
            f"the kernel has {_addresses(further)} on it, which network-status does not list:"
            " a policy that selects this pod as a peer does not mean that address"
        )


def _addresses(addresses: Iterable[Address]) -> str:
    return _listed(str(address) for address in sorted(addresses, key=lambda address: (address.version, int(address))))


def _listed(texts: Iterable[str]) -> str:
    found = list(texts)
    shown = ", ".join(found[:_SHOWN])
    return f"{shown} and {len(found) - _SHOWN} more" if len(found) > _SHOWN else shown
