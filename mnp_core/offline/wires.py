"""Which networks are one layer 2: definitions often differ only in name or namespace, and share a wire.

In a cluster two definitions of one CNI type, master and VLAN lead to the same wire. So they do in the lab, unless
pods ask for the same address on two of them, which no wire could bear.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mnp_core.model import Address, ObjectName
from mnp_core.offline.strict_field import StrictField

WIRE_ANNOTATION = "mnp.lab/wire"
"""On a NetworkAttachmentDefinition: networks with the same value are one wire under any configuration."""

_ROUTE = "the interface of the default route"
_DEFAULTS = {"macvlan": _ROUTE, "ipvlan": _ROUTE, "macvtap": _ROUTE, "ipvtap": _ROUTE, "bridge": "bridge cni0"}
"""CNI types with an optional master, and its default."""

_OVERLAYS = frozenset({"ovn-k8s-cni-overlay"})
"""CNI types whose networks are one by the name in the configuration."""

_APART = frozenset({"ptp", "host-device", "dummy", "loopback"})
"""CNI types that join nothing."""


def wire_of(plugin: StrictField, cni_type: str, resource: str) -> str:
    """The segment of a definition's attachments, in words; empty if only the definition identifies it.

    Args:
        plugin: The configuration that makes the interface.
        cni_type: Its type.
        resource: The device plugin's resource that the definition asks for (SR-IOV), or empty.
    """
    if not cni_type or cni_type in _APART:
        return ""
    if cni_type in _OVERLAYS:
        return _named(cni_type, "network", plugin.child("name").value)
    for key in ("master", "bridge"):
        if plugin.child(key).value:
            return _named(cni_type, key, plugin.child(key).value) + _vlan(plugin)
    if resource:
        return _named(cni_type, "resource", resource) + _vlan(plugin)
    if cni_type in _DEFAULTS:
        return f"{cni_type} on {_DEFAULTS[cni_type]}" + _vlan(plugin)
    return ""


def join(
    wires: Mapping[ObjectName, str], asked: Mapping[ObjectName, Iterable[Address]]
) -> tuple[dict[ObjectName, str], tuple[str, ...]]:
    """Decide which networks share a switch.

    Args:
        wires: By network, the result of `wire_of` or the annotation.
        asked: By network, the addresses that pods ask for there.

    Returns:
        By network, the key of its switch; and notices about it.
    """
    together: dict[str, list[ObjectName]] = defaultdict(list)
    for network, wire in sorted(wires.items()):
        together[wire or str(network)].append(network)
    switches: dict[ObjectName, str] = {}
    notices: list[str] = []
    for wire, networks in together.items():
        twice = _on_several(networks, asked)
        switches |= {network: str(network) if twice else wire for network in networks}
        if len(networks) > 1:
            notices.append(_notice(wire, networks, twice))
    return switches, tuple(notices)


def _on_several(networks: Sequence[ObjectName], asked: Mapping[ObjectName, Iterable[Address]]) -> Address | None:
    """An address that is asked for on more than one of the networks, or None."""
    seen: set[Address] = set()
    for network in networks:
        here = set(asked.get(network, ()))
        if seen & here:
            return min(seen & here, key=lambda address: (address.version, int(address)))
        seen |= here
    return None


def _notice(wire: str, networks: Sequence[ObjectName], twice: Address | None) -> str:
    names = f"{', '.join(map(str, networks[:-1]))} and {networks[-1]}"
    if twice is not None:
        return f"networks {names} would be one wire ({wire}), but pods ask for {twice} on several of them: kept apart"
    return (
        f"networks {names} are one wire ({wire}), as in a cluster: to keep one apart, give its definition the "
        f"annotation {WIRE_ANNOTATION} with a name of its own"
    )


def _named(cni_type: str, key: str, value: object) -> str:
    return f"{cni_type} on {key} {str(value)[:80]}"


def _vlan(plugin: StrictField) -> str:
    found = plugin.child("vlan").value or plugin.child("vlanId").value
    return f", VLAN {str(found)[:80]}" if found else ""
