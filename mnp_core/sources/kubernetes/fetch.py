"""One pod, read ahead of its watch."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from mnp_core.closing import Closing
from mnp_core.errors import ApiError
from mnp_core.kubeapi import ApiServer
from mnp_core.model import Change, ObjectName, ObjectRef, Pod
from mnp_core.model.kinds import POD
from mnp_core.sources.decode import Decoder
from mnp_core.sources.kubernetes.codec import read_object

_THREADS: Final = 8
_CONFIRMED_SECONDS: Final = 30.0  # until the watch has to have delivered a pod, too
_NOT_FOUND: Final = 404


class PodFetcher(Closing):
    """Reads single pods and delivers them; one that the watch never delivers is taken back. Thread safe."""

    def __init__(
        self,
        api: ApiServer,
        deliver: Callable[[Sequence[Change], float], None],
        is_watched: Callable[[ObjectRef], bool],
    ) -> None:
        """Begin with nothing.

        Args:
            api: The API server.
            deliver: Called with a change and `time.monotonic()` of its arrival.
            is_watched: Whether the watch has delivered an object that still exists.
        """
        self._api = api
        self._deliver = deliver
        self._is_watched = is_watched
        self._decode = Decoder().decode
        self._threads = ThreadPoolExecutor(_THREADS, "fetch")
        self._lock = threading.Lock()
        self._unconfirmed: dict[ObjectRef, float] = {}

    def fetch(self, name: ObjectName) -> "Future[Pod | None]":
        """Read a pod and deliver it; None if it does not exist. The future raises the errors of `ApiServer.get`."""
        return self._threads.submit(self._fetch, name)

    def _fetch(self, name: ObjectName) -> Pod | None:
        try:
            raw = self._api.get(f"/api/v1/namespaces/{name.namespace}/pods/{name.name}")
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        found = read_object(raw, POD.kind)
        change = self._decode({**found, "apiVersion": "v1", "kind": POD.kind}) if found is not None else None
        if change is None or not isinstance(change.object, Pod) or change.object.name != name:
            return None
        with self._lock:
            self._unconfirmed[change.ref] = time.monotonic() + _CONFIRMED_SECONDS
        self._deliver([change], time.monotonic())
        return change.object

    def tend(self) -> None:
        """Take back pods that the watch has not delivered; to be called about every second."""
        now = time.monotonic()
        with self._lock:
            due = [ref for ref, deadline in self._unconfirmed.items() if deadline <= now]
            for ref in due:
                del self._unconfirmed[ref]
        gone = [Change(ref=ref, object=None) for ref in due if not self._is_watched(ref)]
        if gone:
            self._deliver(gone, now)

    def close(self) -> None:
        """Start no more requests."""
        self._threads.shutdown(wait=False, cancel_futures=True)
