"""Sends packets that a filter may drop before they leave their sender."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

_DROPPED = frozenset({errno.EPERM, errno.ENOBUFS})
"""What send(2) returns for a packet that netfilter's output hook dropped, and for one that traffic control did."""


@contextmanager
def drops_expected() -> Iterator[None]:
    """Take a drop on the sender's side for an answer, not for an error; other errors are raised."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DROPPED:
            raise
