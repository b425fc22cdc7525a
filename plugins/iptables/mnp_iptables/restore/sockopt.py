"""The four socket options with which the kernel's legacy iptables tables are read and written.

See <linux/netfilter_ipv4/ip_tables.h> and ip6_tables.h: IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES, IPT_SO_SET_REPLACE and
IPT_SO_SET_ADD_COUNTERS. Reading a table makes it, if the namespace has none, so call `tables` first.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from mnp_core.errors import ApplyError
from mnp_core.model import Family
from mnp_iptables.persistence import insist
from mnp_iptables.restore.blob import LAYOUTS, Blob, Hooks, Layout, Table, decode, encode

_SOCKET = {4: (socket.AF_INET, socket.IPPROTO_IP), 6: (socket.AF_INET6, socket.IPPROTO_IPV6)}
_GET_INFO, _GET_ENTRIES, _REPLACE, _ADD_COUNTERS = 64, 65, 64, 65
_INFO = struct.Struct("=32sI5I5III")  # name, hooks, offsets of entries and of policies by hook, number, size
_ENTRIES = struct.Struct("=32sI4x")  # name, size; then the entries
_REPLACEMENT = struct.Struct("=32sIII5I5IIQ")  # name, hooks, number, size, offsets, number and place of counters
_COUNTERS = struct.Struct("=32sI4x")  # name, number; then the counters
_COUNTER_SIZE = 16
_NAMES = {4: "ip_tables_names", 6: "ip6_tables_names"}
_HOOKS = 5

LIMIT = 16 << 20  # bytes
"""What a table may have: some 50,000 rules."""

_TOO_LARGE = (
    f"it has more than {LIMIT >> 20} MiB: remove the entries that a process in the pod added, or restart the pod"
)


@frozen(kw_only=True)
class Snapshot:
    """A table as it was read: its entries in order, and their counters (packets, bytes)."""

    table: Table
    counters: tuple[tuple[int, int], ...]


def tables(family: Family) -> frozenset[str]:
    """The existing tables of the network namespace of the calling thread; the query creates none.

    Raises:
        OSError: This kernel has no legacy tables, or the module is not loaded.
    """
    return frozenset(Path(f"/proc/thread-self/net/{_NAMES[family]}").read_text(encoding="ascii").split())


def read(family: Family, name: str) -> Snapshot:
    """Read a table; if there is none it is made, empty.

    Raises:
        OSError: The kernel refused; EAGAIN if another process replaced it meanwhile.
    """
    layout = LAYOUTS[family]
    hooks, data = _read(family, name)
    try:
        counters = tuple(struct.unpack_from("=QQ", data, start + layout.counters) for start, _ in _spans(layout, data))
        return Snapshot(table=decode(layout, hooks, data), counters=counters)
    except (LookupError, ValueError, struct.error) as error:
        raise ApplyError(f"table {name} of IPv{family} is none that a program of iptables has made: {error}") from error


def content(family: Family, name: str) -> bytes:
    """All of a table but its counters; faster than `read`. If there is none it is made, empty.

    Raises:
        OSError: As `read`.
    """
    layout = LAYOUTS[family]
    _, data = _read(family, name)
    spans = (
        (data[start : start + layout.counters], data[start + layout.size : end]) for start, end in _spans(layout, data)
    )
    return b"".join(part for span in spans for part in span)


def _read(family: Family, name: str) -> tuple[Hooks, bytes]:
    with _opened(family) as kernel:
        info = _INFO.unpack(_get(kernel, family, _GET_INFO, name.encode().ljust(_INFO.size, b"\0")))
        _, mask, *offsets, _, size = info
        if size > LIMIT:
            raise OSError(errno.EFBIG, _TOO_LARGE)
        data = _get(kernel, family, _GET_ENTRIES, _ENTRIES.pack(name.encode(), size) + bytes(size))
    valid = [hook for hook in range(_HOOKS) if mask >> hook & 1]
    hooks = Hooks(
        entries={hook: offsets[hook] for hook in valid}, underflows={hook: offsets[_HOOKS + hook] for hook in valid}
    )
    return hooks, data[_ENTRIES.size :]


def replace(name: str, table: Table, before: Snapshot) -> None:
    """Put a table into force in one atomic step, and restore the counters of rules that stay, if possible.

    Raises:
        OSError: The kernel refused and nothing has changed; EAGAIN if the number of rules is not that of `before`.
    """
    family, blob, old = table.layout.family, encode(table), len(before.counters)
    counters = ctypes.create_string_buffer(old * _COUNTER_SIZE)
    header = _REPLACEMENT.pack(
        name.encode(),
        blob.hooks.valid,
        len(blob.places),
        len(blob.data),
        *_offsets(blob),
        old,
        ctypes.addressof(counters),
    )
    with _opened(family) as kernel:
        kernel.setsockopt(_SOCKET[family][1], _REPLACE, header + blob.data)
        zero = bytes(_COUNTER_SIZE)
        kept = (counters.raw[place * _COUNTER_SIZE :][:_COUNTER_SIZE] if place >= 0 else zero for place in blob.places)
        request = _COUNTERS.pack(name.encode(), len(blob.places)) + b"".join(kept)
        with suppress(OSError):  # the table is in force, with counters or without
            insist(lambda: kernel.setsockopt(_SOCKET[family][1], _ADD_COUNTERS, request))


def _offsets(blob: Blob) -> Iterator[int]:
    for offsets in (blob.hooks.entries, blob.hooks.underflows):
        yield from (offsets.get(hook, 0) for hook in range(_HOOKS))


def _spans(layout: Layout, data: bytes) -> Iterator[tuple[int, int]]:
    """Where each entry begins and ends."""
    start = 0
    while start < len(data):
        (size,) = struct.unpack_from("=H", data, start + layout.offsets + 2)
        if size < layout.size:
            raise ValueError(f"an entry of {size} bytes")
        yield start, start + size
        start += size


@contextmanager
def _opened(family: Family) -> Iterator[socket.socket]:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(_SOCKET[family][0], kind, socket.IPPROTO_RAW) as kernel:
        yield kernel


_libc = ctypes.CDLL(None, use_errno=True)
_libc.getsockopt.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


def _get(kernel: socket.socket, family: Family, option: int, request: bytes) -> bytes:
    """getsockopt(2) with input in the buffer, which Python's own lacks."""
    buffer = ctypes.create_string_buffer(request, len(request))
    size = ctypes.c_uint32(len(request))
    if _libc.getsockopt(kernel.fileno(), _SOCKET[family][1], option, buffer, ctypes.byref(size)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return buffer.raw
