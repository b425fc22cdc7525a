"""Names that come from users, put into a ruleset so that they cannot leave their place.

The kernel gets bytes, which cannot leave their place; this is about the text. An nft string in quotes has no escapes: a
quote always ends it, and an asterisk at its end makes it a prefix. So unsafe names are refused (groups) or written in
another alphabet (comments, interface names that nft has no way to write).
"""

import re
from functools import lru_cache
from urllib.parse import quote

from attrs import frozen

from mnp_core.errors import InputError
from mnp_core.model import Direction, ObjectName
from mnp_core.model.group import GROUP_ID_LENGTH
from mnp_core.netfilter.comments import SAFE

COMMENT_LIMIT = 128
"""Bytes that the kernel keeps with a rule for libnftables (NFTNL_UDATA_COMMENT_MAXLEN)."""

_INTERFACE_SIZE = 15  # bytes, IFNAMSIZ without the end
_NOT_IN_INTERFACES = frozenset(b"/:\t\n\v\f\r \xa0\0")  # dev_valid_name() of the kernel; its spaces are Latin-1's
_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]+")  # nft takes these as they are
_GROUP = re.compile(rf"[a-z2-7]{{{GROUP_ID_LENGTH}}}")
_CHAIN = re.compile(
    r"(?P<replies>replies-)?(?P<direction>ingress|egress)(?:\.(?P<part>[1-9][0-9]*))?"
    r"(?:-(?P<name>.+)|_(?P<hex>(?:[0-9a-f]{2})+))"
)


def interface_name(name: str, *, pod: ObjectName) -> str:
    """Check the name of an interface: any name that the kernel takes.

    Raises:
        InputError: The kernel has no interface of that name; or it is ``lo``, which no policy is about (S44).
    """
    try:
        data = interface_bytes(name)
    except UnicodeEncodeError:
        data = b""
    if not 1 <= len(data) <= _INTERFACE_SIZE or _NOT_IN_INTERFACES & set(data) or name in {"lo", ".", ".."}:
        raise InputError(
            f"{name!r} cannot be filtered: an interface name is 1 to 15 bytes other than white space, slash and colon, "
            "not . or .., and not lo. Correct network-status",
            where=f"Pod {pod}",
            field="interface",
        )
    return name


def interface_bytes(name: str) -> bytes:
    """A name as the kernel has it; bytes that are not UTF-8 are surrogates, as in file names (PEP 383)."""
    return name.encode(errors="surrogateescape")


def interface_text(name: str) -> str:
    """A name as it stands in quotes in the text; see `is_writable`."""
    if not is_writable(name):
        return quote(interface_bytes(name), safe=SAFE)
    return f"{name[:-1]}\\*" if name.endswith("*") else name


def is_writable(name: str) -> bool:
    """Whether nft has a way to write the name: one without quotes and unprintable characters."""
    return '"' not in name and name.isprintable()


@lru_cache(maxsize=1 << 12)
def group_id(identity: str) -> str:
    """The identity of a group, checked.

    Raises:
        InputError: It does not have the form of `GroupSpec.identity`.
    """
    if not _GROUP.fullmatch(identity):
        raise InputError(f"{identity!r} is not the identity of a group: {_GROUP.pattern}", field="group")
    return identity


@frozen(kw_only=True)
class ChainName:
    """The chain for one direction of one interface, or for the replies that pass in that direction (S42).

    Attributes:
        part: A chain of its own for some of the policies' rules; 0 for the one that packets enter by.
    """

    direction: Direction
    interface: str
    replies: bool = False
    part: int = 0

    @lru_cache(maxsize=1 << 10)  # noqa: B019 - a value, not an object with a life
    def __str__(self) -> str:
        prefix = ("replies-" if self.replies else "") + self.direction.value.lower()
        prefix += f".{self.part}" if self.part else ""
        plain = _IDENTIFIER.fullmatch(self.interface)
        return f"{prefix}-{self.interface}" if plain else f"{prefix}_{interface_bytes(self.interface).hex()}"

    @classmethod
    def parse(cls, text: str) -> "ChainName | None":
        """Parse the name of a chain of ours; None for the others."""
        match = _CHAIN.fullmatch(text)
        if not match:
            return None
        interface = match["name"] or bytes.fromhex(match["hex"]).decode(errors="surrogateescape")
        direction = Direction(match["direction"].capitalize())
        return cls(
            direction=direction, interface=interface, replies=bool(match["replies"]), part=int(match["part"] or 0)
        )
