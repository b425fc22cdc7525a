"""Sends packets that a filter may drop before they leave their sender."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

_DROPPED = frozenset({errno.EPERM, errno.ENOBUFS})
"""Errors of send(2) for a packet dropped by netfilter's output hook, and by traffic control."""


@contextmanager
def drops_expected() -> Iterator[None]:
    """Take a drop on the sender's side for an answer, not for an error; other errors are raised."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DROPPED:
            raise
