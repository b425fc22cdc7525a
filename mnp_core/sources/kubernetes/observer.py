"""What a source tells beside changes."""

from typing import Protocol

from attrs import frozen


@frozen(kw_only=True)
class ObjectIdentity:
    """What an Event needs to know of the object that it is about, beside its kind and name.

    Attributes:
        api_version: As it was read, for example ``k8s.cni.cncf.io/v1beta1``.
        uid: ``metadata.uid``.
    """

    api_version: str
    uid: str


class SourceObserver(Protocol):
    """Told what happens to the source. Called on watcher threads, several at once: be quick, and do not raise."""

    def watch_restarted(self, kind: str, cause: str) -> None:
        """A watch of a kind ended before its time, and is begun again.

        Args:
            kind: For example ``Pod``.
            cause: A stable word for metrics: ``gone`` (410), ``cut`` (or no connection), ``stalled``, ``garbled``,
                ``oversized`` (an answer is larger than what is read),
                ``refused`` (401, 403), ``unserved`` (404), ``unavailable`` (429, 5xx and all other errors).
        """

    def listed(self, kind: str, count: int) -> None:
        """All objects of a kind were read; there are so many."""

    def refused(self, kind: str, sentence: str) -> None:
        """The API server does not let us read a kind (401, 403).

        Args:
            kind: For example ``Pod``.
            sentence: What is refused, and the rule that a ClusterRole lacks.
        """
