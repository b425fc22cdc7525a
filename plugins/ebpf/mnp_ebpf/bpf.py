"""bpf(2) by ctypes: the few commands that this plugin needs, as in ``union bpf_attr`` of <linux/bpf.h>."""

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final

_NUMBERS: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361}
"""Of bpf(2), on machines that store the low byte first: the object is compiled for these."""

MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, MAP_NEXT_KEY, PROG_LOAD = range(6)
PROG_ATTACH, PROG_DETACH = 8, 9
PROG_FD_BY_ID, MAP_FD_BY_ID, OBJECT_INFO, PROG_QUERY = 13, 14, 15, 16
BTF_LOAD, MAP_FREEZE, LOOKUP_BATCH, UPDATE_BATCH = 18, 22, 24, 26

_ATTEMPTS: Final = 10
_libc = ctypes.CDLL(None, use_errno=True)


class Buffer:
    """Bytes at an address that the kernel can read, and write."""

    def __init__(self, content: bytes | int) -> None:
        """Hold these bytes, or so many zeros."""
        size = content if isinstance(content, int) else len(content)
        self._memory = ctypes.create_string_buffer(b"" if isinstance(content, int) else content, size or 1)
        self.size = size

    @property
    def address(self) -> int:
        """The address of the first byte."""
        return ctypes.addressof(self._memory)

    @property
    def data(self) -> bytes:
        """The bytes as they are now."""
        return self._memory.raw[: self.size]


def is_known_machine() -> bool:
    """Whether the object is for machines of this kind."""
    return sys.byteorder == "little" and platform.machine() in _NUMBERS


def call(command: int, attributes: bytes, *, expected: frozenset[int] = frozenset()) -> tuple[int, bytes]:
    """Call the kernel.

    Args:
        command: Of ``enum bpf_cmd``.
        attributes: The beginning of ``union bpf_attr``.
        expected: Numbers of errors that are answers.

    Returns:
        The result, or the negative number of an expected error; and the attributes as the kernel left them.

    Raises:
        OSError: The kernel refuses.
    """
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"bpf(2) on {platform.machine()} is not known to this plugin")
    for _ in range(_ATTEMPTS):
        buffer = ctypes.create_string_buffer(attributes, len(attributes))
        result = _libc.syscall(number, command, buffer, len(attributes))
        if result >= 0:
            return int(result), buffer.raw
        failure = ctypes.get_errno()
        if failure in expected:
            return -failure, buffer.raw
        if failure not in {errno.EAGAIN, errno.EINTR}:  # the verifier gives way to signals
            break
    raise OSError(failure, os.strerror(failure))


def name_bytes(name: str) -> bytes:
    """A name of an object, as the kernel has it: 16 bytes with a NUL."""
    return name.encode("ascii")[:15].ljust(16, b"\0")


def object_info(fd: int, size: int, given: bytes = b"") -> bytes:
    """What the kernel tells of a program or map: so many bytes of ``struct bpf_prog_info`` or ``bpf_map_info``.

    Args:
        fd: Its descriptor.
        size: Bytes to ask for.
        given: The content of the structure before, with the addresses of buffers to fill.
    """
    buffer = Buffer(given.ljust(size, b"\0"))
    call(OBJECT_INFO, struct.pack("=IIQ", fd, size, buffer.address))
    return buffer.data
