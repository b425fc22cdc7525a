"""The node's settings, as a file or the agent's options give them (semantics, section 7).

Parsing is pure: the text of custom rule files is asked for through a function, so that nothing here opens a file.
A setting that is not understood is an error, never left out: it may have been meant to close something.
"""

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

from attrs import field, frozen

from mnp_core.backend import BackendSettings
from mnp_core.errors import InputError
from mnp_core.model import (
    AddressSource,
    Cidr,
    CommonRules,
    CustomRules,
    DenyAction,
    Direction,
    EstablishedFlows,
    Family,
    ObjectName,
    parse_cidr,
)

Read = Callable[[str], str]
"""Gives the text of a file that a setting names, or raises InputError."""

_Choice = TypeVar("_Choice", bound=StrEnum)


@frozen(kw_only=True)
class Settings:
    """Everything that holds for a whole node.

    Attributes:
        common: What holds in every isolated direction.
        backends: Which backend enforces.
        network_plugins: CNI types that are policed; None for all that loaded plugins claim.
        own_addresses: Who is believed about the addresses of a pod's own interfaces.
        peer_addresses: Who is believed about the addresses of this node's pods where they are peers.
    """

    common: CommonRules = field(factory=CommonRules)
    backends: BackendSettings = field(factory=BackendSettings)
    network_plugins: frozenset[str] | None = None
    own_addresses: AddressSource = AddressSource.KERNEL
    peer_addresses: AddressSource = AddressSource.NETWORK_STATUS

    def police(self, claimed: Collection[str]) -> frozenset[str]:
        """Choose the CNI types to police.

        Args:
            claimed: Those that loaded plugins claim.

        Raises:
            InputError: The setting names one that nobody claims: its interfaces would be open without a word (S64).
        """
        if self.network_plugins is None:
            return frozenset(claimed)
        if unclaimed := self.network_plugins - frozenset(claimed):
            raise InputError(
                f"no loaded plugin claims {', '.join(sorted(unclaimed))}: install the plugin, or take it out; "
                f"claimed are {', '.join(sorted(claimed)) or 'none'}",
                field="network-plugins",
            )
        return self.network_plugins


def parse_settings(raw: object, *, where: str, read: Read) -> Settings:
    """Understand settings.

    Args:
        raw: The decoded file; None if it is empty.
        where: Its name, for messages.
        read: Gives the text of custom rule files.

    Raises:
        InputError: A setting is unknown or has an impossible value; it names the nearest, or what is possible.
    """
    values = _Values(raw, where)
    settings = Settings(
        common=_common_rules(values, read),
        backends=BackendSettings(
            node=values.text("backend"),
            kinds=values.texts_by_name("backend-by-kind"),
            networks={
                values.object_name("backend-by-network", name): backend
                for name, backend in values.texts_by_name("backend-by-network").items()
            },
        ),
        network_plugins=frozenset(values.texts("network-plugins")) if values.has("network-plugins") else None,
        own_addresses=values.choice("own-addresses", AddressSource, AddressSource.KERNEL),
        peer_addresses=values.choice("peer-addresses", AddressSource, AddressSource.NETWORK_STATUS),
    )
    values.reject_unknown()
    return settings


def _common_rules(values: "_Values", read: Read) -> CommonRules:
    return CommonRules(
        accept_icmp=values.boolean("accept-icmp"),
        accept_icmpv6=values.boolean("accept-icmpv6"),
        accept_multicast_management=values.boolean("accept-multicast-management"),
        allow_src_prefixes=values.cidrs("allow-src-prefix"),
        allow_dst_prefixes=values.cidrs("allow-dst-prefix"),
        custom=tuple(_custom_rules(values, read)),
        deny_action=values.choice("deny-action", DenyAction, DenyAction.DROP),
        established_flows=values.choice("established-flows", EstablishedFlows, EstablishedFlows.KEEP),
    )


def _custom_rules(values: "_Values", read: Read) -> list[CustomRules]:
    """Rules in the backend's own language, in files named as the flags of the engines in use today are."""
    families: tuple[Family, ...] = (4, 6)
    found = []
    for family in families:
        for direction in Direction:
            name = values.text(f"custom-v{family}-{direction.value.lower()}-rule-file")
            if name:
                found.append(CustomRules(direction=direction, family=family, lines=_rule_lines(read(name))))
    return found


def _rule_lines(text: str) -> tuple[str, ...]:
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


class _Values:
    """The settings by name; it remembers which names were asked for, all others are unknown."""

    def __init__(self, raw: object, where: str) -> None:
        self._where = where
        if not isinstance(raw, Mapping | None):
            raise InputError("must be a mapping of settings to values, such as `accept-icmp: true`", where=where)
        self._raw: Mapping[object, object] = raw or {}
        self._known: set[str] = set()

    def _get(self, name: str) -> object:
        self._known.add(name)
        return self._raw.get(name)

    def _wrong(self, name: str, message: str) -> InputError:
        return InputError(message, where=self._where, field=name)

    def reject_unknown(self) -> None:
        for name in self._raw:
            if name not in self._known:
                near = get_close_matches(str(name), self._known, n=1)
                hint = f"is {near[0]!r} meant?" if near else f"there are: {', '.join(sorted(self._known))}"
                raise self._wrong(f"{name!s:.80}", f"there is no such setting: {hint}")

    def has(self, name: str) -> bool:
        return self._get(name) is not None

    def boolean(self, name: str) -> bool:
        value = self._get(name)
        if not isinstance(value, bool | None):
            raise self._wrong(name, f"must be true or false, not {value!r:.80}")
        return bool(value)

    def text(self, name: str) -> str:
        value = self._get(name)
        if not isinstance(value, str | None):
            raise self._wrong(name, f"must be a string, not {value!r:.80}")
        return value or ""

    def texts(self, name: str) -> tuple[str, ...]:
        """A list, or, as the options of the engines in use today write it, one string with commas."""
        value = self._get(name)
        entries = value.split(",") if isinstance(value, str) else value if value is not None else []
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise self._wrong(name, f"must be a list of strings, not {value!r:.80}")
        return tuple(entry.strip() for entry in entries if entry.strip())

    def texts_by_name(self, name: str) -> Mapping[str, str]:
        value = self._get(name)
        if not isinstance(value, Mapping | None) or not all(isinstance(text, str) for text in _flat(value)):
            raise self._wrong(name, f"must be a mapping of names to backends, not {value!r:.80}")
        return value or {}

    def object_name(self, name: str, text: str) -> ObjectName:
        namespace, slash, own = text.partition("/")
        if not (namespace and slash and own) or "/" in own:
            raise self._wrong(name, f"{text!r:.80} is not the name of a network: write namespace/name")
        return ObjectName(namespace, own)

    def cidrs(self, name: str) -> tuple[Cidr, ...]:
        return tuple(self._cidr(name, text) for text in self.texts(name))

    def _cidr(self, name: str, text: str) -> Cidr:
        try:
            return parse_cidr(text)
        except ValueError as error:
            raise self._wrong(name, f"{text!r:.80} is {error}: write it as 10.0.0.0/8 or fd00::/8") from error

    def choice(self, name: str, choices: type[_Choice], default: _Choice) -> _Choice:
        value = self._get(name)
        if value is None:
            return default
        try:
            return choices(str(value))
        except ValueError as error:
            possible = " or ".join(choice.value for choice in choices)
            raise self._wrong(name, f"must be {possible}, not {value!r:.80}") from error


def _flat(mapping: Mapping[object, object] | None) -> list[object]:
    return [*(mapping or {}).keys(), *(mapping or {}).values()]
