"""The requests of the project to an API server."""

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from mnp_core.errors import ApiUnreachableError

Params = Mapping[str, str]
"""The query of a request, not yet encoded."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"  # RFC 7386
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"  # of built-in kinds only


MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Bytes of one answer, or of one line of a stream. An API server keeps no object that is larger than some 1.5 MB."""


class TooLargeError(ApiUnreachableError):
    """An answer is over the size limit; a list can be requested in smaller pages."""

    def __init__(self) -> None:
        super().__init__(f"the answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB")


class Stream(Protocol):
    """An answer that is read line by line while it is written: a watch, or a large list.

    The request is sent when the context is entered, so that `close` on another thread ends it at any time.

    """

    @property
    def received_at(self) -> float:
        """`time.monotonic()` when the first byte of the line that was given last had come."""

    def __enter__(self) -> Self:
        """Send the request and wait for the head of the answer.

        Raises:
            ApiError: The server refuses.
            ApiUnreachableError: It does not answer, or `close` was called.
        """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the connection back."""

    def __iter__(self) -> Self:
        """The lines, once."""

    def __next__(self) -> bytes:
        """The next line, without its end. The last may lack its end, and be cut.

        Raises:
            ApiUnreachableError: The connection broke, nothing came for too long, or `close` was called.
            StopIteration: The answer is complete.
        """

    def close(self) -> None:
        """End it, also while another thread waits in it. May be called on any thread, at any time, repeatedly."""


class ApiServer(Protocol):
    """Requests to one API server. Safe to be used on many threads.

    Paths are absolute (``/api/v1/pods``), bodies are JSON values. Every method raises
    `mnp_core.errors.ApiError` when the server refuses and `mnp_core.errors.ApiUnreachableError` when there is no
    answer; nothing is tried twice, that is the caller's decision.
    """

    def get(self, path: str, params: Params | None = None) -> bytes:
        """Read."""

    def stream(self, path: str, params: Params | None = None) -> Stream:
        """Read line by line; see `Stream`. Nothing is sent yet."""

    def post(self, path: str, body: Mapping[str, object]) -> bytes:
        """Create; returns the object as stored."""

    def patch(self, path: str, body: Mapping[str, object], content_type: str = MERGE_PATCH) -> bytes:
        """Change; returns the object as stored."""

    def delete(self, path: str) -> bytes:
        """Delete; returns the object, or the status of its deletion."""
