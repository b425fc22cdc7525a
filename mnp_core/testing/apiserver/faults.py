"""The ways in which a request can fail."""

from collections.abc import Mapping

from attrs import field

from mnp_core.classes import frozen


@frozen(kw_only=True)
class Fault:
    """Something that happens to requests. This one alone closes the connection without an answer.

    Attributes:
        path: Part of the paths that are hit.
        watch: Whether watches are hit, or all else; None for both.
        times: As many requests are hit.
    """

    path: str = ""
    watch: bool | None = None
    times: int = 1


@frozen(kw_only=True)
class Answer(Fault):
    """Another status: a refusal of the server, or the page of a proxy in front of it."""

    status: int
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes | None = None  # None for a Status object


@frozen(kw_only=True)
class Cut(Fault):
    """The connection breaks after so many bytes of the body."""

    after: int


@frozen(kw_only=True)
class Garbage(Fault):
    """Status 200, and this as the body."""

    body: bytes


@frozen(kw_only=True)
class Hang(Fault):
    """Nothing is sent for so many seconds: no head (default), or a head and then nothing."""

    seconds: float = 60.0
    head: bool = False


@frozen(kw_only=True)
class Slow(Fault):
    """The body comes a few bytes at a time.

    Attributes:
        size: Bytes in a piece.
        pause: Seconds between pieces.
    """

    size: int = 1
    pause: float = 0.001
