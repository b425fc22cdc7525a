"""AdmissionReview (admission.k8s.io/v1): decodes requests of API servers, encodes responses."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.policy.lint import Finding

PATH: Final = "/validate"
"""Where API servers send reviews."""

MOST_BYTES: Final = 8 * 1024 * 1024
"""Limit of a request. It has the old and the new object, each up to about 1.5 MB, or 3 MB before pruning."""

_MOST_WARNINGS: Final = 12
_LONGEST_WARNING: Final = 256  # characters; longer ones may be cut on the way (API conventions)
_LONGEST_UID: Final = 128
_INVALID: Final = 422


class _Request(msgspec.Struct):
    uid: str
    operation: str
    name: str = ""
    namespace: str = ""
    object: dict[str, Any] | None = None
    old: dict[str, Any] | None = msgspec.field(default=None, name="oldObject")


class _Review(msgspec.Struct):
    api_version: str = msgspec.field(name="apiVersion")
    kind: str
    request: _Request


_review = msgspec.json.Decoder(_Review)


@frozen(kw_only=True)
class Review:
    """A request.

    Attributes:
        uid: Identifies the request; the response repeats it.
        object: The new object; None for a deletion.
        old: The stored object; None for a creation.
    """

    uid: str
    object: dict[str, Any] | None
    old: dict[str, Any] | None


@frozen(kw_only=True)
class Verdict:
    """A response.

    Attributes:
        refused: The findings that refuse the object; empty if it is accepted.
        warned: The findings that become warnings to the author.
        notes: Further warnings, about the review itself.
    """

    refused: tuple[Finding, ...] = ()
    warned: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def read_review(body: bytes) -> Review:
    """Decode a request.

    Raises:
        InputError: The body is no AdmissionReview of admission.k8s.io/v1.
    """
    try:
        review = _review.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InputError(f"the body is no AdmissionReview ({error!s:.200})") from None
    if review.api_version != "admission.k8s.io/v1" or review.kind != "AdmissionReview":
        raise InputError("the body is no AdmissionReview of admission.k8s.io/v1: list that version in the webhook")
    request = review.request
    if not request.uid or len(request.uid) > _LONGEST_UID:
        raise InputError("request.uid is missing, or too long")
    objects = (_with_names(each, request) for each in (request.object, request.old))
    return Review(uid=request.uid, **dict(zip(("object", "old"), objects, strict=True)))


def _with_names(found: dict[str, Any] | None, request: _Request) -> dict[str, Any] | None:
    """The object with the names of the request: a new object may lack its own."""
    if found is None:
        return None
    metadata = found.get("metadata")
    metadata = dict(metadata) if isinstance(metadata, dict) else {}
    if request.namespace:
        metadata["namespace"] = request.namespace
    metadata["name"] = metadata.get("name") or request.name or "unnamed"
    return {**found, "metadata": metadata}


def answer(uid: str, verdict: Verdict) -> bytes:
    """Encode the response to the request with this uid."""
    response: dict[str, Any] = {"uid": uid, "allowed": not verdict.refused}
    if verdict.refused:
        # Of a status with the reason Invalid, kubectl would show the details alone.
        message = "; ".join(map(_sentence, verdict.refused[:_MOST_WARNINGS]))
        response["status"] = {"code": _INVALID, "message": message}
    if warnings := [*map(_printable, verdict.notes), *_warnings(verdict.warned)]:
        response["warnings"] = warnings
    return msgspec.json.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})


def _warnings(findings: tuple[Finding, ...]) -> Iterable[str]:
    shown = [_shortened(_sentence(finding)) for finding in findings[:_MOST_WARNINGS]]
    if (rest := len(findings) - len(shown)) > 0:
        shown.append(f"and {rest} more, see kubectl mnp validate")
    return shown


def _sentence(finding: Finding) -> str:
    place = f"{finding.field}: " if finding.field else ""
    return _printable(f"{place}{finding.message}. {finding.remedy} ({finding.rule.name})")


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "�" for each in text)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_WARNING else f"{text[: _LONGEST_WARNING - 1]}…"
