"""Names that come from users: checked, or written in another alphabet."""

import os
import re
from typing import Final

from mnp_core.errors import InputError
from mnp_core.model import ObjectName
from mnp_core.model.group import GROUP_ID_LENGTH
from mnp_core.netfilter.comments import encode

LABEL_LIMIT: Final = 200
"""Bytes of the name of a rule."""

_INTERFACE_SIZE: Final = 15  # bytes, IFNAMSIZ without the end
_NOT_IN_INTERFACES: Final = frozenset(
    b"/:\t\n\v\f\r \xa0\0"
)  # dev_valid_name() of the kernel; its spaces are Latin-1's
_GROUP: Final = re.compile(rf"[a-z2-7]{{{GROUP_ID_LENGTH}}}")


def interface_name(name: str, *, pod: ObjectName) -> str:
    """Check the name of an interface.

    Raises:
        InputError: The kernel has no interface of that name; or it is ``lo``, which no policy is about (S44).
    """
    try:
        data = os.fsencode(name)
    except UnicodeEncodeError:
        data = b""
    if not 1 <= len(data) <= _INTERFACE_SIZE or _NOT_IN_INTERFACES & {*data} or name in {"lo", ".", ".."}:
        raise InputError(
            f"{name!r} is no interface that policy can be about: 1 to {_INTERFACE_SIZE} bytes other than white space, "
            "slash and colon, not . or .., and not lo. Correct network-status",
            where=f"Pod {pod}",
            field="interface",
        )
    return name


def group_id(identity: str) -> str:
    """Check the identity of a group.

    Raises:
        InputError: It does not have the form of `mnp_core.model.GroupSpec.identity`.
    """
    if not _GROUP.fullmatch(identity):
        raise InputError(f"{identity!r} is not the identity of a group: {_GROUP.pattern}", field="group")
    return identity


def label(text: str) -> str:
    """The name of a rule in one line of ASCII; `mnp_core.netfilter.comments.decode` reads it."""
    return encode(text, LABEL_LIMIT)
