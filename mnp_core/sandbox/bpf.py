"""Query the BPF programs attached to interfaces; netlink does not list them (tcx, since Linux 6.6)."""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Iterator

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}  # of bpf(2)
_PROG_QUERY = 16  # BPF_PROG_QUERY
_TCX_INGRESS, _TCX_EGRESS = 46, 47  # enum bpf_attach_type
_NONE = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV})
"""No bpf(2), no tcx, no such interface; any other error leaves the answer open."""
_QUERY = struct.Struct("=IIIIQI36x")  # union bpf_attr, query: interface, type, flags, flags, ids, count

_libc = ctypes.CDLL(None, use_errno=True)


def tcx_programs(indexes: Iterable[int]) -> Iterator[tuple[int, bool]]:
    """Interfaces of this thread's namespace with such programs, each with whether they are on ingress.

    Empty on a kernel without tcx; an interface that has just gone has none.

    Raises:
        OSError: The kernel denied the query, or failed.
    """
    number = _NUMBERS.get(platform.machine())
    if number is None:
        return
    for index in indexes:
        for attach_type in (_TCX_INGRESS, _TCX_EGRESS):
            if _count(number, index, attach_type):
                yield index, attach_type == _TCX_INGRESS


def _count(number: int, index: int, attach_type: int) -> int:
    query = ctypes.create_string_buffer(_QUERY.pack(index, attach_type, 0, 0, 0, 0), _QUERY.size)
    if _libc.syscall(number, _PROG_QUERY, query, _QUERY.size) != 0:
        failure = ctypes.get_errno()
        if failure in _NONE:
            return 0
        raise OSError(failure, os.strerror(failure))
    return int(_QUERY.unpack(query.raw)[5])
