"""The content of an Event and its encoding."""

import hashlib
from enum import StrEnum
from typing import Final, Protocol

from attrs import field

from mnp_core.api import Outcome
from mnp_core.classes import frozen
from mnp_core.model import ObjectRef, Reason, Report
from mnp_core.telemetry.text import printable, shorten

COMPONENT: Final = "multi-network-policy-node"
MAX_MESSAGE_BYTES: Final = 1024  # bytes; longer ones are refused by events.k8s.io
_MAX_NAME_LENGTH: Final = 253  # of an object, RFC 1123 subdomain
_DIGEST_DIGITS: Final = 16
DRIFT_MENDED: Final = "DriftMended"  # S63; other reasons are those of reports


class EventResult(StrEnum):
    """Result of sending an Event."""

    CREATED = "created"
    REPEATED = "repeated"  # the count of an existing Event was raised
    KNOWN = "known"  # another node has created the Event
    LIMITED = "limited"  # postponed: rate limit of the object
    DROPPED = "dropped"  # the queue is full
    REFUSED = "refused"  # by the API server, permanently
    FAILED = "failed"  # no answer, or a temporary refusal: will be retried


class Identity(Protocol):
    """An object's ``apiVersion`` and ``uid``, which an Event refers to; provided by `mnp_core.sources`."""

    @property
    def api_version(self) -> str:
        """For example ``k8s.cni.cncf.io/v1beta1``."""

    @property
    def uid(self) -> str:
        """``metadata.uid``."""


@frozen(kw_only=True)
class PendingEvent:
    """An Event that is not sent yet.

    Attributes:
        about: The object.
        reason: A word in CamelCase.
        message: One or two sentences.
        sort: Distinguishes Events of one object and reason; part of the Event's name.
    """

    about: ObjectRef
    reason: str
    message: str = field(eq=False)
    sort: str

    @classmethod
    def of_report(cls, report: Report) -> "PendingEvent":
        """An object's problem: the same text on every node, hence the same Event.

        `EnforcementFailed` is one Event per pod, with any message: only the pod's node reports it.
        """
        place = f"{report.field}: " if report.field else ""
        message = _fit(f"{place}{report.message}. {report.remedy}.")
        sort = "" if report.reason is Reason.ENFORCEMENT_FAILED else message
        return cls(about=report.about, reason=report.reason.value, message=message, sort=sort)

    @classmethod
    def of_drift(cls, outcome: Outcome, run: str) -> "PendingEvent":
        """Drift: the rules in a pod were changed by another process."""
        message = "The rules in this pod's network namespace were changed by another process; they have been restored."
        about = ObjectRef("Pod", outcome.pod)
        return cls(about=about, reason=DRIFT_MENDED, message=message, sort=run)

    @property
    def namespace(self) -> str:
        """Namespace of the Event: the object's, or ``default`` for a cluster-scoped object."""
        return self.about.name.namespace or "default"

    def event_name(self, identity: Identity) -> str:
        """Identical on every node that reports the same problem of the same object."""
        text = "\0".join((self.about.kind, identity.uid, self.reason, self.sort))
        digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:_DIGEST_DIGITS]
        readable = self.about.name.name[: _MAX_NAME_LENGTH - _DIGEST_DIGITS - 1].rstrip("-.")
        return f"{readable}.{digest}"

    def body(self, identity: Identity, *, node: str, time: str, count: int) -> dict[str, object]:
        """The Event as an API object (core/v1).

        Args:
            identity: Of the object.
            node: The reporting node.
            time: Now, as in ``2026-01-31T12:00:00Z``.
            count: Number of occurrences.
        """
        name = self.about.name
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": self.event_name(identity), "namespace": self.namespace},
            "involvedObject": {
                "apiVersion": identity.api_version,
                "kind": self.about.kind,
                "name": name.name,
                "uid": identity.uid,
                **({"namespace": name.namespace} if name.namespace else {}),
            },
            "type": "Warning",
            "reason": self.reason,
            "message": self.message,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": node,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": count,
        }

    def patch(self, *, time: str, count: int) -> dict[str, object]:
        """Merge patch that repeats the Event (RFC 7386)."""
        return {"message": self.message, "lastTimestamp": time, "count": count}


def _fit(text: str) -> str:
    return shorten(printable(text), MAX_MESSAGE_BYTES)
