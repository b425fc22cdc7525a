"""Hooks of interfaces, at which packets meet programs; and what a mechanism that attaches them has to do."""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from attrs import frozen

from mnp_core.model import Direction
from mnp_ebpf.table import Place, Table

LOOPBACK: Final = 1
"""The index of ``lo``, in every namespace."""

_SIOCGIFHWADDR: Final = 0x8927
_ETHERNET: Final = 1  # ARPHRD_ETHER
_BARE: Final = frozenset({0xFFFE, 519, 512})  # ARPHRD_NONE, ARPHRD_RAWIP, ARPHRD_PPP: packets without a header


@frozen(kw_only=True)
class Hook:
    """Where packets that an interface receives, or sends, meet programs."""

    index: int
    direction: Direction


class Attacher(Protocol):
    """A mechanism of the kernel, in the network namespace of the calling thread.

    What it attaches is held by the interface alone: without a pin or a process, and it ends with the interface.
    """

    name: str

    def check(self) -> None:
        """Make sure that this kernel has it; changes nothing.

        Raises:
            OSError: It does not; the text says what is missing.
        """

    def locate(self, table: Table, links: Mapping[str, int]) -> Table:
        """The table with the interfaces as they are, and where their packets are judged.

        Raises:
            ApplyError: There is no hook for all packets that rules are about.
            OSError: Frames of an interface have another form than this plugin reads; or the kernel refuses.
        """

    def further(self, table: Table) -> Iterable[Hook]:
        """Hooks at ``lo``, which has the maps, and at interfaces that no rules are about, for their connections."""

    def hooks(self, links: Mapping[str, int]) -> Iterable[Hook]:
        """All hooks at which programs may be, but for those at ``lo``."""

    def attached(self, hook: Hook) -> Sequence[int]:
        """The numbers of the programs at a hook, in the order in which packets meet them; 0: no program.

        None if the hook, or the interface, is not there.
        """

    def attach(self, hook: Hook, program: int) -> None:
        """Put a program, by its descriptor, before all others.

        Raises:
            OSError: The kernel refuses, or something stands in front that has to stay.
        """

    def detach(self, hook: Hook, identity: int) -> None:
        """Take a program away, by its number; nothing there is no error."""

    def state(self, links: Mapping[str, int]) -> bytes:
        """What differs whenever programs, or what decides on their places, were changed."""


def hooks_of(place: Place) -> Iterator[tuple[Hook, Direction]]:
    """The hooks for an interface with rules, and the direction of the rules that hold at each."""
    if place.index:
        yield Hook(index=place.index, direction=Direction.INGRESS), Direction.INGRESS
        if place.sources is None:
            yield Hook(index=place.index, direction=Direction.EGRESS), Direction.EGRESS
        for source in place.sources or ():
            yield Hook(index=source.index, direction=Direction.INGRESS), Direction.EGRESS


def both(index: int) -> Iterator[Hook]:
    """Both hooks of an interface."""
    return (Hook(index=index, direction=direction) for direction in Direction)


def links() -> Mapping[str, int]:
    """The interfaces by name, without ``lo``."""
    return {name: index for index, name in socket.if_nameindex() if index != LOOPBACK}


def read_places(table: Table, links: Mapping[str, int]) -> Mapping[str, Place]:
    """The interfaces that are there; those that cannot be read are left out, unless rules are about them.

    Raises:
        OSError: Rules are about such a one.
    """
    named, found = {each.link for each in table.interfaces}, {}
    for name, index in links.items():
        try:
            found[name] = read_place(name, index)
        except OSError:
            if name in named:
                raise
    return found


def read_place(name: str, index: int) -> Place:
    """Where an interface is.

    Raises:
        OSError: Its frames have another form than this plugin reads.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        answer = fcntl.ioctl(asked, _SIOCGIFHWADDR, os.fsencode(name).ljust(40, b"\0"))
    (kind,) = struct.unpack_from("=H", answer, 16)
    if kind != _ETHERNET and kind not in _BARE:
        raise OSError(errno.EOPNOTSUPP, f"interface {name!r} has frames of type {kind}, which this backend cannot read")
    return Place(index=index, ethernet=kind == _ETHERNET)
