"""Ask for the generation of nf_tables, without letting go of the interpreter lock.

Each change of a sandbox asks three times, and the kernel answers while it is asked, in microseconds. Every system call
of Python's `socket` gives the lock to another of the pool's threads; to get it back takes longer than all of this.
"""

import ctypes
import os
import socket

from mnp_nftables.batch import GET_GENERATION
from mnp_nftables.netlink import NETLINK_NETFILTER, first_answer, request

_ASK = request(GET_GENERATION, sequence=1)
_ID = 1  # NFTA_GEN_ID
_ANSWER = 256  # bytes; it takes 48
_libc = ctypes.PyDLL(None, use_errno=True)


def generation() -> int:
    """The number that grows with every commit in the network namespace of the calling thread (NFTA_GEN_ID), 32 bits.

    Raises:
        OSError: EPERM without CAP_NET_ADMIN, EINVAL, EOPNOTSUPP or EPROTONOSUPPORT without nf_tables.
    """
    kernel = _checked(_libc.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER))
    try:
        _checked(_libc.send(kernel, _ASK, len(_ASK), 0))
        answer = ctypes.create_string_buffer(_ANSWER)
        size = _checked(_libc.recv(kernel, answer, _ANSWER, socket.MSG_DONTWAIT))  # nobody waits while he has the lock
    finally:
        os.close(kernel)
    return int.from_bytes(first_answer(answer.raw[:size])[_ID], "big")


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
