"""Observation of a source, beside its changes."""

from typing import Protocol

from mnp_core.classes import frozen


@frozen(kw_only=True)
class ObjectIdentity:
    """The involved object of an Event, beside its kind and name.

    Attributes:
        api_version: As it was read, for example ``k8s.cni.cncf.io/v1beta1``.
        uid: ``metadata.uid``.
    """

    api_version: str
    uid: str


class SourceObserver(Protocol):
    """Observer of a source. Called on watcher threads, several at once: be quick, and do not raise."""

    def watch_restarted(self, kind: str, cause: str) -> None:
        """A watch of a kind ended before its time, and is begun again.

        Args:
            kind: For example ``Pod``.
            cause: A stable word for metrics: ``gone`` (410), ``cut`` (or no connection), ``stalled``, ``garbled``,
                ``oversized`` (an answer over the size limit),
                ``refused`` (401, 403), ``unserved`` (404), ``unavailable`` (429, 5xx and all other errors).
        """

    def listed(self, kind: str, count: int) -> None:
        """All objects of a kind were read; there are so many."""

    def refused(self, kind: str, sentence: str) -> None:
        """The API server does not let us read a kind (401, 403).

        Args:
            kind: For example ``Pod``.
            sentence: The refused request, and the rule that a ClusterRole lacks.
        """
