"""Trials without a pod: whether the verifier takes the programs, and whether interfaces take a filter."""

import ctypes
import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Final

from mnp_core.model import Direction
from mnp_ebpf.attachment import load
from mnp_ebpf.hooks import LOOPBACK, Attacher, both
from mnp_ebpf.pod import make_maps
from mnp_ebpf.program import Object, ProgramKind, load_program
from mnp_ebpf.program_info import closing

_NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET
_LET_PASS: Final = bytes.fromhex("b700000000000000 9500000000000000")  # r0 = 0; exit
_libc = ctypes.CDLL(None, use_errno=True)


@cache  # of a kernel that takes them: one that refuses is asked again
def verify() -> None:
    """Load the programs of both directions, and let go of them.

    A kernel may know every command of bpf(2) that this plugin calls, and refuse the programs all the same: without
    types of its own (``CONFIG_DEBUG_INFO_BTF``), for one. A pod's programs hold its maps, so these are none of them.

    Raises:
        RefusedError: The verifier refuses one.
        OSError: The kernel refuses maps or programs altogether.
    """
    with make_maps(1) as maps:
        for direction in Direction:
            os.close(load(maps, direction))


def attempt(attacher: Attacher) -> None:
    """Attach a program that does nothing to the ``lo`` of a new network namespace, which ends with the trial.

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

    _run_apart(work)
    if failures:
        raise failures[0]


def _run_apart(work: Callable[[], None]) -> None:
    """On a thread of which the namespace is, alone."""
    thread = threading.Thread(target=work, name="ebpf-trial")
    thread.start()
    thread.join()


def _unshare() -> None:
    if _libc.unshare(_NEW_NETWORK):
        failure = ctypes.get_errno()
        raise OSError(failure, f"no network namespace to try it out in: {os.strerror(failure)}")


def _attach(attacher: Attacher) -> None:
    compiled = Object(code=_LET_PASS, functions={0: ""}, places={}, compiler="none")
    with closing(load_program("mnp_trial", compiled, ProgramKind.TC, {})) as program:
        for hook in both(LOOPBACK):
            attacher.attach(hook, program)
