"""A trial of the whole mechanism in a network namespace of its own, which ends with it."""

import ctypes
import os
import threading

from mnp_ebpf.attachment import Programs
from mnp_ebpf.hooks import LOOPBACK, Attacher, both
from mnp_ebpf.pod import make_maps

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_libc = ctypes.CDLL(None, use_errno=True)


def attempt(attacher: Attacher) -> None:
    """Load the programs and attach them to the ``lo`` of a new namespace.

    Raises:
        OSError: This kernel lacks something; the text says what.
    """
    failures: list[OSError] = []

    def work() -> None:
        try:
            _unshare()
            _attach(attacher)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="ebpf-trial")  # of which the namespace is, alone
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _unshare() -> None:
    if _libc.unshare(_NEW_NETWORK):
        failure = ctypes.get_errno()
        raise OSError(failure, f"no network namespace to try it out in: {os.strerror(failure)}")


def _attach(attacher: Attacher) -> None:
    with make_maps(1) as maps:
        for hook in both(LOOPBACK):
            Programs(attacher, maps).put_first(hook, hook.direction)
