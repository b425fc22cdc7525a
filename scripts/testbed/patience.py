"""Waiting with a timeout."""

import time
from collections.abc import Callable

from scripts.testbed.errors import TestBedError


def wait_for(what: str, ready: Callable[[], object], *, patience: float = 60, interval: float = 0.1) -> None:
    """Poll until the condition is true.

    Raises:
        TestBedError: It was false for `patience` seconds; the message has `what` and the last error of `ready`.
    """
    deadline = time.monotonic() + patience
    last: Exception | None = None
    while True:
        try:
            if ready():
                return
            last = None
        except (TestBedError, OSError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise TestBedError(f"{what}: not so after {patience:g} s" + (f": {last}" if last else ""))
        time.sleep(interval)
