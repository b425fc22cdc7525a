"""The parts of our rules, each as words of nft and as expressions, so that the two cannot diverge.

`mnp render` shows the words; the kernel gets the expressions. A test proves for every kind of rule that libnftables
makes the same of the words.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import frozen

from mnp_core.model import Address, AddressRange, DeniedLog, Direction, Family, LogMark, PortRange, Protocol
from mnp_nftables import expressions as kernel
from mnp_nftables.anonymous import AnonymousSet, of_spans, of_values
from mnp_nftables.names import interface_bytes, interface_text

Code = bytes | AnonymousSet
"""An expression, or the lookup in a set of its own."""

Span = AddressRange | PortRange
"""What is compared: within one rule all of one size."""

PROTOCOL = {
    Protocol.ICMP: "icmp",
    Protocol.TCP: "tcp",
    Protocol.UDP: "udp",
    Protocol.ICMPV6: "icmpv6",
    Protocol.SCTP: "sctp",
}
FAMILY_NUMBER = {4: 2, 6: 10}  # NFPROTO_IPV4, NFPROTO_IPV6
_ADDRESS_OFFSET = {(4, "saddr"): 12, (4, "daddr"): 16, (6, "saddr"): 8, (6, "daddr"): 24}
_PORT_OFFSET = {"sport": 0, "dport": 2}
_ADDRESS_SIZE = {4: 4, 6: 16}
_ADDRESS_TYPE = {4: 7, 6: 8}  # TYPE_IPADDR, TYPE_IP6ADDR of libnftables, which shows sets by them
_SERVICE_TYPE, _ICMPV6_TYPE = 13, 29  # TYPE_INET_SERVICE, TYPE_ICMP6_TYPE
_STATES = {"established": 2, "related": 4, "new": 8}  # NF_CT_STATE_BIT
_EXPECTED = 1  # IPS_EXPECTED
_HOP_LIMIT = 7  # offset in the header of IPv6
_NAME_SIZE = 16  # IFNAMSIZ
_ENDPOINT_REGISTERS = {4: (9, 10), 6: (2, 13)}  # after an address from register 1 on: protocol, port


@frozen
class Term:
    """Words and expressions with the same meaning."""

    words: str
    code: tuple[Code, ...]

    def __add__(self, other: "Term") -> "Term":
        return Term(" ".join(filter(None, (self.words, other.words))), self.code + other.code)


NOTHING = Term("", ())
"""Matches everything."""

COUNTER = Term("counter", (kernel.counter(),))
ACCEPT = Term("accept", (kernel.accept(),))
DROP = Term("drop", (kernel.drop(),))
REJECT = Term("reject with icmpx type admin-prohibited", (kernel.reject(),))


def jump(chain: str) -> Term:
    """Through a chain and back."""
    return Term(f"jump {chain}", (kernel.jump(chain),))


def goto(chain: str) -> Term:
    """To a chain."""
    return Term(f"goto {chain}", (kernel.goto(chain),))


def limit(settings: DeniedLog) -> Term:
    """Go on with a limited number of packets a second."""
    words = f"limit rate {settings.rate}/second burst {settings.burst} packets"
    return Term(words, (kernel.limit(settings.rate, settings.burst),))


def log(settings: DeniedLog, mark: LogMark) -> Term:
    """Send the beginning of the packet to readers of the group."""
    words = f'log prefix "{mark}" group {settings.group} snaplen {settings.size}'
    return Term(words, (kernel.log(settings.group, str(mark), settings.size),))


def interface(direction: Direction, name: str) -> Term:
    """The interface that the packet came in by, or leaves by."""
    words, key = ("iifname", kernel.META_INPUT) if direction is Direction.INGRESS else ("oifname", kernel.META_OUTPUT)
    value = interface_bytes(name).ljust(_NAME_SIZE, b"\0")
    return Term(f'{words} "{interface_text(name)}"', (kernel.meta(key), kernel.equals(value)))


def state(*names: str) -> Term:
    """The state of the connection is one of these."""
    bits = sum(_STATES[name] for name in names)
    return Term(f"ct state {','.join(names)}", (kernel.connection(kernel.CT_STATE), *kernel.any_bit(bits)))


EXPECTED = Term("ct status expected", (kernel.connection(kernel.CT_STATUS), *kernel.any_bit(_EXPECTED)))
REPLY = Term("ct direction reply", (kernel.connection(kernel.CT_DIRECTION), kernel.equals(b"\1")))


@lru_cache
def family(number: Family) -> Term:
    """The family of the packet."""
    return Term(f"meta nfproto ipv{number}", _family(number))


@lru_cache
def protocol(value: Protocol) -> Term:
    """The protocol above IP."""
    return Term(f"meta l4proto {PROTOCOL[value]}", _protocol(value))


_ETHER_TYPE = kernel.payload(kernel.LINK, 12, 2)  # of the frame, a VLAN tag that the kernel holds beside it included
ARP = Term("ether type arp", (_ETHER_TYPE, kernel.equals(b"\x08\x06")))
VLAN_TAGS = (
    Term("ether type vlan", (_ETHER_TYPE, kernel.equals(b"\x81\x00"))),
    Term("ether type 8021ad", (_ETHER_TYPE, kernel.equals(b"\x88\xa8"))),
)
NO_IP = Term(
    "ether type != ip ether type != ip6",
    (_ETHER_TYPE, kernel.differs(b"\x08\x00"), _ETHER_TYPE, kernel.differs(b"\x86\xdd")),
)
IGMP = Term("meta l4proto 2", (kernel.meta(kernel.META_PROTOCOL), kernel.equals(b"\2")))
NEIGHBOUR_DISCOVERY = Term(
    "ip6 hoplimit 255 icmpv6 type 133-137",
    (
        kernel.meta(kernel.META_FAMILY),
        kernel.equals(bytes([FAMILY_NUMBER[6]])),
        kernel.payload(kernel.NETWORK, _HOP_LIMIT, 1),
        kernel.equals(b"\xff"),
        kernel.meta(kernel.META_PROTOCOL),
        kernel.equals(bytes([Protocol.ICMPV6])),
        kernel.payload(kernel.TRANSPORT, 0, 1),
        *kernel.within(b"\x85", b"\x89"),
    ),
)
LISTENER_DISCOVERY = Term(
    "icmpv6 type { 130, 131, 132, 143 }",
    (
        kernel.meta(kernel.META_PROTOCOL),
        kernel.equals(bytes([Protocol.ICMPV6])),
        kernel.payload(kernel.TRANSPORT, 0, 1),
        of_values(_ICMPV6_TYPE, [b"\x82", b"\x83", b"\x84", b"\x8f"]),
    ),
)


@frozen
class Choice:
    """The right-hand side of a match: the required values of the field in front of it.

    Attributes:
        words: As nft writes it.
        code: The expressions after the load of the field.
        loaded: Bytes of the field that matter; 0 for all of them.
    """

    words: str
    code: tuple[Code, ...]
    loaded: int = 0


def named_set(name: str) -> Choice:
    """An element of a set that has a name."""
    return Choice(f"@{name}", (kernel.lookup(name),))


def named_prefixes(length: int, family: Family, name: str) -> Choice:
    """In a prefix of one length, whose first address is an element of a set that has a name."""
    mask = _mask(length, 8 * _ADDRESS_SIZE[family])
    among = named_set(name)
    if length == 8 * len(mask):
        return among
    return Choice(f"& {_address(mask)} {among.words}", (kernel.masked(mask), *among.code))


def single(span: Span) -> Choice:
    """One value."""
    return Choice(str(span.first), (kernel.equals(_packed(span.first)),))


def values(spans: Sequence[Span]) -> Choice:
    """Single values, more than one."""
    words = "{ " + ", ".join(str(span.first) for span in spans) + " }"
    return Choice(words, (of_values(_type(spans[0]), [_packed(span.first) for span in spans]),))


def spans(ranges: Sequence[Span], singles: Sequence[Span]) -> Choice:
    """Ranges and single values, disjoint and not touching each other."""
    words = "{ " + ", ".join([*map(_range, ranges), *(str(span.first) for span in singles)]) + " }"
    every = sorted((_packed(span.first), _packed(span.last)) for span in (*ranges, *singles))
    return Choice(words, (of_spans(_type(ranges[0]), every),))


def prefixes(length: int, networks: Sequence[Address]) -> Choice:
    """Prefixes of one length, sorted, by their first addresses."""
    size = networks[0].max_prefixlen
    packed = [network.packed for network in networks]
    among = of_values(_ADDRESS_TYPE[networks[0].version], packed)
    words = "{ " + ", ".join(map(str, networks)) + " }"
    if length == size:
        return Choice(words, (among,))
    mask = _mask(length, size)
    return Choice(f"& {_address(mask)} {words}", (kernel.masked(mask), among))


def one_range(span: Span) -> Choice:
    """A range; a prefix is compared as such."""
    words, first, last = _range(span), _packed(span.first), _packed(span.last)
    if "/" not in words:
        return Choice(words, kernel.within(first, last))
    length = int(words.partition("/")[2])
    if length % 8 == 0:
        return Choice(words, (kernel.equals(first[: length // 8]),), length // 8)
    return Choice(words, (kernel.masked(_mask(length, 8 * len(first))), kernel.equals(first)))


def address(number: Family, side: str, choice: Choice) -> Term:
    """An address of the packet; `side` is ``saddr`` or ``daddr``."""
    name = "ip" if number == 4 else "ip6"
    size = choice.loaded or _ADDRESS_SIZE[number]
    load = kernel.payload(kernel.NETWORK, _ADDRESS_OFFSET[number, side], size)
    return Term(f"{name} {side} {choice.words}", (*_family(number), load, *choice.code))


def port(value: Protocol, side: str, choice: Choice) -> Term:
    """A port of the packet; `side` is ``sport`` or ``dport``."""
    load = kernel.payload(kernel.TRANSPORT, _PORT_OFFSET[side], 2)
    return Term(f"{PROTOCOL[value]} {side} {choice.words}", (*_protocol(value), load, *choice.code))


def endpoint(number: Family, address_side: str, port_side: str, choice: Choice) -> Term:
    """Address, protocol and port together."""
    name = "ip" if number == 4 else "ip6"
    protocol_register, port_register = _ENDPOINT_REGISTERS[number]
    loads = (
        kernel.payload(kernel.NETWORK, _ADDRESS_OFFSET[number, address_side], _ADDRESS_SIZE[number]),
        kernel.meta(kernel.META_PROTOCOL, protocol_register),
        kernel.payload(kernel.TRANSPORT, _PORT_OFFSET[port_side], 2, port_register),
    )
    words = f"{name} {address_side} . meta l4proto . th {port_side} {choice.words}"
    return Term(words, (*_family(number), *loads, *choice.code))


def original_source(number: Family, choice: Choice) -> Term:
    """The source of the packet that opened the connection."""
    name = "ip" if number == 4 else "ip6"
    load = kernel.connection(kernel.CT_SOURCE[number], kernel.ORIGINAL)
    return Term(f"ct original {name} saddr {choice.words}", (load, *choice.code))


def original_port(value: Protocol, choice: Choice) -> Term:
    """The destination port of the packet that opened the connection."""
    load = kernel.connection(kernel.CT_DESTINATION_PORT, kernel.ORIGINAL)
    words = f"meta l4proto {PROTOCOL[value]} ct original proto-dst {choice.words}"
    return Term(words, (*_protocol(value), load, *choice.code))


@lru_cache
def _family(number: Family) -> tuple[Code, ...]:
    return kernel.meta(kernel.META_FAMILY), kernel.equals(bytes([FAMILY_NUMBER[number]]))


@lru_cache
def _protocol(value: Protocol) -> tuple[Code, ...]:
    return kernel.meta(kernel.META_PROTOCOL), kernel.equals(bytes([value]))


def _mask(length: int, size: int) -> bytes:
    """The mask of a prefix in an address of so many bits."""
    return (((1 << length) - 1) << (size - length)).to_bytes(size // 8, "big")


def _address(packed: bytes) -> str:
    return str(ip_address(packed))


def _packed(value: IPv4Address | IPv6Address | int) -> bytes:
    return value.to_bytes(2, "big") if isinstance(value, int) else value.packed


def _type(span: Span) -> int:
    return _ADDRESS_TYPE[span.first.version] if isinstance(span, AddressRange) else _SERVICE_TYPE


def _range(span: Span) -> str:
    """The text of a range: a CIDR if it is one."""
    prefix = _prefix(span) if isinstance(span, AddressRange) else ""
    return prefix or f"{span.first}-{span.last}"


def _prefix(span: AddressRange) -> str:
    first, last = int(span.first), int(span.last)
    varying = first ^ last
    if varying & (varying + 1) or first & varying:
        return ""
    return f"{span.first}/{span.first.max_prefixlen - varying.bit_length()}"
