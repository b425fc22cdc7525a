"""The sandboxes with attachments that passed the gate, until the last of these goes."""

import threading
from typing import Final

from attrs import frozen

from mnp_core.api import PodStart

_MOST: Final = 4096  # far more than a node has: ends that never come must not fill the memory


@frozen
class _Known:
    start: PodStart
    interfaces: set[str]


class Sandboxes:
    """Counts attachments. Thread safe.

    The end of one attachment is not the pod's: a controller may detach a network while the pod runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def add(self, container: str, start: PodStart) -> None:
        """Record an attachment of a sandbox."""
        with self._lock:
            known = self._known.setdefault(container, _Known(start, set()))
            known.interfaces.update(interface.name for interface in start.interfaces)
            if len(self._known) > _MOST:
                del self._known[next(iter(self._known))]

    def remove(self, container: str, interface: str) -> PodStart | None:
        """Record the end of an attachment; the sandbox if it was its last."""
        with self._lock:
            known = self._known.get(container)
            if known is None:
                return None
            known.interfaces.discard(interface)
            return None if known.interfaces else self._known.pop(container).start
