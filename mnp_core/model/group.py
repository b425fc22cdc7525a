"""Address groups: who is behind a selector right now.

A group is shared by all rules and policies that mean the same peers, and has the same name on every pod of the
node, so that a change of membership is worked out and rendered once.
"""

import base64
import hashlib

from attrs import fields, has

from mnp_core.classes import frozen
from mnp_core.model.address import Address, Block
from mnp_core.model.policy import AnyPeer, PodPeer, Scope
from mnp_core.model.port import NamedPort, Protocol

GROUP_ID_LENGTH = 20
"""Characters of a group's identity: 100 bits, and short enough for an ipset name (31) with a prefix."""


@frozen(kw_only=True)
class GroupSpec:
    """Identity of a group: networks, selectors (with the policy's namespace where it matters) and port.

    Attributes:
        scope: Only addresses of attachments in scope count (S21).
        peer: Which pods, or, for named egress ports, in which block their address must lie (S31).
        port: None for a group of addresses; else the group holds address, protocol and port together.
    """

    scope: Scope
    peer: PodPeer | Block | AnyPeer
    port: NamedPort | None = None

    def identity(self) -> str:
        """A name that depends on the content alone: `GROUP_ID_LENGTH` characters out of ``a-z2-7``."""
        return identity_of(_canonical(self))


def identity_of(content: str) -> str:
    """The identity of a content: `GROUP_ID_LENGTH` characters out of ``a-z2-7``."""
    digest = hashlib.sha256(content.encode()).digest()
    return base64.b32encode(digest).decode().lower()[:GROUP_ID_LENGTH]


def _canonical(value: object) -> str:
    """A text that is the same for equal values in every process (sets have no order of their own)."""
    if isinstance(value, frozenset):
        return "{" + ",".join(sorted(map(_canonical, value))) + "}"
    if isinstance(value, tuple):
        return "(" + ",".join(map(_canonical, value)) + ")"
    kind = type(value)
    if has(kind):
        parts = (_canonical(getattr(value, attribute.alias or attribute.name)) for attribute in fields(kind))
        return kind.__name__ + "(" + ",".join(parts) + ")"
    return repr(str(value)) if value is not None else "-"


@frozen(kw_only=True)
class Endpoint:
    """An address with a protocol and port on it: a named egress port of one peer pod (S31)."""

    address: Address
    protocol: Protocol
    port: int

    @property
    def sort_key(self) -> tuple[int, int, int, int]:
        """A total order over both families."""
        return self.address.version, int(self.address), self.protocol, self.port


@frozen(kw_only=True)
class AddressGroup:
    """The addresses behind a GroupSpec without a port."""

    id: str
    members: frozenset[Address] = frozenset()


@frozen(kw_only=True)
class EndpointGroup:
    """The endpoints behind a GroupSpec with a port."""

    id: str
    members: frozenset[Endpoint] = frozenset()


Group = AddressGroup | EndpointGroup


@frozen(kw_only=True)
class GroupDelta:
    """A change of membership: `before` and `after` are the same group, of the same type."""

    before: Group
    after: Group

    @property
    def id(self) -> str:
        """The group's identity."""
        return self.after.id

    @property
    def added(self) -> Group:
        """The same group with the members that only `after` has."""
        return _without(self.after, self.before)

    @property
    def removed(self) -> Group:
        """The same group with the members that only `before` has."""
        return _without(self.before, self.after)


def _without(group: Group, other: Group) -> Group:
    match group, other:
        case AddressGroup(), AddressGroup():
            return AddressGroup(id=group.id, members=group.members - other.members)
        case EndpointGroup(), EndpointGroup():
            return EndpointGroup(id=group.id, members=group.members - other.members)
        case _:
            raise TypeError(f"a group of {type(other).__name__} cannot become one of {type(group).__name__}")
