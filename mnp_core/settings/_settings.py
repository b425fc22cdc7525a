"""Settings of enforcement and backends."""

from collections.abc import Callable, Collection
from enum import StrEnum

from attrs import evolve, field

from mnp_core.backend import BackendSettings
from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import (
    AddressSource,
    CommonRules,
    CustomRules,
    DenyAction,
    Direction,
    EarlyDrop,
    EstablishedFlows,
    Family,
    LinkPath,
)
from mnp_core.model.budget import Budgets
from mnp_core.model.parsing import is_cni_type
from mnp_core.settings._denied import DeniedSettings, parse_denied_settings
from mnp_core.settings._gates import GateSettings, UnclaimedInterfaces, parse_gate_settings
from mnp_core.settings._node import NodeSettings, parse_node_settings
from mnp_core.settings._values import Values

_MOST_CONNECTIONS = 1 << 20
_LIMITS = {
    "policy": ("rules", "selectors", "blocks", "ports", "members", "bytes"),
    "namespace": ("rules", "selectors", "blocks", "ports", "members"),
    "pod": ("rules", "selectors", "blocks", "ports"),
}


class _OtherPath(StrEnum):
    """The paths on which the setting ``backend`` and its like do not decide alone."""

    BRIDGED = LinkPath.BRIDGED.value
    REDIRECTED = LinkPath.REDIRECTED.value


Read = Callable[[str], str]
"""Gives the text of a file that a setting names, or raises InputError."""


@frozen(kw_only=True)
class Settings:
    """Everything that holds for a whole node.

    Attributes:
        common: Rules of every isolated direction.
        backends: Which backend enforces.
        network_plugins: CNI types that are enforced; None for all that loaded plugins claim.
        own_addresses: Who is believed about the addresses of a pod's own interfaces.
        peer_addresses: Who is believed about the addresses of this node's pods where they are peers.
        guest_addresses: Names of the sources of addresses where network-status has none, the most believed first.
        budgets: How big policies may be.
        node: Settings of the node agent alone.
        gates: How pod starts are held until rules are in force.
        denied: The log of denied packets; `common` has its part in the rules.
        unclaimed_interfaces: The treatment of interfaces that nothing claims.
        disabled_plugins: Plugins that are not loaded, by name of the plugin or of its distribution.
    """

    common: CommonRules = field(factory=CommonRules)
    backends: BackendSettings = field(factory=BackendSettings)
    network_plugins: frozenset[str] | None = None
    own_addresses: AddressSource = AddressSource.KERNEL
    peer_addresses: AddressSource = AddressSource.NETWORK_STATUS
    guest_addresses: tuple[str, ...] = ()
    budgets: Budgets = field(factory=Budgets)
    node: NodeSettings = field(factory=NodeSettings)
    gates: GateSettings = field(factory=GateSettings)
    denied: DeniedSettings = field(factory=DeniedSettings)
    unclaimed_interfaces: UnclaimedInterfaces = UnclaimedInterfaces.REPORT
    disabled_plugins: tuple[str, ...] = ()

    def enforced_types(self, claimed: Collection[str]) -> frozenset[str]:
        """Choose the CNI types to enforce policy on.

        A type that no plugin claims is enforced as an ordinary device: by the name of its interface.

        Args:
            claimed: Those that loaded plugins claim.

        Raises:
            InputError: The setting names something that cannot be a type.
        """
        if self.network_plugins is None:
            return frozenset(claimed)
        for name in sorted(self.network_plugins):
            if not is_cni_type(name):
                problem = (
                    f"{name[:80]!r} is not the name of a CNI plugin: write the type as network definitions have it"
                )
                raise InputError(problem, field="network-plugins")
        return self.network_plugins


def parse_settings(raw: object, *, where: str, read: Read) -> Settings:
    """Understand settings.

    Args:
        raw: The decoded file; None if it is empty.
        where: Its name, for messages.
        read: Gives the text of custom rule files.

    Raises:
        InputError: A setting is unknown or has an impossible value; it names the nearest, or the possible ones.
    """
    values = Values(raw, where)
    plugins = values.child("plugins")
    denied = parse_denied_settings(values)
    settings = Settings(
        common=evolve(_common_rules(values, read), denied_log=denied.in_rules),
        backends=BackendSettings(
            node=values.text("backend"),
            kinds=values.texts_by_name("backend-by-kind"),
            networks={
                values.object_name("backend-by-network", name): backend
                for name, backend in values.texts_by_name("backend-by-network").items()
            },
            paths={_path(values, path): backend for path, backend in values.texts_by_name("backend-by-path").items()},
        ),
        network_plugins=frozenset(values.texts("network-plugins")) if values.has("network-plugins") else None,
        own_addresses=values.choice("own-addresses", AddressSource, AddressSource.KERNEL),
        peer_addresses=values.choice("peer-addresses", AddressSource, AddressSource.NETWORK_STATUS),
        guest_addresses=_guest_addresses(values),
        budgets=_budgets(values),
        node=parse_node_settings(values),
        gates=parse_gate_settings(values),
        denied=denied,
        unclaimed_interfaces=values.choice("unclaimed-interfaces", UnclaimedInterfaces, UnclaimedInterfaces.REPORT),
        disabled_plugins=plugins.texts("disabled"),
    )
    plugins.reject_unknown()
    values.reject_unknown()
    return settings


def _path(values: Values, text: str) -> LinkPath:
    return LinkPath(values.one_of("backend-by-path", _OtherPath, text).value)


def _guest_addresses(values: Values) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(values.texts("guest-addresses")))
    return () if names == ("none",) else names


def _budgets(values: Values) -> Budgets:
    usual = Budgets()
    return Budgets(
        policy=evolve(usual.policy, **values.numbers_by_name("budget-per-policy", _LIMITS["policy"])),
        namespace=evolve(usual.namespace, **values.numbers_by_name("budget-per-namespace", _LIMITS["namespace"])),
        pod=evolve(usual.pod, **values.numbers_by_name("budget-per-pod", _LIMITS["pod"])),
    )


def _common_rules(values: Values, read: Read) -> CommonRules:
    return CommonRules(
        accept_icmp=values.boolean("accept-icmp"),
        accept_icmpv6=values.boolean("accept-icmpv6"),
        accept_multicast_management=values.boolean("accept-multicast-management"),
        allow_src_prefixes=values.cidrs("allow-src-prefix"),
        allow_dst_prefixes=values.cidrs("allow-dst-prefix"),
        custom=tuple(_custom_rules(values, read)),
        deny_action=values.choice("deny-action", DenyAction, DenyAction.DROP),
        established_flows=values.choice("established-flows", EstablishedFlows, EstablishedFlows.KEEP),
        early_drop=_early_drop(values),
        connection_table_size=values.whole_number(
            "connection-table-size", CommonRules().connection_table_size, _MOST_CONNECTIONS
        ),
    )


def _early_drop(values: Values) -> EarlyDrop:
    off_in_yaml = values.is_false("early-drop")
    return EarlyDrop.OFF if off_in_yaml else values.choice("early-drop", EarlyDrop, EarlyDrop.OFF)


def _custom_rules(values: Values, read: Read) -> list[CustomRules]:
    """Rules in the backend's own language, in files named as the flags of the engines in use today are."""
    families: tuple[Family, ...] = (4, 6)
    found = []
    for family in families:
        for direction in Direction:
            setting = f"custom-v{family}-{direction.value.lower()}-rule-file"
            name = values.text(setting)
            if name:
                lines = tuple(line.strip() for line in read(name).splitlines())
                source = f"{setting}: {name}"
                found.append(CustomRules(direction=direction, family=family, lines=lines, source=source))
    return found
