"""The paths that packets of local pods' attachments were seen to take, where these are not the ordinary one.

A path once found stays until another one replaces it, or until the pod or its attachments change: a link that leaves a
bridge for a moment and comes back meets the rules that it left.
"""

from collections.abc import Iterable

from attrs import evolve

from mnp_core.model import Attachment, LinkPath, ObjectName

_Key = tuple[ObjectName, str]
_Found = tuple[LinkPath, str]


class ObservedPaths:
    """Path and carrier by pod, network and interface. Not thread-safe: the cluster state owns it."""

    def __init__(self) -> None:
        """Start without pods."""
        self._pods: dict[ObjectName, dict[_Key, _Found]] = {}

    def put(self, pod: ObjectName, attachments: Iterable[Attachment]) -> bool:
        """Record the paths of a pod's attachments; return whether one is new."""
        before = self._pods.get(pod, {})
        found = {_key(each): (each.path, each.carrier) for each in attachments if each.path is not LinkPath.IP}
        now = before | found
        if now == before:
            return False
        self._pods[pod] = now
        return True

    def forget(self, pod: ObjectName) -> None:
        """Forget a pod."""
        self._pods.pop(pod, None)

    def of(self, pod: ObjectName, claims: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
        """The claims of a pod, with the paths that were seen."""
        paths = self._pods.get(pod)
        return tuple(_with_path(claim, paths.get(_key(claim))) for claim in claims) if paths else claims


def _key(attachment: Attachment) -> _Key:
    return attachment.network, attachment.interface


def _with_path(claim: Attachment, found: _Found | None) -> Attachment:
    return claim if found is None else evolve(claim, path=found[0], carrier=found[1])
