"""The trace of packets through the legacy tables of iptables, which the kernel writes to NFLOG group 0 (xt_TRACE).

Packets are marked by `mnp_core.netfilter.tracing`. For the time of the trace, NFLOG is the logger of both families in
the network namespace, in place of the kernel's log. That logs nothing of any but the first network namespace, unless
``net.netfilter.nf_log_all_netns`` is set; the logger from before comes back at the end, where /proc/sys is writable.
A process that is killed meanwhile leaves NFLOG as the logger, which nobody reads then.
"""

import errno
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from mnp_core.closing import Closing
from mnp_core.errors import UnsupportedError
from mnp_core.netfilter.attributes import text
from mnp_core.netfilter.nflog import GroupTakenError, Logged, bind_family, open_group, read_packets, unbind_family
from mnp_core.netfilter.tracing import Step, StepKind

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_LOGGER: Final = "/proc/sys/net/netfilter/nf_log/{}"  # of the calling thread's namespace
_SIZE: Final = 96  # bytes of a packet: its headers
_PREFIX: Final = re.compile(r"TRACE: (?P<table>[^:]+):(?P<chain>.+):(?P<kind>rule|return|policy):(?P<number>\d{1,9}) ?")
_KINDS: Final = {"rule": StepKind.RULE, "return": StepKind.RETURN, "policy": StepKind.POLICY}


class LegacyTracing(Closing):
    """Reads the trace of the legacy tables in the network namespace of the calling thread, until it is closed."""

    def __init__(self) -> None:
        """Begin.

        Raises:
            UnsupportedError: Another process reads it, or this kernel has no NFLOG.
        """
        try:
            self._reader = open_group(0, _SIZE)
        except GroupTakenError as error:
            raise UnsupportedError(
                "the trace of the legacy tables cannot be read: another process in the pod reads NFLOG group 0: stop it"
            ) from error
        except OSError as error:
            raise _no_nflog(error) from error
        self._before = {family: _logger(family) for family in _FAMILIES}
        try:
            for family in _FAMILIES:
                bind_family(self._reader, family)
        except OSError as error:
            self.close()
            raise _no_nflog(error) from error

    def end(self) -> None:
        """Bring the logger from before back; in the same network namespace, before `close`."""
        for family, logger in self._before.items():
            try:
                Path(_LOGGER.format(family)).write_text(logger, encoding="ascii")
            except OSError:  # read-only, as in most containers: none, which logs as much
                with suppress(OSError):
                    unbind_family(self._reader, family)

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()

    def fileno(self) -> int:
        """Of the socket that can be read when there are steps."""
        return self._reader.fileno()

    def read(self) -> Iterator[Step]:
        """The steps that are there; raises OSError ENOBUFS if some were lost."""
        while (packets := read_packets(self._reader)) is not None:
            for packet in packets:
                if (step := parse(packet)) is not None:
                    yield step


def _logger(family: int) -> str:
    try:
        return Path(_LOGGER.format(family)).read_text(encoding="ascii", errors="replace").strip() or "NONE"
    except OSError:
        return "NONE"


def _no_nflog(error: OSError) -> UnsupportedError:
    remedy = "modprobe nfnetlink_log" if error.errno in {errno.ENOENT, errno.EINVAL, errno.EPROTONOSUPPORT} else ""
    words = f"the trace of the legacy tables cannot be read ({error.strerror})"
    return UnsupportedError(
        f"{words}: {remedy or 'run as root with CAP_NET_ADMIN'}; or set net.netfilter.nf_log_all_netns=1 on the node,"
        " add a rule with target TRACE to the raw table in the pod, and read the kernel's log"
    )


def parse(logged: Logged) -> Step | None:
    """A step from a logged packet; None for one that is no trace."""
    found = _PREFIX.fullmatch(text(logged.prefix))
    version = logged.payload[0] >> 4 if logged.payload else 0
    if found is None or version not in {4, 6}:
        return None
    kind, number = _KINDS[found["kind"]], int(found["number"])
    return Step(
        family=socket.AF_INET if version == 4 else socket.AF_INET6,
        table=found["table"],
        chain=found["chain"],
        kind=kind,
        position=number if kind is StepKind.RULE else 0,
        packet_bytes=logged.payload,
    )
