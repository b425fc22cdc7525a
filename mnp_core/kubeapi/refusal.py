"""Refusals of an API server (meta/v1 Status), as errors."""

from collections.abc import Mapping

import msgspec

from mnp_core.errors import ApiError

_LONGEST = 500  # characters of an answer that is no Status: a proxy's page, perhaps
_LONGEST_PAUSE = 300.0  # seconds; a server that asks for more is asked again sooner


class _Details(msgspec.Struct):
    retry_after: int = msgspec.field(default=0, name="retryAfterSeconds")


class _Status(msgspec.Struct):
    reason: str | None = ""
    message: str | None = ""
    details: _Details | None = None


_status = msgspec.json.Decoder(_Status)  # at import: two threads that decode to a new type at once crash msgspec


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error for an answer that is none of 2xx."""
    try:
        told = _status.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        told = _Status(message=body[:_LONGEST].decode(errors="replace").strip())
    asked = told.details.retry_after if told.details is not None else 0
    message = told.message or "no reason was given"
    return ApiError(status, told.reason or "", message, _pause(headers.get("Retry-After"), asked))


def _pause(header: str | None, asked: int) -> float | None:
    """Seconds to wait; a date, which API servers do not send, is no number and left out."""
    try:
        seconds = float(header or asked)
    except ValueError:
        seconds = float(asked)
    return min(seconds, _LONGEST_PAUSE) if seconds > 0 else None
