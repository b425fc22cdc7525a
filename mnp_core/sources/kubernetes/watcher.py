"""One kind of object, kept up with on a thread of its own.

discover ──> list ──> watch ──┐          410 Gone: list again, deliver the differences
^          ^         ^     │          404: discover again, known objects stay
└── 404 ───┴── 410 ──┴─────┘          all else: wait, and watch on from where it was,
                                      unless the server's versions have gone back: list again
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import SystemRandom

from mnp_core.errors import ApiError, ApiUnreachableError
from mnp_core.kubeapi import ApiServer, Params, Stream
from mnp_core.kubeapi.server import MAX_ANSWER_BYTES, TooLargeError
from mnp_core.lasting import LastingThread
from mnp_core.model import Change, ObjectName
from mnp_core.sources.kubernetes.backlog import Backlog
from mnp_core.sources.kubernetes.backoff import Backoff, WatchTiming
from mnp_core.sources.kubernetes.codec import Event, Page, bookmark_version, is_older, read_event, read_head, read_page
from mnp_core.sources.kubernetes.discovery import is_undefined, served_version
from mnp_core.sources.kubernetes.observer import SourceObserver
from mnp_core.sources.kubernetes.resource import Resource
from mnp_core.sources.kubernetes.store import Entry, Store, gone
from mnp_core.sources.kubernetes.watch_error import classify, is_unknown_field

Deliver = Callable[[Sequence[Change], float], None]

PAGE_SIZE = 500
"""Objects in one answer to a list, unless they are large."""

_log = logging.getLogger(__name__)
_chance = SystemRandom()


class Watcher:
    """Follows one resource, and delivers its changes."""

    def __init__(
        self,
        api: ApiServer,
        resource: Resource,
        store: Store,
        deliver: Deliver,
        observer: SourceObserver,
        timing: WatchTiming,
    ) -> None:
        """Prepare; nothing is asked until `start`."""
        self.resource = resource
        self.store = store
        self.complete = False
        self.waiting = "it was not read yet"
        self._api = api
        self._deliver = deliver
        self._observer = observer
        self._timing = timing
        self._backoff = Backoff(timing)
        self.thread = LastingThread(f"watch-{resource.plural}", self._run)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._served: str | None = None  # the version that is read
        self._was_served = False
        self._missing_since: float | None = None
        self._position: str | None = None  # the resourceVersion up to which everything is known
        self._reachable = True  # at the last failure
        self._quiet = False  # whether the server sends no bookmarks
        self._interrupted = False  # whether the last watch ended before its time
        self._doing = "discover"
        self._page_size = PAGE_SIZE
        self._params = resource.narrower or resource.params

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def stop(self) -> None:
        """Ask the thread to end; a request that waits is given up."""
        self._stopping.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread."""
        self.thread.join(timeout)

    # --- the loop -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 # a kind that is no longer followed would be worse
                _log.exception("%s: an answer of the API server could not be processed", self.resource.kind)
                self._position = None
                self._pause(f"an unexpected error ({type(error).__name__})", self._backoff.next())

    def _turn(self) -> None:
        try:
            self._step()
        except (ApiError, ApiUnreachableError) as error:
            self._fail(error)

    def _step(self) -> None:
        self._doing = "discover"
        if self._served is None and not self._discover():
            return
        served = str(self._served)
        if self._interrupted:
            self._doing = "list"
            self._compare_position(served)
        if self._position is None:
            self._doing = "list"
            self._list(served)
        self._doing = "watch"
        self._watch(served)

    def _fail(self, error: ApiError | ApiUnreachableError) -> None:
        if self._stopping.is_set() or self._widen(error):
            return
        found = classify(error, self.resource, self._doing)
        self.waiting = found.sentence
        if found.refused:
            self._observer.refused(self.resource.kind, found.sentence)
        if self._doing == "watch":
            self._interrupted = True
            self._observer.watch_restarted(self.resource.kind, found.cause)
        if found.relist:
            self._position = None
        if found.rediscover:
            self._served = None
        self._missing_since = None
        reachable = isinstance(error, ApiError)
        if reachable and not self._reachable:
            self._backoff.reset()  # the server is back: what it refuses now is another matter
        self._reachable = reachable
        self._pause(found.sentence, max(found.pause, self._backoff.next()))

    def _widen(self, error: ApiError | ApiUnreachableError) -> bool:
        """Ask for more objects if that is because the server does not know a field; whether it is."""
        if self._params is self.resource.params or not is_unknown_field(error):
            return False
        self._params, self._position = self.resource.params, None
        return True

    def _pause(self, why: str, seconds: float) -> None:
        self.waiting = why
        self._stopping.wait(seconds)

    # --- discover -----------------------------------------------------------------------------------------------

    def _discover(self) -> bool:
        """Find the version that is served; False if there is none now."""
        version = served_version(self._get, self.resource)
        if version is None:
            self._miss()
            return False
        self._missing_since = None
        self._was_served = True
        self._served, self._position = version, None
        return True

    def _miss(self) -> None:
        """It is not served. That is believed when it has been so for some time: then there are no such objects.

        A start does not wait if the kind is not even defined: until all kinds are complete nothing is enforced.
        """
        now = time.monotonic()
        self._missing_since = self._missing_since or now
        patience = self._timing.removed_after_seconds if self._was_served else self._timing.absent_after_seconds
        if not (self.complete or self._was_served) and is_undefined(self._get, self.resource):
            patience = 0.0
        versions = " or ".join(map(self.resource.api_version, self.resource.versions))
        remedy = "it is read as soon as its CustomResourceDefinition is there"
        if now - self._missing_since < patience:
            self._pause(f"{versions} is not served: {remedy}", min(patience / 2, self._timing.rediscover_seconds[0]))
            return
        self._remove(self.store.missing_from(frozenset()), now)
        self.complete = True
        self._pause(f"{versions} is not served: {remedy}", _chance.uniform(*self._timing.rediscover_seconds))

    # --- list ---------------------------------------------------------------------------------------------------

    def _list(self, served: str) -> None:
        """Read all objects. Each page is delivered at once; objects in none of them are gone."""
        api_version = self.resource.api_version(served)
        page, received_at = self._page(served, "")
        version = page.version
        seen = self._take(page, api_version, received_at)
        while page.rest:
            page, received_at = self._page(served, page.rest)
            seen |= self._take(page, api_version, received_at)
        self._remove(self.store.missing_from(seen), received_at)
        self._position = version
        self.complete = True
        self._observer.listed(self.resource.kind, len(seen))

    def _compare_position(self, served: str) -> None:
        """List again if etcd was restored from a snapshot older than the position.

        An API server sends only events newer than the version that a watch begins at (cacheWatcher.process in
        k8s.io/apiserver): until its versions have caught up, nothing would come. Versions are given out twice then, so
        that an equal one says nothing. Asked after an interruption alone: a restore takes one.
        """
        if self._position is not None:
            body, _ = self._fetch(self.resource.path(served), {**self._params, "limit": "1"})
            if is_older(read_page(body, self.resource.api_version(served)).version, self._position):
                self._position = None
                self.store.forget_versions()
        self._interrupted = False

    def _page(self, served: str, rest: str) -> tuple[Page, float]:
        """A page, and when it began to come; smaller ones from now on if it is too large."""
        while True:
            params = {**self._params, "limit": str(self._page_size), **({"continue": rest} if rest else {})}
            try:
                body, received_at = self._fetch(self.resource.path(served), params)
            except TooLargeError:
                if self._page_size == 1:
                    raise
                self._page_size = max(1, self._page_size // 4)
                continue
            return read_page(body, self.resource.api_version(served)), received_at

    def _take(self, page: Page, api_version: str, received_at: float) -> set[ObjectName]:
        entries = [self.store.read(raw, api_version) for raw in page.items]
        self._tell(self.store.changes(entries), received_at)
        self.store.commit(entries)
        return {entry.name for entry in entries}

    # --- watch --------------------------------------------------------------------------------------------------

    def _watch(self, served: str) -> None:
        """Take in events until the server ends it, as it was asked to."""
        lasts = self._timing.idle_watch_timeout_seconds if self._quiet else self._timing.watch_timeout_seconds
        params = {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._position),
            "timeoutSeconds": str(int(_chance.uniform(*lasts))),
        }
        began = time.monotonic()
        settled = began + self._timing.stable_after_seconds
        try:
            with self._open(self.resource.path(served), params) as stream:
                self.waiting = ""
                self._read(stream, self.resource.api_version(served))
        finally:
            if time.monotonic() >= settled:
                self._backoff.reset()
        self._interrupted = time.monotonic() < began + int(params["timeoutSeconds"])
        if time.monotonic() < settled:
            raise ApiUnreachableError("the server ends watches at once")

    def _read(self, stream: Stream, api_version: str) -> None:
        """Take in the events of a watch.

        An API server sends no bookmarks for a kind in which nothing has happened since it started. So the first time
        that nothing at all comes is no fault: from then on the server is asked to end such watches before that.
        """
        silent = True
        try:
            with self._backlog(stream, api_version) as backlog:
                for line in stream:
                    silent = False
                    self._note(read_event(line), backlog, stream.received_at)
        except ApiUnreachableError as error:
            if not (silent and error.timed_out) or self._quiet:
                raise
            self._quiet = True

    def _backlog(self, stream: Stream, api_version: str) -> Backlog:
        take_in = partial(self._take_in, api_version)
        return Backlog(f"decode-{self.resource.plural}", take_in, stream.close)

    def _note(self, event: Event, backlog: Backlog, received_at: float) -> None:
        """Remember the position. If an event before it cannot be processed, everything is listed anew."""
        if event.type == "BOOKMARK":
            self._position, self._quiet = bookmark_version(event), False
        else:
            head = read_head(event.object)
            backlog.add(ObjectName(head.namespace, head.name), event, received_at)
            self._position = head.version

    def _take_in(self, api_version: str, event: Event, received_at: float) -> None:
        if self._stopping.is_set():
            return
        if event.type == "DELETED":
            self._remove(self.store.get(read_head(event.object)), received_at)
        else:
            entry = self.store.read(event.object, api_version)
            self._tell(self.store.changes([entry]), received_at)
            self.store.commit([entry])

    # --- in common ----------------------------------------------------------------------------------------------

    def _remove(self, entries: Sequence[Entry], received_at: float) -> None:
        self._tell(gone(entries), received_at)
        self.store.remove(entries)

    def _tell(self, changes: Sequence[Change], received_at: float) -> None:
        if changes and not self._stopping.is_set():
            self._deliver(changes, received_at)

    def _get(self, path: str) -> bytes:
        return self._fetch(path)[0]

    def _fetch(self, path: str, params: Params | None = None) -> tuple[bytes, float]:
        """An answer as a whole, and when it began to come. Read as a stream, which `stop` can end."""
        with self._open(path, params) as stream:
            lines = [next(stream, b"")]
            received_at, length = stream.received_at, len(lines[0])
            for line in stream:
                lines.append(line)
                length += len(line) + 1
                if length > MAX_ANSWER_BYTES:
                    raise TooLargeError
            return b"\n".join(lines), received_at

    def _open(self, path: str, params: Params | None) -> Stream:
        stream = self._api.stream(path, params)
        with self._lock:
            self._stream = stream
            if self._stopping.is_set():
                stream.close()
        return stream
