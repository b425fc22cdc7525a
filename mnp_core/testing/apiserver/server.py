"""An API server in this process: its objects and its failures."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from mnp_core.testing.apiserver.faults import Fault
from mnp_core.testing.apiserver.http import HttpServer
from mnp_core.testing.apiserver.store import Object, Selector, ServedResource, Store

_GROUP = "k8s.cni.cncf.io"


class FakeApiServer:
    """An API server on a free port of 127.0.0.1. A context manager; everything may be called on any thread.

    Attributes:
        store: The objects.
        resources: Served resources by plural; `serve` and `unserve` change it.
        ready: The answer of /readyz.
        tokens: Accepted bearer tokens; None accepts every request.
        requests: Method and path of every request that came, with its query.
        authorizations: The header Authorization of each of them.
        bodies: Of POST and PATCH.
        unknown_fields: Fields that no field selector may name, as with older servers.
        bookmark_every: Seconds between bookmarks of a watch.
        epoch: Counts how often all watches were ended.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Take a port; with a context, speak TLS."""
        self.store = Store()
        self.resources = {
            each.plural: each
            for each in (
                ServedResource("", "Pod", "pods", ("v1",)),
                ServedResource("", "Namespace", "namespaces", ("v1",)),
                ServedResource(_GROUP, "NetworkAttachmentDefinition", "network-attachment-definitions", ("v1",)),
                ServedResource(_GROUP, "MultiNetworkPolicy", "multi-networkpolicies", ("v1beta1",)),
            )
        }
        self.ready = True
        self.tokens: frozenset[str] | None = None
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        self.bodies: list[Any] = []
        self.unknown_fields: frozenset[str] = frozenset()
        self.bookmark_every = 60.0
        self._forbidden: set[tuple[str, str]] = set()
        self._faults: list[list[Any]] = []
        self.epoch = 0
        self._sockets: set[socket.socket] = set()
        self._server = HttpServer(self, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.stopping.set()
        self.cut()
        self._server.server_close()

    # --- objects -------------------------------------------------------------------------------------------------

    def put(self, plural: str, given: Mapping[str, Any]) -> Object:
        """Create or replace an object; gives it with version and UID."""
        return self.store.put(plural, given)

    def delete(self, plural: str, name: str, namespace: str = "") -> None:
        """Remove an object."""
        self.store.delete(plural, name, namespace)

    def compact(self) -> None:
        """Forget the history, as etcd does now and then: who watches from an older version gets 410."""
        self.store.compact()

    def serve(self, resource: ServedResource) -> None:
        """Serve a resource, in exactly these versions from now on; watches of it end."""
        self.resources[resource.plural] = resource
        self.end_watches()

    def unserve(self, plural: str) -> None:
        """Delete the CRD: its objects go first, then it is not served."""
        self.store.drop(plural)
        del self.resources[plural]
        self.end_watches()

    # --- failures ------------------------------------------------------------------------------------------------

    def forbid(self, plural: str, *verbs: str) -> None:
        """Refuse these verbs (``list``, ``watch``) for a resource from now on."""
        self._forbidden |= {(plural, verb) for verb in verbs}

    def permit(self, plural: str) -> None:
        """Refuse nothing of a resource any more."""
        self._forbidden = {each for each in self._forbidden if each[0] != plural}

    def fail(self, fault: Fault) -> None:
        """Let the next requests that it fits fail."""
        self._faults.append([fault, fault.times])

    def heal(self) -> None:
        """Let no more requests fail."""
        self._faults.clear()

    def end_watches(self) -> None:
        """End all watches in order, as a server does that shuts down."""
        with self.store.changed:
            self.epoch += 1
            self.store.changed.notify_all()

    def cut(self) -> None:
        """Break every connection."""
        self.end_watches()
        for each in list(self._sockets):
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    # --- for the handlers ---------------------------------------------------------------------------------------

    def fault(self, path: str, *, watch: bool) -> Fault | None:
        """The fault that hits a request, which counts as hit by it."""
        for entry in list(self._faults):
            fault: Fault = entry[0]
            if entry[1] > 0 and fault.path in path and fault.watch in (None, watch):
                entry[1] -= 1
                return fault
        return None

    def may(self, plural: str, verb: str) -> bool:
        """Whether this is permitted."""
        return (plural, verb) not in self._forbidden

    def events(
        self, plural: str, version: int, selector: Selector, *, epoch: int, end: float
    ) -> Iterator[tuple[str, Object]]:
        """Events of a watch from a version on, until its time is up or the epoch of its start ends."""
        bookmark = time.monotonic() + self.bookmark_every
        while time.monotonic() < end:
            with self.store.changed:
                if epoch != self.epoch:
                    return
                told, version = self.store.since(plural, version, selector)
                if not told:
                    self.store.changed.wait(max(0.0, min(end, bookmark) - time.monotonic()))
            yield from told
            if time.monotonic() >= bookmark:
                bookmark = time.monotonic() + self.bookmark_every
                yield "BOOKMARK", {"metadata": {"resourceVersion": str(version)}}

    def take(self, connection: socket.socket) -> None:
        """Know of a connection."""
        self._sockets.add(connection)

    def leave(self, connection: socket.socket) -> None:
        """It is closed."""
        self._sockets.discard(connection)
