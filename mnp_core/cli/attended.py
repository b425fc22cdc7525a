"""Standard input as a sign of life of the caller: a program in a container outlives the kubectl that has started it."""

import os
import select
import sys
import threading
from typing import Final

SILENCE_SECONDS: Final = 30.0
"""Without any input, after which the caller has gone."""

BEAT: Final = b"\n"
"""Input of a caller that is there."""

_CHUNK: Final = 4096
_GONE: Final = 141  # 128 + SIGPIPE, as if standard output had no reader


def exit_without_caller() -> None:
    """End this process as soon as standard input has ended, or brought nothing for `SILENCE_SECONDS`.

    From a thread of its own, and at once: the main thread may be blocked for ever by output that nobody takes, and so
    would the flush of standard output at a regular exit.
    """
    threading.Thread(target=_watch, args=[sys.stdin.fileno()], name="caller", daemon=True).start()


def _watch(descriptor: int) -> None:
    while _has_input(descriptor):
        pass
    os._exit(_GONE)


def _has_input(descriptor: int) -> bool:
    ready, _, _ = select.select([descriptor], [], [], SILENCE_SECONDS)
    try:
        return bool(ready) and bool(os.read(descriptor, _CHUNK))
    except OSError:
        return False
