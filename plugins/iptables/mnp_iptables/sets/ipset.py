"""Ipsets of the calling thread's network namespace, over netlink: no fork, and many elements in one message.

Protocol and numbers: <linux/netfilter/ipset/ip_set.h>, protocol 7 (Linux 4.20). A process in the pod may have
made any set: one of another kind than ours has elements that no set of ours has.
"""

import errno
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from ipaddress import IPv6Address

from attrs import frozen

from mnp_core.errors import ApplyError
from mnp_core.model import Protocol
from mnp_core.netfilter.attributes import NESTED, NET_BYTE_ORDER, attribute, attributes, text, text_attribute
from mnp_core.netfilter.messages import EXCLUSIVE
from mnp_core.netfilter.netlink import ACKNOWLEDGE
from mnp_core.netfilter.nfnetlink import Found, Nfnetlink, dump_settled
from mnp_core.netfilter.remedies import describe
from mnp_iptables.sets.set_types import MAXELEM, SetType

_SUBSYSTEM = 6 << 8
_PROTOCOL_COMMAND, _CREATE, _DESTROY, _LIST, _ADD, _DELETE, _TEST, _GET_BY_NAME = 1, 2, 3, 7, 9, 10, 11, 14
_PROTOCOL, _NAME, _TYPE, _REVISION, _FAMILY, _FLAGS, _DATA, _ELEMENTS, _LINE, _INDEX = 1, 2, 3, 4, 5, 6, 7, 8, 9, 11
_IP, _CIDR, _PORT, _PROTO = 1, 3, 4, 7
_TIMEOUT, _CADT_FLAGS, _MARK_MASK, _BIT_MASK, _NET_MASK = 6, 8, 11, 12, 20
_HASHSIZE, _MAXELEM, _COUNT, _REFERENCES = 18, 19, 24, 25
_NEVER_OURS = {_TIMEOUT, _CADT_FLAGS, _MARK_MASK, _BIT_MASK, _NET_MASK}
"""Options under which a set holds something else than its elements say."""

_IN_TEXT = {_IP, _CIDR, _PORT, _PROTO}
_IPV4, _IPV6 = 1, 2
_LIST_HEADER = 4
_DATA_HEAD = 4  # bytes of an attribute before its value

_VERSION = attribute(_PROTOCOL, b"\x07")
_REVISION_1 = b"\x01"  # the oldest that kernel and ipset program know of each of our types
_SOCKET_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_SMALLEST = 6  # of a hash table, as a power of two: there are many sets and most of them are small
_BATCH = 1000  # elements in a message, which holds 64 KiB

_PRIVATE_ERRORS = {  # enum ipset_errno and those of hash types, which mean nothing to strerror
    4098: "this kernel does not know the type of set",
    4099: "there are too many sets",
    4100: "the set is in use",
    4103: "the element is, or is not, in the set already",
    4352: "the set is full",
    4353: "it takes no element that is all zeros",
}
_IN_USE = 4100
_NOT_IN_SET = 4103
_HOST = {4: 32, 6: 128}
_PROTOCOL_NUMBER = {protocol.name.lower(): int(protocol) for protocol in Protocol}
_PROTOCOL_NAME = {number: name for name, number in _PROTOCOL_NUMBER.items()}


@frozen(kw_only=True)
class Header:
    """A set without its elements; `type` is None if it has options that none of ours has."""

    name: str
    type: SetType | None
    references: int
    count: int


class Ipset(Nfnetlink):
    """The sets of the calling thread's network namespace; use it in a ``with``."""

    def version(self) -> int:
        """The newest protocol that the kernel speaks.

        Raises:
            OSError: It has no ipset.
        """
        return _byte(self.call(_SUBSYSTEM | _PROTOCOL_COMMAND, _VERSION, family=socket.AF_INET).get(_PROTOCOL, b""))

    def headers(self, part: str) -> tuple[Header, ...]:
        """Every set that may have this in its name; a pod can have 65,000 others."""
        wanted = part.encode()
        return tuple(map(_header, _dump(_VERSION + _number(_FLAGS, _LIST_HEADER), lambda body: wanted in body)))

    def content(self, name: str) -> bytes:
        """The elements of a set as the kernel sends them: equal as long as the set stays the same."""
        answers = _dump(_VERSION + text_attribute(_NAME, name))
        return b"".join(found.get(_ELEMENTS, b"") for found in answers)

    def members(self, name: str) -> frozenset[str]:
        """The elements of a set, as text."""
        content = self.content(name)
        return _plain_addresses(content) or _elements(content)

    def index(self, name: str) -> int:
        """The number by which rules know a set; it stays with the name until two sets are swapped."""
        found = self._ask(_GET_BY_NAME, _VERSION + text_attribute(_NAME, name), f"look up set {name}")
        return int.from_bytes(found.get(_INDEX, b""), "big")

    def create(self, name: str, kind: SetType, *, size: int = 0) -> None:
        """Make an empty set; refused if there is one of that name.

        Args:
            name: Its name.
            kind: Its type.
            size: The expected number of elements; it grows when there are more.
        """
        options = _number(_HASHSIZE, 1 << max(_SMALLEST, size.bit_length())) + _number(_MAXELEM, MAXELEM)
        family = _SOCKET_FAMILY[kind.family]
        body = (
            _VERSION
            + text_attribute(_NAME, name)
            + text_attribute(_TYPE, kind.kind)
            + attribute(_REVISION, _REVISION_1)
            + attribute(_FAMILY, bytes([family]))
            + attribute(_DATA | NESTED, options)
        )
        self._ask(_CREATE, body, f"make set {name}", flags=ACKNOWLEDGE | EXCLUSIVE, family=family)

    def add(self, name: str, elements: Iterable[str]) -> None:
        """Add elements; refused at the first that is a member, with those before it added."""
        self._change(_ADD, name, elements, f"add to set {name}")

    def delete(self, name: str, elements: Iterable[str]) -> None:
        """Delete elements; refused at the first that is no member, with those before it deleted."""
        self._change(_DELETE, name, elements, f"take out of set {name}")

    def test(self, name: str, element: str) -> bool:
        """Whether an element is in a set; for networks, exactly this one."""
        body = _VERSION + text_attribute(_NAME, name) + attribute(_DATA | NESTED, _element(element))
        return not self._fails(_TEST, body, {_NOT_IN_SET}, f"look into set {name}")

    def destroy(self, name: str) -> bool:
        """Destroy a set, if it exists; False if rules still use it."""
        body = _VERSION + text_attribute(_NAME, name)
        return self._fails(_DESTROY, body, {_IN_USE, errno.ENOENT}, f"destroy set {name}") != _IN_USE

    def _change(self, command: int, name: str, elements: Iterable[str], what: str) -> None:
        head = _VERSION + text_attribute(_NAME, name) + _number(_LINE, 0)
        for batch in _batches(sorted(elements)):
            data = b"".join(attribute(_DATA | NESTED, _element(element)) for element in batch)
            self._ask(command, head + attribute(_ELEMENTS | NESTED, data), what, flags=ACKNOWLEDGE | EXCLUSIVE)

    def _fails(self, command: int, body: bytes, expected: Collection[int], what: str) -> int:
        """Send a command; returns the number of an expected error, 0 for none."""
        try:
            self.call(_SUBSYSTEM | command, body, family=socket.AF_INET, flags=ACKNOWLEDGE)
        except OSError as error:
            if (code := error.errno or 0) in expected:
                return code
            raise _refused(what, error) from error
        return 0

    def _ask(self, command: int, body: bytes, what: str, *, flags: int = 0, family: int = socket.AF_INET) -> Found:
        try:
            return self.call(_SUBSYSTEM | command, body, family=family, flags=flags)
        except OSError as error:
            raise _refused(what, error) from error


def _dump(request: bytes, wanted: Callable[[bytes], bool] = bool) -> list[Found]:
    try:
        return dump_settled(_SUBSYSTEM | _LIST, request, family=socket.AF_INET, wanted=wanted)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _refused("list sets", error) from error


def _refused(what: str, error: OSError) -> ApplyError:
    return ApplyError(
        f"ipset: the kernel refused to {what}: {_PRIVATE_ERRORS.get(error.errno or 0) or describe(error)}"
    )


def _number(kind: int, value: int) -> bytes:
    return attribute(kind | NET_BYTE_ORDER, struct.pack("!I", value))


def _header(found: Found) -> Header:
    data = dict(attributes(found.get(_DATA, b"")))
    family = _byte(found.get(_FAMILY, b""))
    kind = SetType(kind=text(found.get(_TYPE, b"")), family=6 if family == socket.AF_INET6 else 4)
    return Header(
        name=text(found.get(_NAME, b"")),
        type=None if _NEVER_OURS & data.keys() else kind,
        references=int.from_bytes(data.get(_REFERENCES, b""), "big"),
        count=int.from_bytes(data.get(_COUNT, b""), "big"),
    )


def _batches(elements: Sequence[str]) -> Iterator[Sequence[str]]:
    return (elements[start : start + _BATCH] for start in range(0, len(elements), _BATCH))


def _element(text: str) -> bytes:
    """The attributes of ``10.0.0.1``, ``10.0.0.0/8`` or ``10.0.0.1,tcp:80``."""
    address, _, endpoint = text.partition(",")
    address, _, length = address.partition("/")
    parts = _address(address)
    if length:
        parts += attribute(_CIDR, bytes([int(length)]))
    if endpoint:
        protocol, _, port = endpoint.partition(":")
        parts += attribute(_PORT | NET_BYTE_ORDER, struct.pack("!H", int(port)))
        parts += attribute(_PROTO, bytes([_PROTOCOL_NUMBER[protocol]]))
    return parts


def _address(text: str) -> bytes:
    return _IPV6_HEAD + socket.inet_pton(socket.AF_INET6, text) if ":" in text else _IPV4_HEAD + socket.inet_aton(text)


def _head(kind: int, size: int) -> bytes:
    """An address up to its bytes."""
    return attribute(_IP | NESTED, attribute(kind | NET_BYTE_ORDER, bytes(size)))[:-size]


_IPV4_HEAD, _IPV6_HEAD = _head(_IPV4, 4), _head(_IPV6, 16)


def _elements(content: bytes) -> frozenset[str]:
    return frozenset(_element_text(dict(attributes(data))) for _, data in attributes(content))


def _element_text(found: dict[int, bytes]) -> str:
    """The inverse of `_element`. A network of one address is written as a network all the same.

    Attributes that our elements never have (a time-out, ``nomatch``) are written, too: they make another element.
    """
    text = _address_text(dict(attributes(found.get(_IP, b""))))
    if _CIDR in found:
        text += f"/{_byte(found[_CIDR])}"
    if _PORT in found and _PROTO in found:
        number = _byte(found[_PROTO])
        text += f",{_PROTOCOL_NAME.get(number, str(number))}:{int.from_bytes(found[_PORT], 'big')}"
    return text + "".join(f" {kind}={found[kind].hex()}" for kind in sorted(found.keys() - _IN_TEXT))


def _plain_addresses(content: bytes) -> frozenset[str]:
    """The elements of a set of addresses, which may be many, without taking each apart; none if it is another set."""
    head = content[: len(_IPV4_HEAD) + _DATA_HEAD]
    for size, written in ((4, socket.inet_ntoa), (16, _ipv6_text)):
        step = len(head) + size
        starts = range(0, len(content), step)
        sizes = struct.pack("=H", step), struct.pack("=H", step - _DATA_HEAD)
        fits = (head[:2], head[_DATA_HEAD : _DATA_HEAD + 2]) == sizes and len(content) % step == 0
        if fits and all(content.startswith(head, start) for start in starts):
            return frozenset(written(content[start + len(head) : start + step]) for start in starts)
    return frozenset()


def _byte(value: bytes) -> int:
    return value[0] if value else 0


def _address_text(found: dict[int, bytes]) -> str:
    for kind, size, written in ((_IPV4, 4, socket.inet_ntoa), (_IPV6, 16, _ipv6_text)):
        if len(found.get(kind, b"")) == size:
            return written(found[kind])
    return "no address"


def _ipv6_text(packed: bytes) -> str:
    text = socket.inet_ntop(socket.AF_INET6, packed)
    return str(IPv6Address(packed)) if "." in text else text  # ::1.2.3.4 is not how Python writes it
