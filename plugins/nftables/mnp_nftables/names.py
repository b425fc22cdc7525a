"""Names that come from users, put into a ruleset so that they cannot leave their place.

An nft string in quotes has no escapes: a quote ends it, whatever stands before, and an asterisk at its end makes it a
prefix. So what could be unsafe is refused (interface names, groups) or written in another alphabet (comments).
"""

import hashlib
import re
from urllib.parse import quote, unquote

from attrs import frozen

from mnp_core.errors import InputError
from mnp_core.model import Direction, ObjectName
from mnp_core.model.group import GROUP_ID_LENGTH

_COMMENT_LENGTH = 128  # bytes that the kernel keeps with a rule for libnftables (NFTNL_UDATA_COMMENT_MAXLEN)
_HASH_LENGTH = 16
_COMMENT_SAFE = " !#$&'()+,-./:;<=>@[]^_`{|}~"  # beside letters and digits; '%' is what encodes the others

_INTERFACE = re.compile(r"[!#-)+-.0-9;-\[\]-~]{1,15}")  # printable ASCII but space " * / : \
_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]+")  # nft takes these as they are
_GROUP = re.compile(rf"[a-z2-7]{{{GROUP_ID_LENGTH}}}")
_CHAIN = re.compile(r"(?P<replies>replies-)?(?P<direction>ingress|egress)(?:-(?P<name>.+)|_(?P<hex>(?:[0-9a-f]{2})+))")


def interface_name(name: str, *, pod: ObjectName) -> str:
    """The name of an interface, checked.

    Raises:
        InputError: It is no name of a Linux interface, could mean more than one, or is ``lo``, which no policy is
            about (S44).
    """
    if not _INTERFACE.fullmatch(name) or name in {"lo", ".", ".."}:
        raise InputError(
            f"{name!r} cannot be policed: an interface name is 1 to 15 printable ASCII characters other than "
            'space " * / : \\, and not lo',
            where=f"Pod {pod}",
            field="interface",
        )
    return name


def group_id(identity: str) -> str:
    """The identity of a group, checked.

    Raises:
        InputError: It is not what `GroupSpec.identity` gives.
    """
    if not _GROUP.fullmatch(identity):
        raise InputError(f"{identity!r} is not the identity of a group: {_GROUP.pattern}", field="group")
    return identity


@frozen(kw_only=True)
class ChainName:
    """The chain for one direction of one interface, or for the replies that pass in that direction (S42)."""

    direction: Direction
    interface: str
    replies: bool = False

    def __str__(self) -> str:
        prefix = ("replies-" if self.replies else "") + self.direction.value.lower()
        plain = _IDENTIFIER.fullmatch(self.interface)
        return f"{prefix}-{self.interface}" if plain else f"{prefix}_{self.interface.encode().hex()}"

    @classmethod
    def parse(cls, text: str) -> "ChainName | None":
        """What a chain of ours is for; None for the others."""
        match = _CHAIN.fullmatch(text)
        if not match:
            return None
        interface = match["name"] or bytes.fromhex(match["hex"]).decode(errors="replace")
        direction = Direction(match["direction"].capitalize())
        return cls(direction=direction, interface=interface, replies=bool(match["replies"]))


def comment(text: str) -> str:
    """A text as the comment of a rule: whatever is not plain ASCII is percent-encoded, what is too long is cut.

    A text that was cut ends in a hash of the whole, so that different texts stay different.
    """
    encoded = quote(text, safe=_COMMENT_SAFE, errors="surrogatepass")
    if len(encoded) <= _COMMENT_LENGTH:
        return encoded
    digest = hashlib.sha256(encoded.encode()).hexdigest()[:_HASH_LENGTH]
    kept = encoded[: _COMMENT_LENGTH - _HASH_LENGTH - 1]
    return f"{re.sub('%.?$', '', kept)}~{digest}"


def comment_text(encoded: str) -> str:
    """What `comment` was made from, as far as it was kept."""
    return unquote(encoded)
