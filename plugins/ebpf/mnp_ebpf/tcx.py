"""Programs at hooks by TCX (Linux 6.6)."""

import errno
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from mnp_core.model import Direction
from mnp_ebpf.bpf import PROG_ATTACH, PROG_DETACH, PROG_QUERY, Buffer, call
from mnp_ebpf.hooks import LOOPBACK, Hook, both, read_places
from mnp_ebpf.program_info import closing, open_program
from mnp_ebpf.table import Table

_POINTS: Final = {Direction.INGRESS: 46, Direction.EGRESS: 47}  # BPF_TCX_INGRESS, BPF_TCX_EGRESS
_FIRST: Final = 1 << 3  # BPF_F_BEFORE, before all
_MOST: Final = 64  # programs at one hook: BPF_MPROG_MAX
_ATTACH = struct.Struct("=IIIIIIQ")
_QUERY = struct.Struct("=IIIIQI4xQQQQ")
_GONE: Final = frozenset({errno.ENOENT, errno.ENODEV})


class Tcx:
    """TCX: each interface has both hooks, in front of traffic control; see `mnp_ebpf.hooks.Attacher`."""

    name = "TCX"

    def check(self) -> None:
        """Ask for the programs at ``lo``."""
        try:
            self.attached(Hook(index=LOOPBACK, direction=Direction.INGRESS))
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise OSError(error.errno, "TCX needs Linux 6.6") from error
            raise

    def locate(self, table: Table, links: Mapping[str, int]) -> Table:
        """All packets pass the hooks of the interface itself."""
        return table.at(read_places(table, links))

    def further(self, table: Table) -> Iterable[Hook]:
        """Both of each."""
        return [hook for index in (LOOPBACK, *(each.index for each in table.others)) for hook in both(index)]

    def hooks(self, links: Mapping[str, int]) -> Iterable[Hook]:
        """Both of each."""
        return [hook for index in links.values() for hook in both(index)]

    def attached(self, hook: Hook) -> Sequence[int]:
        """Query them."""
        found = Buffer(4 * _MOST)
        asked = _QUERY.pack(hook.index, _POINTS[hook.direction], 0, 0, found.address, _MOST, 0, 0, 0, 0)
        result, answer = call(PROG_QUERY, asked, expected=_GONE)
        return struct.unpack_from(f"={_QUERY.unpack(answer)[5]}I", found.data) if result == 0 else ()

    def attach(self, hook: Hook, program: int) -> None:
        """Put it first."""
        call(PROG_ATTACH, _ATTACH.pack(hook.index, program, _POINTS[hook.direction], _FIRST, 0, 0, 0))

    def detach(self, hook: Hook, identity: int) -> None:
        """Take it away."""
        with suppress(FileNotFoundError), closing(open_program(identity)) as program:
            attributes = _ATTACH.pack(hook.index, program, _POINTS[hook.direction], 0, 0, 0, 0)
            call(PROG_DETACH, attributes, expected=_GONE)

    def state(self, links: Mapping[str, int]) -> bytes:
        """The programs at all hooks."""
        return repr([self.attached(hook) for index in (LOOPBACK, *links.values()) for hook in both(index)]).encode()
