"""What an Event says, and how it is written."""

import hashlib
from enum import StrEnum
from typing import Final, Protocol

from attrs import field, frozen

from mnp_core.api import Outcome
from mnp_core.model import ObjectRef, Reason, Report
from mnp_core.telemetry.text import printable, shorten

COMPONENT: Final = "multi-network-policy-node"
LONGEST_MESSAGE: Final = 1024  # bytes; longer ones are refused by events.k8s.io
_LONGEST_NAME: Final = 253  # of an object, RFC 1123 subdomain
_DIGITS: Final = 16
DRIFT_MENDED: Final = "DriftMended"  # S63; other reasons are those of reports


class Fate(StrEnum):
    """What became of a notice."""

    CREATED = "created"  # an Event was made
    REPEATED = "repeated"  # its Event says that it is so again
    KNOWN = "known"  # another node has made the Event
    LIMITED = "limited"  # put off: the object has too many Events already
    DROPPED = "dropped"  # there are too many notices
    REFUSED = "refused"  # by the API server, for good
    FAILED = "failed"  # no answer, or not now: tried again


class Identity(Protocol):
    """What an Event names an object by, beside its kind and name; `mnp_core.sources` knows it."""

    @property
    def api_version(self) -> str:
        """For example ``k8s.cni.cncf.io/v1beta1``."""

    @property
    def uid(self) -> str:
        """``metadata.uid``."""


@frozen(kw_only=True)
class Notice:
    """One thing to be said about one object.

    Attributes:
        about: The object.
        reason: A word in CamelCase.
        message: One or two sentences.
        sort: Tells notices of one object and reason apart; part of the Event's name.
    """

    about: ObjectRef
    reason: str
    message: str = field(eq=False)
    sort: str

    @classmethod
    def of_report(cls, report: Report) -> "Notice":
        """What is wrong with an object: the same words on every node, so the same Event.

        Of a pod that rules cannot be written for there is one, whatever its words: only its node tells of it.
        """
        place = f"{report.field}: " if report.field else ""
        message = _fit(f"{place}{report.message}. {report.remedy}.")
        sort = "" if report.reason is Reason.ENFORCEMENT_FAILED else message
        return cls(about=report.about, reason=report.reason.value, message=message, sort=sort)

    @classmethod
    def of_drift(cls, outcome: Outcome, run: str) -> "Notice":
        """Somebody had changed the rules in a pod."""
        message = "Somebody had changed the rules in this pod's network namespace; they were put back."
        about = ObjectRef("Pod", outcome.pod)
        return cls(about=about, reason=DRIFT_MENDED, message=message, sort=run)

    @property
    def namespace(self) -> str:
        """Of the Event: that of the object; an object without one has its Events in ``default``."""
        return self.about.name.namespace or "default"

    def event_name(self, identity: Identity) -> str:
        """The same for every node that says the same of the same object."""
        text = "\0".join((self.about.kind, identity.uid, self.reason, self.sort))
        digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:_DIGITS]
        readable = self.about.name.name[: _LONGEST_NAME - _DIGITS - 1].rstrip("-.")
        return f"{readable}.{digest}"

    def event(self, identity: Identity, *, node: str, time: str, count: int) -> dict[str, object]:
        """The Event as an object of the API (core/v1).

        Args:
            identity: Of the object.
            node: Who says it.
            time: Now, as in ``2026-01-31T12:00:00Z``.
            count: How often it happened.
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

    def again(self, *, time: str, count: int) -> dict[str, object]:
        """What changes in the Event when it is said once more (RFC 7386)."""
        return {"message": self.message, "lastTimestamp": time, "count": count}


def _fit(text: str) -> str:
    return shorten(printable(text), LONGEST_MESSAGE)
