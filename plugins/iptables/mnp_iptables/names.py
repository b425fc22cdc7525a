"""Names that come from users, put into rules so that they cannot leave their place.

What could be unsafe is refused (interface names, group identities) or written in another alphabet (comments).
Everything of ours is called ``MNP-…`` (chains) or ``mnp…`` (sets), so that a fresh process finds it.
"""

import base64
import binascii
import hashlib
import re
from urllib.parse import quote, unquote

from attrs import frozen

from mnp_core.errors import InputError
from mnp_core.model import Direction
from mnp_core.model.group import GROUP_ID_LENGTH

CHAIN_PREFIX = "MNP-"
DISPATCH = {Direction.INGRESS: "MNP-INGRESS", Direction.EGRESS: "MNP-EGRESS"}
"""The chains that built-in chains jump to; they choose the chain of an interface."""

DIGEST_LENGTH = 24
"""Characters of a digest: 120 bits, and as long as a chain name (28) leaves room for."""

_COMMENT_LENGTH = 200  # bytes; xt_comment holds 255, and iptables-nft may keep them where 256 must do for everything
_HASH_LENGTH = 16
_COMMENT_SAFE = " !#$&'()+,-./:;<=>@[]^_`{|}~"  # beside letters and digits; '%' is what encodes the others

_INTERFACE = re.compile(r"[!#-)+-.0-9;-\[\]-~]{0,14}[!#-)\-.,0-9;-\[\]-~]")  # printable ASCII but space " * / : \
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,15}")
_GROUP = re.compile(rf"[a-z2-7]{{{GROUP_ID_LENGTH}}}")
_DIGEST = re.compile(rf"{CHAIN_PREFIX}([a-z2-7]{{{DIGEST_LENGTH}}})")
_CHAIN = re.compile(r"MNP-(?P<direction>[IE])(?P<part>[RNP]?)(?:-(?P<name>[A-Za-z0-9._-]+)|_(?P<code>[A-Za-z0-9_-]+))")


def interface_name(name: str) -> str:
    """The name of an interface, checked.

    Raises:
        InputError: It is no name of a Linux interface, could mean more than one (iptables reads a plus at the end as
            "whatever begins like this"), or is ``lo``, which no policy is about (S44).
    """
    if not _INTERFACE.fullmatch(name) or name in {"lo", ".", ".."}:
        raise InputError(
            f"{name!r} cannot be policed by iptables: an interface name is 1 to 15 printable ASCII characters other "
            'than space " * / : \\, without + at its end, and not lo',
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


def short_hash(text: str, length: int) -> str:
    """A hash in the alphabet ``a-z2-7``."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:length]


def digest_chain(digest: str) -> str:
    """The chain whose name says which ruleset is in force."""
    return CHAIN_PREFIX + digest


def parse_digest(chain: str) -> str | None:
    """The digest that a chain's name says; None for other chains."""
    match = _DIGEST.fullmatch(chain)
    return match[1] if match else None


@frozen(kw_only=True)
class ChainName:
    """A chain for one direction of one interface.

    Attributes:
        part: Empty where packets enter; ``R`` for replies that are judged (S42), ``N`` for what is judged like new,
            ``P`` for the policies, after custom rules.
    """

    direction: Direction
    interface: str
    part: str = ""

    def __str__(self) -> str:
        prefix = f"{CHAIN_PREFIX}{self.direction.value[0]}{self.part}"
        if _PLAIN.fullmatch(self.interface):
            return f"{prefix}-{self.interface}"
        return f"{prefix}_{base64.urlsafe_b64encode(self.interface.encode()).decode().rstrip('=')}"

    @classmethod
    def parse(cls, text: str) -> "ChainName | None":
        """What a chain of ours is for; None for the others."""
        match = _CHAIN.fullmatch(text)
        interface = match and (match["name"] or _decoded(match["code"]))
        if not match or not interface:
            return None
        direction = Direction.INGRESS if match["direction"] == "I" else Direction.EGRESS
        return cls(direction=direction, interface=interface, part=match["part"])


def _decoded(code: str) -> str:
    try:
        return base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)).decode(errors="replace")
    except binascii.Error:
        return ""


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
