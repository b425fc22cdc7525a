"""Watches with nothing behind them: when news could be known at the earliest."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from mnp_core.errors import ApiUnreachableError
from mnp_core.kubeapi import Stream
from mnp_core.kubeapi.connection import connect
from scripts.testbed import place

_PATIENCE = 10.0  # seconds


class BareWatch:
    """Notes when events arrive, and does not read them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._times: list[float] = []

    def first_after(self, moment: float) -> float:
        """`time.monotonic()` of the first event after a moment; waits for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._times and self._times[-1] > moment, _PATIENCE)
            return next(each for each in self._times if each > moment)

    def follow(self, stream: Stream) -> None:
        """Note the events of a stream until it is closed."""
        try:
            for _ in stream:
                with self._changed:
                    self._times.append(stream.received_at)
                    self._changed.notify_all()
        except ApiUnreachableError:
            return  # closed


@contextmanager
def bare_watch(paths: Sequence[str]) -> Iterator[BareWatch]:
    """Watch collections from now on, each on a thread."""
    api, found = connect(str(place.KUBECONFIG)), BareWatch()
    with ExitStack() as stack:
        stack.callback(api.close)
        for path in paths:
            version = json.loads(api.get(path, {"limit": "1"}))["metadata"]["resourceVersion"]
            stream = stack.enter_context(api.stream(path, {"watch": "true", "resourceVersion": version}))
            thread = threading.Thread(target=found.follow, args=(stream,), daemon=True)
            stack.callback(thread.join)
            stack.callback(stream.close)
            thread.start()
        yield found
