"""Listings of interfaces, addresses and filters in a sandbox, limited in number."""

from collections.abc import Iterator
from typing import Final

from mnp_core.errors import SandboxError
from mnp_core.netfilter.netlink import Netlink

MOST: Final = 1 << 14
"""Messages of one listing. A pod with more interfaces, addresses or rules has them to do harm."""


def listed(kernel: Netlink, kind: int, body: bytes) -> Iterator[bytes]:
    """List objects: the body of each message; errors as `Netlink.dump_bodies`.

    Raises:
        SandboxError: More than `MOST`.
    """
    for count, message in enumerate(kernel.dump_bodies(kind, body)):
        if count == MOST:
            raise SandboxError(f"there are more than {MOST} of them, which is beyond all bounds")
        yield message
