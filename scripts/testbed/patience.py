"""Waiting for what takes an unknown time, with an end."""

import time
from collections.abc import Callable

from scripts.testbed.errors import TestBedError


def wait_for(what: str, ready: Callable[[], object], *, patience: float = 60, interval: float = 0.1) -> None:
    """Ask until the answer is true.

    Raises:
        TestBedError: It did not become so in `patience` seconds; names `what`, and what `ready` raised last.
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
