"""News of a watch that is not taken in yet.

The API server sends news in the order of writing. To decode a policy takes up to tens of milliseconds, so a namespace
that writes many of them would delay those of all others: news are read ahead and decoded in turns, namespace by
namespace. Of several states of an object only the last is decoded. What waits is kept compressed: JSON of policies
shrinks to a tenth, in a millisecond for each megabyte.
"""

import threading
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import msgspec

from mnp_core.classes import define
from mnp_core.kubeapi.server import MAX_ANSWER_BYTES
from mnp_core.model import ObjectName
from mnp_core.sources.kubernetes.codec import Event
from mnp_core.turns import Turns

_PACKED_FROM: Final = 2048  # bytes of an object; smaller ones gain little
_FASTEST: Final = 1  # of zlib's levels


@define
class _News:
    """The last state of an object, compressed if it is large, and when its first news came."""

    type: str
    object: bytes
    size: int
    received_at: float

    @classmethod
    def of(cls, event: Event, received_at: float) -> Self:
        """Pack an event; the line that it came in, of which it is a part, is kept no longer."""
        text = bytes(event.object)
        packed = text if len(text) < _PACKED_FROM else zlib.compress(text, _FASTEST)
        return cls(event.type, packed, len(text), received_at)

    @property
    def event(self) -> Event:
        """The event as it came."""
        text = self.object if self.size < _PACKED_FROM else zlib.decompress(self.object)
        return Event(self.type, msgspec.Raw(text))


class Backlog:
    """Decodes on a thread of its own while the context is entered; all is taken in when it is left."""

    def __init__(self, name: str, take_in: Callable[[Event, float], None], give_up: Callable[[], None]) -> None:
        """Prepare.

        Args:
            name: Of the thread.
            take_in: Called with the last state of an object, and with `time.monotonic()` of its first news.
            give_up: Wakes up the thread that reads, after `take_in` has failed.
        """
        self._take_in = take_in
        self._give_up = give_up
        self._changed = threading.Condition()
        self._news: dict[ObjectName, _News] = {}
        self._turns: Turns[ObjectName] = Turns()
        self._size = 0
        self._ending = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()
        self._check()

    def add(self, name: ObjectName, event: Event, received_at: float) -> None:
        """Have news of an object taken in; waits while more than an answer of the server may hold is waiting.

        Raises:
            RuntimeError: Earlier news could not be taken in.
        """
        news = _News.of(event, received_at)
        with self._changed:
            self._changed.wait_for(lambda: self._size < MAX_ANSWER_BYTES or self._error is not None)
            self._check()
            self._size += news.size
            waiting = self._news.get(name)
            self._news[name] = news
            if waiting is not None:
                self._size -= waiting.size
                news.received_at = waiting.received_at
                return
            self._turns.add(name.namespace, [name])
            self._changed.notify_all()

    def _check(self) -> None:
        if self._error is not None:
            raise RuntimeError("news of a watch could not be taken in") from self._error

    def _run(self) -> None:
        try:
            while (news := self._next()) is not None:
                self._take_in(news.event, news.received_at)
        except Exception as error:  # noqa: BLE001 # raised on the thread that reads
            with self._changed:
                self._error = error
                self._changed.notify_all()
            self._give_up()

    def _next(self) -> _News | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ending or len(self._turns))
            taken = self._turns.take(1)
            if not taken:
                return None
            news = self._news.pop(taken[0])
            self._size -= news.size
            self._changed.notify_all()
            return news
