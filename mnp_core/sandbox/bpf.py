"""Query the BPF programs attached to interfaces; netlink does not list them (tcx, since Linux 6.6)."""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Iterator, Sequence

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}  # of bpf(2)
_FD_BY_ID, _INFO, _PROG_QUERY = 13, 15, 16  # BPF_PROG_GET_FD_BY_ID, BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_QUERY
_TCX_INGRESS, _TCX_EGRESS = 46, 47  # enum bpf_attach_type
_NONE = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV})
"""No bpf(2), no tcx, no such interface; any other error leaves the answer open."""
_QUERY = struct.Struct("=IIIIQI36x")  # union bpf_attr, query: interface, type, flags, flags, ids, count

_MOST = 64  # programs at one point: BPF_MPROG_MAX
_NAME, _NAME_END = 64, 80  # bytes of struct bpf_prog_info
_OURS = frozenset({b"mnp_ingress", b"mnp_egress", b"mnp_xdp"})
"""Names of the programs of mnp-ebpf, which drop packets or pass them on, and send none elsewhere."""

_libc = ctypes.CDLL(None, use_errno=True)


def tcx_programs(indexes: Iterable[int]) -> Iterator[tuple[int, bool]]:
    """Interfaces of this thread's namespace with such programs, each with whether they are on ingress.

    Empty on a kernel without tcx; an interface that has just gone has none. Those that enforce policy are left out.

    Raises:
        OSError: The kernel denied the query, or failed.
    """
    number = _NUMBERS.get(platform.machine())
    if number is None:
        return
    for index in indexes:
        for attach_type in (_TCX_INGRESS, _TCX_EGRESS):
            if not all(map(enforces_policy, _programs(number, index, attach_type))):
                yield index, attach_type == _TCX_INGRESS


def enforces_policy(program: int) -> bool:
    """Whether a program, by its number, is one of mnp-ebpf: false for one that cannot be asked for its name."""
    number = _NUMBERS.get(platform.machine())
    return number is not None and _name(number, program) in _OURS


def _programs(number: int, index: int, attach_type: int) -> Sequence[int]:
    """Their numbers."""
    ids = (ctypes.c_uint32 * _MOST)()
    query = ctypes.create_string_buffer(
        _QUERY.pack(index, attach_type, 0, 0, ctypes.addressof(ids), _MOST), _QUERY.size
    )
    if _libc.syscall(number, _PROG_QUERY, query, _QUERY.size) != 0:
        failure = ctypes.get_errno()
        if failure in _NONE:
            return ()
        raise OSError(failure, os.strerror(failure))
    return ids[: _QUERY.unpack(query.raw)[5]]


def _name(number: int, program: int) -> bytes:
    """The name of a program; empty for one that cannot be asked for it."""
    wanted = ctypes.create_string_buffer(struct.pack("=III", program, 0, 0), 12)
    fd = _libc.syscall(number, _FD_BY_ID, wanted, 12)
    if fd < 0:
        return b""
    try:
        info = ctypes.create_string_buffer(_NAME_END)
        about = ctypes.create_string_buffer(struct.pack("=IIQ", fd, _NAME_END, ctypes.addressof(info)), 16)
        if _libc.syscall(number, _INFO, about, 16) != 0:
            return b""
        return info.raw[_NAME:].partition(b"\0")[0]
    finally:
        os.close(fd)
