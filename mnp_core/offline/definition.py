"""The link that a NetworkAttachmentDefinition requests from a CNI plugin, and the lab's substitute."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum

from mnp_core.classes import frozen
from mnp_core.model import Address, ObjectName, parse_address
from mnp_core.offline.admission import ref_of, root
from mnp_core.offline.ipam import IPAM_TYPES, Ipam, parse_ipam
from mnp_core.offline.strict_field import StrictField
from mnp_core.offline.wires import WIRE_ANNOTATION, wire_of
from mnp_core.sources.manifests import Document

_CHAINED = frozenset({"bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf"})
"""Plugins that change an interface which another one of the list made."""


_RESOURCE_ANNOTATION = "k8s.v1.cni.cncf.io/resourceName"


class LinkKind(StrEnum):
    """The kinds of interface that the lab makes, by the kernel's names for them (IFLA_INFO_KIND)."""

    MACVLAN = "macvlan"
    IPVLAN = "ipvlan"
    VETH = "veth"


_LINK_KINDS = {
    "macvlan": LinkKind.MACVLAN,
    "ipvlan": LinkKind.IPVLAN,
    "bridge": LinkKind.VETH,
    "ptp": LinkKind.VETH,
}
"""CNI types whose interfaces the lab makes as they are."""


_NODE_KINDS = {
    "accelerated-bridge": "",
    "bond": "bond",
    "dummy": "dummy",
    "host-device": "",
    "ib-sriov": "ipoib",
    "ipvtap": "ipvtap",
    "macvtap": "macvtap",
    "sriov": "",
    "tap": "tun",
    "vlan": "vlan",
}
"""Kinds of interface that CNI plugins make and the lab does not, by CNI type; others make veth."""


@frozen(kw_only=True)
class Definition:
    """A network as it is configured.

    Attributes:
        name: Of the NetworkAttachmentDefinition.
        cni_type: The plugin that makes the interface; empty if the definition does not say.
        link_kind: The link in the lab.
        node_kind: The kind of interface that the plugin makes on a node (IFLA_INFO_KIND; empty for hardware).
        node_mode: Its mode, for kinds that have one (`Link.mode`).
        wire: The segment of its attachments (`wire_of`); empty if only the definition identifies it.
        ipam: How its attachments get addresses.
        nameservers: Name servers that its attachments are told (CNI: ``dns``), as far as they are addresses.
        notices: Differences between the lab and the plugin.
    """

    name: ObjectName
    cni_type: str
    link_kind: LinkKind
    node_kind: str
    node_mode: str
    wire: str
    ipam: Ipam
    nameservers: tuple[Address, ...]
    notices: tuple[str, ...]


def parse_definition(document: Document) -> Definition:
    """Read a NetworkAttachmentDefinition.

    Raises:
        InputError: The configuration in it cannot be understood.
    """
    name = ref_of(document).name
    plugin = _main_plugin(root(document).child("spec").child("config"))
    cni_type = plugin.child("type").text()
    return Definition(
        name=name,
        cni_type=cni_type,
        link_kind=_LINK_KINDS.get(cni_type, LinkKind.VETH),
        node_kind=_NODE_KINDS.get(cni_type, _LINK_KINDS.get(cni_type, LinkKind.VETH).value),
        node_mode=(plugin.child("mode").text() or "l2") if cni_type == "ipvlan" else "",
        wire=_wire(document, plugin, cni_type),
        ipam=parse_ipam(plugin.child("ipam")),
        nameservers=(*_nameservers(plugin), *_nameservers(plugin.child("ipam"))),
        notices=tuple(f"network {name}: {notice}" for notice in _notices(cni_type, plugin)),
    )


def _wire(document: Document, plugin: StrictField, cni_type: str) -> str:
    annotations = root(document).child("metadata").child("annotations")
    chosen = annotations.child(WIRE_ANNOTATION).text()
    return chosen or wire_of(plugin, cni_type, annotations.child(_RESOURCE_ANNOTATION).text())


def _nameservers(section: StrictField) -> Iterator[Address]:
    """Malformed ones are no concern of a network's interfaces."""
    dns = section.mapping().get("dns")
    servers = dns.get("nameservers") if isinstance(dns, Mapping) else None
    for server in servers if isinstance(servers, list) else ():
        with suppress(ValueError):
            yield parse_address(server)


def _main_plugin(config: StrictField) -> StrictField:
    """The configuration that makes the interface: the only one, or that of a list which is not merely chained."""
    if not config.text():
        return StrictField(value=None, where=config.where, path=config.path)  # it lies in a file on the nodes
    decoded = config.json()
    if "plugins" not in decoded.mapping():
        return decoded
    plugins = tuple(decoded.child("plugins").elements())
    if not plugins:
        raise decoded.child("plugins").wrong("is empty: a list of network configurations needs at least one")
    return next((plugin for plugin in plugins if plugin.child("type").text() not in _CHAINED), plugins[0])


def _notices(cni_type: str, plugin: StrictField) -> Sequence[str]:
    lessor = plugin.child("ipam").child("type").text()
    leased = _unleased(lessor) if lessor and lessor not in IPAM_TYPES else ()
    if not cni_type:
        return ("it holds no configuration, so the lab makes veth interfaces without addresses of their own",)
    if cni_type not in _LINK_KINDS:
        return (f"the lab cannot make interfaces of type {cni_type!r}, veth interfaces stand in for them", *leased)
    mode = plugin.child("mode").text() or "bridge"
    if cni_type == "ipvlan" and mode.startswith("l3"):
        return (f"ipvlan mode {mode!r} is made as mode 'l2'", *leased)
    if cni_type == "macvlan" and mode != "bridge":
        return (
            f"macvlan mode {mode!r} is made as mode 'bridge': there is no switch outside that could reflect packets",
            *leased,
        )
    return leased


def _unleased(lessor: str) -> Sequence[str]:
    given = "attachments have those alone that ips in the networks annotation, or network-status, gives them"
    return (f"the lab cannot lease addresses from ipam type {lessor!r}: {given}",)
