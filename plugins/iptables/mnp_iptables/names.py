"""Names that come from users, put into rules so that they cannot leave their place.

Unsafe names are refused (interface names, group identities) or written in another alphabet (comments).
Everything of ours is called ``MNP-…`` (chains) or ``mnp…`` (sets), so that a fresh process finds it.
"""

import base64
import binascii
import hashlib
import re

from attrs import frozen

from mnp_core.errors import InputError
from mnp_core.model import Direction
from mnp_core.model.group import GROUP_ID_LENGTH

CHAIN_PREFIX = "MNP-"
DISPATCH = {Direction.INGRESS: "MNP-INGRESS", Direction.EGRESS: "MNP-EGRESS"}
"""The chains that built-in chains jump to; they choose the chain of an interface."""

ESTABLISHED = "established"
"""The label of what passes there, a rule without a comment: the kernel evaluates comments, too, and nearly every packet
meets this rule."""

DIGEST_LENGTH = 24
"""Characters of a digest: 120 bits, and as long as a chain name (28) leaves room for."""

COMMENT_LIMIT = 200
"""Bytes; xt_comment holds 255, and iptables-nft may keep them where 256 have to do for everything."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
_NO_INTERFACE = frozenset(b"/:\0\t\n\v\f\r \xa0")  # dev_valid_name() in net/core/dev.c
_INTERFACE_SIZE = 16  # IFNAMSIZ, with the NUL at the end
_PLACEHOLDER = "(see-the-chain)"
"""Stands in a rule for an interface name that iptables cannot write or reads as a pattern: a plus at its end means any
name that begins like this, an exclamation mark means "not". The chain of the rule has the name in base64, and the bytes
for the kernel have the name itself."""

_GROUP = re.compile(rf"[a-z2-7]{{{GROUP_ID_LENGTH}}}")
_DIGEST = re.compile(rf"{CHAIN_PREFIX}([a-z2-7]{{{DIGEST_LENGTH}}})")
_CHAIN = re.compile(
    r"MNP-(?P<direction>[IE])(?P<part>[RNPD]|[0-9a-z]{0,2})(?:-(?P<name>[A-Za-z0-9._-]+)|_(?P<code>[A-Za-z0-9_-]+))"
)


def interface_name(name: str) -> str:
    """The name of an interface, checked.

    Raises:
        InputError: It is no name of a Linux interface, or is ``lo``, which no policy is about (S44).
    """
    encoded = _encoded(name)
    if not 0 < len(encoded) < _INTERFACE_SIZE or _NO_INTERFACE & {*encoded} or name in {"lo", ".", ".."}:
        raise InputError(
            f"{name!r} is no interface that policy can be about: its name is 1 to {_INTERFACE_SIZE - 1} bytes without "
            "white space, / and :, and not lo",
            field="interface",
        )
    return name


def written_interface(name: str) -> str:
    """The name of an interface as it stands in a rule that goes to a chain of that interface."""
    return name if _PLAIN.fullmatch(name) else _PLACEHOLDER


def scope(chain: str) -> tuple[str, Direction] | None:
    """Interface and direction that a chain is about; no interface in front of them all, None for others."""
    for direction, name in DISPATCH.items():
        if chain == name:
            return "", direction
    found = ChainName.parse(chain)
    return (found.interface, found.direction) if found is not None else None


def odd_interface(chain: str, target: str) -> bytes:
    """The name of the interface in a rule that has the placeholder for it; empty for other rules."""
    found = ChainName.parse(target) if chain in DISPATCH.values() else None
    return b"" if found is None or _PLAIN.fullmatch(found.interface) else _encoded(found.interface)


def placeholder(name: bytes) -> tuple[bytes, bytes]:
    """The placeholder and its replacement, both padded with zeros as in the kernel."""
    return _PLACEHOLDER.encode().ljust(_INTERFACE_SIZE, b"\0"), name.ljust(_INTERFACE_SIZE, b"\0")


def _encoded(name: str) -> bytes:
    """As the kernel has it; bytes that are no UTF-8 are surrogates, as everywhere in Python."""
    try:
        return name.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return b""


def group_id(identity: str) -> str:
    """The identity of a group, checked.

    Raises:
        InputError: It does not have the form of `GroupSpec.identity`.
    """
    if not _GROUP.fullmatch(identity):
        raise InputError(f"{identity!r} is not the identity of a group: {_GROUP.pattern}", field="group")
    return identity


def short_hash(text: str, length: int) -> str:
    """A hash in the alphabet ``a-z2-7``."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:length]


def digest_chain(digest: str) -> str:
    """The chain that states the digest of the ruleset in force by its name."""
    return CHAIN_PREFIX + digest


def parse_digest(chain: str) -> str | None:
    """The digest that a chain's name says; None for other chains."""
    match = _DIGEST.fullmatch(chain)
    return match[1] if match else None


@frozen(kw_only=True)
class ChainName:
    """A chain for one direction of one interface.

    Attributes:
        part: Empty where packets enter; ``R`` for replies that are judged (S42), ``N`` for packets that are judged like
            new ones, ``P`` for the policies, after custom rules, ``D`` for the end of packets that nothing allows; one
            or two digits to base 36 for a chain of `mnp_iptables.render.policy_rules`.
    """

    direction: Direction
    interface: str
    part: str = ""

    def __str__(self) -> str:
        prefix = f"{CHAIN_PREFIX}{self.direction.value[0]}{self.part}"
        if _PLAIN.fullmatch(self.interface):
            return f"{prefix}-{self.interface}"
        return f"{prefix}_{base64.urlsafe_b64encode(_encoded(self.interface)).decode().rstrip('=')}"

    @classmethod
    def parse(cls, text: str) -> "ChainName | None":
        """Parse the name of a chain of ours; None for the others."""
        match = _CHAIN.fullmatch(text)
        interface = match and (match["name"] or _decoded(match["code"]))
        if not match or not interface:
            return None
        direction = Direction.INGRESS if match["direction"] == "I" else Direction.EGRESS
        return cls(direction=direction, interface=interface, part=match["part"])


def _decoded(code: str) -> str:
    try:
        return base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)).decode(errors="surrogateescape")
    except binascii.Error:
        return ""
