"""Rules of the renderer as entries of the legacy kernel interface.

It knows the few matches and targets that our own rules use, each in the oldest revision that says what they need, so no
library with state of its own is needed. Rules of whoever runs the node may use others: those are refused here, and left
to `mnp_iptables.scratch`. Layouts: <linux/netfilter/xt_*.h>, <linux/netfilter_ipv4/ipt_REJECT.h>, ip6_tables.h.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_network

from attrs import frozen

from mnp_core.model import Family
from mnp_iptables.blob import ACCEPT, ALIGNMENT, DROP, LAYOUTS, RETURN, Entry, target_bytes

_TOKEN = re.compile(r'"([^"]*)"|(\S+)')
_ADDRESS_SIZE = {4: 4, 6: 16}
_INTERFACE_SIZE = 16
_GOTO = {4: 0x02, 6: 0x04}
_PROTOCOL_FLAG = {4: 0, 6: 0x01}  # ip6_tables looks at the protocol only if it is told to
_PROTOCOLS = {"icmp": 1, "2": 2, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}
_VERDICTS = {"ACCEPT": ACCEPT, "DROP": DROP, "RETURN": RETURN}
_REJECT_WITH = {"icmp-admin-prohibited": 8, "icmp6-adm-prohibited": 1}
_MATCH = struct.Struct("=H29sB")  # struct xt_entry_match, before its data


class UnknownRuleError(Exception):
    """Not one of our own rules."""


@frozen(kw_only=True)
class _Words:
    """A rule's options: those of the rule itself, and those of each match."""

    options: Mapping[str, str]
    matches: Sequence[tuple[str, Mapping[str, str]]]


def encode_rule(rule: str, family: Family, index: Callable[[str], int]) -> Entry:
    """Encode a rule.

    Args:
        rule: What follows ``-A CHAIN``.
        family: Of the table.
        index: The kernel's number of a set, by its name.

    Raises:
        UnknownRuleError: It says something that none of ours says.
    """
    try:
        words = _read(rule)
        matches = (_match(name, options, index) for name, options in words.matches)
        return _with_target(Entry(head=_head(words.options, family), matches=b"".join(matches)), words.options)
    except (LookupError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise UnknownRuleError(rule) from error


def _read(rule: str) -> _Words:
    options: dict[str, str] = {}
    matches: list[tuple[str, dict[str, str]]] = []
    for option, value in _pairs(rule):
        if option == "-m":
            matches.append((value, {}))
        else:
            of_match = option.startswith("--") and option != "--reject-with"
            _once(matches[-1][1] if of_match else options, option, value)
    return _Words(options=options, matches=matches)


def _pairs(rule: str) -> Iterator[tuple[str, str]]:
    """Options with their values; each of ours has one, that of a set two."""
    tokens = [quoted or plain for quoted, plain in _TOKEN.findall(rule)]
    while tokens:
        option = tokens.pop(0)
        if not option.startswith("-") or not tokens:
            raise ValueError(rule)
        yield option, tokens.pop(0)
        if option == "--match-set":
            yield "--dimensions", tokens.pop(0) if tokens else ""


def _once(options: dict[str, str], option: str, value: str) -> None:
    if option in options:
        raise ValueError(option)
    options[option] = value


# --- the entry itself ---------------------------------------------------------------------------------------------


def _head(options: Mapping[str, str], family: Family) -> bytes:
    if not options.keys() <= {"-s", "-d", "-i", "-o", "-p", "-j", "-g", "--reject-with"}:
        raise ValueError(options)
    source, source_mask = _network(options.get("-s"), family)
    destination, destination_mask = _network(options.get("-d"), family)
    incoming, incoming_mask = _interface(options.get("-i", ""))
    outgoing, outgoing_mask = _interface(options.get("-o", ""))
    flags = (_GOTO[family] if "-g" in options else 0) | (_PROTOCOL_FLAG[family] if "-p" in options else 0)
    protocol = _PROTOCOLS[options["-p"]] if "-p" in options else 0
    rest = struct.pack("=HBB", protocol, flags, 0) if family == 4 else struct.pack("=HBBB3x", protocol, 0, flags, 0)
    head = source + destination + source_mask + destination_mask + incoming + outgoing + incoming_mask + outgoing_mask
    return (head + rest).ljust(LAYOUTS[family].offsets, b"\0")


def _network(text: str | None, family: Family) -> tuple[bytes, bytes]:
    if text is None:
        return bytes(_ADDRESS_SIZE[family]), bytes(_ADDRESS_SIZE[family])
    network = ip_network(text)
    if network.version != family:
        raise ValueError(text)
    return network.network_address.packed, network.netmask.packed


def _interface(name: str) -> tuple[bytes, bytes]:
    """Name and mask: with the NUL behind it, so that it matches this name and no longer one."""
    encoded = name.encode()
    if len(encoded) >= _INTERFACE_SIZE or name.endswith("+"):
        raise ValueError(name)
    compared = len(encoded) + 1 if name else 0
    return encoded.ljust(_INTERFACE_SIZE, b"\0"), (b"\xff" * compared).ljust(_INTERFACE_SIZE, b"\0")


def _with_target(entry: Entry, options: Mapping[str, str]) -> Entry:
    target, goto = options.get("-j", ""), options.get("-g", "")
    if (target and goto) or ("--reject-with" in options) != (target == "REJECT"):
        raise ValueError(options)
    if target == "REJECT":
        data = struct.pack("=I", _REJECT_WITH[options["--reject-with"]])
        return Entry(head=entry.head, matches=entry.matches, target=target_bytes(b"REJECT", data))
    verdict = _VERDICTS[target] if target else None
    return Entry(head=entry.head, matches=entry.matches, jump=goto, verdict=verdict)


# --- matches ------------------------------------------------------------------------------------------------------


def _match(name: str, options: Mapping[str, str], index: Callable[[str], int]) -> bytes:
    if name == "set":
        return _packed(name, 1, _set(options, index))
    revision, encode = _MATCHES[name]
    return _packed(name, revision, encode(**{key[2:].replace("-", "_"): value for key, value in options.items()}))


def _packed(name: str, revision: int, data: bytes) -> bytes:
    padded = data + bytes(-len(data) % ALIGNMENT)
    return _MATCH.pack(_MATCH.size + len(padded), name.encode(), revision) + padded


def _set(options: Mapping[str, str], index: Callable[[str], int]) -> bytes:
    """Struct xt_set_info: index, number of dimensions, and a bit for each that is the packet's source."""
    name, dimensions = options["--match-set"], options["--dimensions"].split(",")
    if len(options) != 2 or not set(dimensions) <= {"src", "dst"}:
        raise ValueError(options)
    flags = sum(1 << place for place, side in enumerate(dimensions, start=1) if side == "src")
    return struct.pack("=HBB", index(name), len(dimensions), flags)


def _comment(comment: str) -> bytes:
    return struct.pack("=256s", comment.encode())


def _hl(hl_eq: str) -> bytes:
    return struct.pack("=BB", 0, int(hl_eq))


def _icmp6(icmpv6_type: str) -> bytes:
    """Struct ip6t_icmp: the type, and every code."""
    return struct.pack("=BBBB", int(icmpv6_type), 0, 255, 0)


_PORTS = 15  # XT_MULTI_PORTS


def _multiport(*, sports: str = "", dports: str = "") -> bytes:
    """Struct xt_multiport_v1: side, count, numbers, and for each whether a range goes on to the next."""
    if bool(sports) == bool(dports):
        raise ValueError(sports)
    numbers: list[int] = []
    more: list[int] = []
    for each in (sports or dports).split(","):
        first, colon, last = each.partition(":")
        numbers += [int(first), int(last)] if colon else [int(first)]
        more += [1, 0] if colon else [0]
    if len(numbers) > _PORTS:
        raise ValueError(numbers)
    padding = [0] * (_PORTS - len(numbers))
    side = 0 if sports else 1
    return struct.pack(f"=BB{_PORTS}H{_PORTS}BB", side, len(numbers), *numbers, *padding, *more, *padding, 0)


_CT_STATE, _CT_STATUS, _CT_ORIGINAL_PORT, _CT_DIRECTION = 1 << 0, 1 << 6, 1 << 9, 1 << 12
_STATES = {"INVALID": 1 << 0, "ESTABLISHED": 1 << 1, "RELATED": 1 << 2, "NEW": 1 << 3, "UNTRACKED": 1 << 8}
_STATUSES = {"EXPECTED": 1 << 0}
_CONNTRACK = struct.Struct("=128xII H HHHH HH HH HHHH")


def _conntrack(*, ctstate: str = "", ctstatus: str = "", ctdir: str = "", ctorigdstport: str = "") -> bytes:
    """Struct xt_conntrack_mtinfo3; ports are in the machine's byte order."""
    first, _, last = ctorigdstport.partition(":")
    low, high = int(first or 0), int(last or first or 0)
    chosen = {_CT_STATE: ctstate, _CT_STATUS: ctstatus, _CT_DIRECTION: ctdir, _CT_ORIGINAL_PORT: ctorigdstport}
    flags = sum(flag for flag, value in chosen.items() if value)
    if ctdir not in {"", "ORIGINAL", "REPLY"} or not flags:
        raise ValueError(ctdir)
    inverted = _CT_DIRECTION if ctdir == "REPLY" else 0
    state = sum(_STATES[each] for each in ctstate.split(",") if each)
    status = sum(_STATUSES[each] for each in ctstatus.split(",") if each)
    ports, highest = (0, low, 0, 0), (0, high, 0, 0)
    return _CONNTRACK.pack(0, 0, 0, *ports, flags, inverted, state, status, *highest)


_MATCHES: Mapping[str, tuple[int, Callable[..., bytes]]] = {
    "comment": (0, _comment),
    "conntrack": (3, _conntrack),
    "hl": (0, _hl),
    "icmp6": (0, _icmp6),
    "multiport": (1, _multiport),
}


def comment_of(matches: bytes) -> str:
    """The comment in a rule's matches; empty if there is none."""
    offset = 0
    while offset + _MATCH.size <= len(matches):
        size, name, _ = _MATCH.unpack_from(matches, offset)
        if name.partition(b"\0")[0] == b"comment":
            text = matches[offset + _MATCH.size : offset + size]
            return text.partition(b"\0")[0].decode(errors="backslashreplace")
        offset += max(size, _MATCH.size)
    return ""
