"""The part of the rules in the log of denied packets: a statement to NFLOG in front of the verdict."""

import re
from enum import StrEnum
from typing import Final

from mnp_core.classes import frozen
from mnp_core.model.policy import Direction

LARGEST_PREFIX: Final = 63
"""Bytes of a prefix that every backend can write: ``struct xt_nflog_info`` holds 64 with the NUL."""

_MARK: Final = re.compile(
    r"mnp (?P<verdict>denied|would-deny) (?P<direction>ingress|egress) (?P<interface>(?:[0-9a-f]{2}){1,15})"
)


class LoggedVerdict(StrEnum):
    """The fate of a logged packet."""

    DENIED = "denied"
    WOULD_DENY = "would-deny"  # it passes


@frozen(kw_only=True)
class DeniedLog:
    """A renderer writes it before the last verdict of each isolated direction, and nothing of it where there is none.

    Attributes:
        group: The NFLOG group (a number from 1 to 65535).
        rate: Packets a second that are logged of one direction of an interface; the kernel leaves out the others.
        burst: Packets that may be logged at once after a silence.
        size: Bytes of each packet that are logged, from its network header on.
    """

    group: int = 30667
    rate: int = 25
    burst: int = 50
    size: int = 128


@frozen(kw_only=True)
class LogMark:
    """The prefix of a logged packet, as text: it holds nothing but words of ours and hexadecimal digits."""

    verdict: LoggedVerdict
    direction: Direction
    interface: str

    def __str__(self) -> str:
        name = self.interface.encode(errors="surrogateescape").hex()
        return f"mnp {self.verdict} {self.direction.value.lower()} {name}"

    @classmethod
    def parse(cls, prefix: bytes) -> "LogMark | None":
        """Parse a prefix as the kernel reports it, with or without a NUL; None for one that is not ours."""
        found = _MARK.fullmatch(prefix.partition(b"\0")[0].decode("ascii", errors="replace"))
        if found is None:
            return None
        return cls(
            verdict=LoggedVerdict(found["verdict"]),
            direction=Direction(found["direction"].capitalize()),
            interface=bytes.fromhex(found["interface"]).decode(errors="surrogateescape"),
        )
