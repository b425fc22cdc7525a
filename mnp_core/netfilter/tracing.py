"""The kernel's own tracing of packets through all tables of nf_tables, and through legacy tables (nftrace).

A table of ours marks the packets of a few flows, before any other table sees them; another one of family ``bridge``
marks those that pass the pod as frames. It belongs to its socket (flag
``owner``, Linux 5.12): however the process ends, the kernel takes the table away. The mark stays in the network
namespace, changes no verdict, and the number of marked packets is limited by the kernel.
"""

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from enum import IntEnum
from typing import Final

from mnp_core.classes import frozen
from mnp_core.closing import Closing
from mnp_core.errors import UnsupportedError
from mnp_core.model import Packet, Protocol
from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, attributes, nested, number, text, text_attribute
from mnp_core.netfilter.batch import Batch, BatchWriter, joined
from mnp_core.netfilter.expressions import (
    ETHER_TYPES,
    META_ETHER_TYPE,
    META_FAMILY,
    META_PROTOCOL,
    NETWORK,
    TRANSPORT,
    equals,
    expression,
    meta,
    payload,
)
from mnp_core.netfilter.messages import (
    APPEND,
    CREATE,
    EXCLUSIVE,
    GENERIC,
    NEW_CHAIN,
    NEW_RULE,
    NEW_TABLE,
    NFPROTO,
    NFPROTO_BRIDGE,
    NFPROTO_INET,
    TRACE,
)
from mnp_core.netfilter.netlink import NETLINK_NETFILTER, messages
from mnp_core.netfilter.nfnetlink import Nfnetlink, RefusedError, UnansweredError

TABLE: Final = "mnp-trace"
"""The prefix of the table's name; a number follows, so that several can trace at once."""

_HOOKS: Final = {"prerouting": 0, "output": 3}  # NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT; of bridges likewise
_PRIORITY: Final = -350  # after defragmentation (-400), before all tables of iptables (raw: -300) and ebtables
_META_TRACE: Final = 12  # NFT_META_NFTRACE
_PACKETS, _DAY_SECONDS = 0, 86400  # NFT_LIMIT_PKTS
_GROUP: Final = 9  # NFNLGRP_NFTRACE
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_BUFFER: Final = 1 << 17
_ADDRESSES: Final = {4: (12, 16), 6: (8, 24)}  # offsets of source and destination in the header
_ECHO: Final = frozenset({Protocol.ICMP, Protocol.ICMPV6})
_VERDICTS: Final = {0: "drop", 1: "accept", 2: "stolen", 3: "queue", -1: "continue", -2: "continue", -5: "return"}
_JUMPS: Final = {-3: "jump", -4: "goto"}


class StepKind(IntEnum):
    """The kind of a step (NFT_TRACETYPE_…)."""

    POLICY = 1  # the end of a base chain
    RETURN = 2  # the end of another chain
    RULE = 3


@frozen(kw_only=True)
class Step:
    """One step of a packet through the tables.

    Attributes:
        packet: The kernel's number of the packet; empty in a legacy table.
        family: NFPROTO_… of the table.
        table: Its name.
        chain: Of the table.
        kind: Rule, or end of a chain.
        handle: Of the rule; 0 for none.
        position: Of the rule in its chain, from 1, in a legacy table; 0 for none.
        verdict: Such as ``accept``, ``drop``, ``continue`` and ``jump CHAIN``; empty if the kernel does not tell.
        packet_bytes: The first bytes of the packet, from its network header on; empty where they are not repeated.
    """

    packet: bytes = b""
    family: int
    table: str
    chain: str
    kind: StepKind
    handle: int = 0
    position: int = 0
    verdict: str = ""
    packet_bytes: bytes = b""


class NftTracing(Closing):
    """Traces flows in the network namespace of the calling thread, until it is closed; reading works from anywhere."""

    def __init__(self, packets: Sequence[Packet], most: int, *, bridged: bool = False) -> None:
        """Begin.

        Args:
            packets: The first packet of each flow.
            most: The most packets of each flow and hook that are traced.
            bridged: Whether packets that pass a bridge as frames are traced, too.

        Raises:
            UnsupportedError: This kernel has no tracing, no tables with an owner, or none for bridges.
        """
        families = (NFPROTO_INET, NFPROTO_BRIDGE) if bridged else (NFPROTO_INET,)
        self._sockets = ExitStack()
        try:
            owner = self._sockets.enter_context(Nfnetlink())
            self._events = self._sockets.enter_context(_subscribed())
            owner.commit(batch(f"{TABLE}-{os.urandom(4).hex()}", packets, most, families))
        except (OSError, RefusedError, UnansweredError) as error:
            self.close()
            text = f"this kernel cannot trace packets ({error}): it takes nf_tables of Linux 5.12 or newer"
            raise UnsupportedError(text) from error

    def close(self) -> None:
        """End it: the kernel removes the table."""
        self._sockets.close()

    def fileno(self) -> int:
        """Of the socket that can be read when there are steps."""
        return self._events.fileno()

    def read(self) -> Iterator[Step]:
        """The steps that are there; raises OSError ENOBUFS if some were lost."""
        while True:
            try:
                data, (port, _) = self._events.recvfrom(_BUFFER)
            except BlockingIOError:
                return
            if port == 0:  # the kernel's
                yield from parse(data)


def _subscribed() -> socket.socket:
    events = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
    )
    try:
        events.bind((0, 0))  # unbound, its port is 0, which broadcasts exclude
        events.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
    except OSError:
        events.close()
        raise
    return events


def batch(table: str, packets: Iterable[Packet], most: int, families: Iterable[int] = (NFPROTO_INET,)) -> Batch:
    """The transaction that creates a table of each family: for each hook a chain with a rule for each flow."""
    packets = list(packets)
    return joined(_table(table, packets, most, family) for family in families)


def _table(table: str, packets: Iterable[Packet], most: int, family: int) -> Batch:
    writer = BatchWriter()
    ours = text_attribute(uapi.NFTA_TABLE_NAME, table)
    writer.add(NEW_TABLE, CREATE | EXCLUSIVE, ours, number(uapi.NFTA_TABLE_FLAGS, uapi.NFT_TABLE_F_OWNER))
    for chain, hook in _HOOKS.items():
        place = number(uapi.NFTA_HOOK_HOOKNUM, hook) + number(uapi.NFTA_HOOK_PRIORITY, _PRIORITY)
        writer.add(
            NEW_CHAIN,
            CREATE,
            ours,
            text_attribute(uapi.NFTA_CHAIN_NAME, chain),
            nested(uapi.NFTA_CHAIN_HOOK, place),
            attribute(uapi.NFTA_CHAIN_TYPE, b"filter\0"),
        )
        for packet in packets:
            code = nested(uapi.NFTA_RULE_EXPRESSIONS, b"".join((*_matches(packet, family), *_marking(most))))
            writer.add(NEW_RULE, CREATE | APPEND, ours, text_attribute(uapi.NFTA_RULE_CHAIN, chain), code)
    return writer.batch().in_family(family)


def _matches(packet: Packet, family: int) -> Iterator[bytes]:
    """Exactly this flow, but for its source port."""
    version = packet.source.version
    source, destination = _ADDRESSES[version]
    if family == NFPROTO_BRIDGE:  # of every packet there
        yield from (meta(META_ETHER_TYPE), equals(ETHER_TYPES[version]))
    else:
        yield from (meta(META_FAMILY), equals(bytes([NFPROTO[version]])))
    for offset, address in ((source, packet.source), (destination, packet.destination)):
        yield from (payload(NETWORK, offset, len(address.packed)), equals(address.packed))
    yield from (meta(META_PROTOCOL), equals(bytes([packet.protocol])))
    if packet.protocol in _ECHO:
        yield from (payload(TRANSPORT, 0, 1), equals(bytes([packet.icmp_type or 0])))
    elif packet.port is not None:
        yield from (payload(TRANSPORT, 2, 2), equals(packet.port.to_bytes(2, "big")))


def _marking(most: int) -> tuple[bytes, ...]:
    limit = expression(
        "limit",
        attribute(uapi.NFTA_LIMIT_RATE, (1).to_bytes(8, "big")),
        attribute(uapi.NFTA_LIMIT_UNIT, _DAY_SECONDS.to_bytes(8, "big")),
        number(uapi.NFTA_LIMIT_BURST, most),
        number(uapi.NFTA_LIMIT_TYPE, _PACKETS),
        number(uapi.NFTA_LIMIT_FLAGS, 0),
    )
    one = nested(uapi.NFTA_IMMEDIATE_DATA, attribute(uapi.NFTA_DATA_VALUE, b"\1"))
    load = expression("immediate", number(uapi.NFTA_IMMEDIATE_DREG, 1), one)
    mark = expression("meta", number(uapi.NFTA_META_KEY, _META_TRACE), number(uapi.NFTA_META_SREG, 1))
    return limit, load, mark


def parse(data: bytes) -> Iterator[Step]:
    """The steps in received bytes, up to the first malformed message."""
    for kind, _, _, body in messages(data):
        if kind == TRACE:
            found = dict(attributes(body, GENERIC.size))
            if (step := _step(body[0] if body else 0, found)) is not None:
                yield step


def _step(family: int, found: dict[int, bytes]) -> Step | None:
    try:
        kind = StepKind(_number(found, uapi.NFTA_TRACE_TYPE))
    except ValueError:
        return None
    return Step(
        packet=found.get(uapi.NFTA_TRACE_ID, b""),
        family=family,
        table=text(found.get(uapi.NFTA_TRACE_TABLE, b"")),
        chain=text(found.get(uapi.NFTA_TRACE_CHAIN, b"")),
        kind=kind,
        handle=_number(found, uapi.NFTA_TRACE_RULE_HANDLE),
        verdict=_verdict(found, kind),
        packet_bytes=found.get(uapi.NFTA_TRACE_NETWORK_HEADER, b"") + found.get(uapi.NFTA_TRACE_TRANSPORT_HEADER, b""),
    )


def _verdict(found: dict[int, bytes], kind: StepKind) -> str:
    if kind is StepKind.POLICY:
        return _VERDICTS.get(_signed(found.get(uapi.NFTA_TRACE_POLICY, b"")), "")
    parts = dict(attributes(found.get(uapi.NFTA_TRACE_VERDICT, b"")))
    code = _signed(parts.get(uapi.NFTA_VERDICT_CODE, b""))
    if code in _JUMPS:
        return f"{_JUMPS[code]} {text(parts.get(uapi.NFTA_VERDICT_CHAIN, b''))}"
    return _VERDICTS.get(code if code < 0 else code & 0xFF, "")


def _number(found: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(found.get(kind, b""), "big")


def _signed(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)
