"""System calls that Python's `os` lacks, has only from 3.12 (setns, unshare), or makes without the lock (stat)."""

import ctypes
import os
import struct
import sys

CLONE_NEWNET = 0x40000000  # <linux/sched.h>
MS_BIND = 0x1000  # <linux/mount.h>
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
_AT_FDCWD, _AT_EMPTY_PATH, _STATX_INO = -100, 0x1000, 0x100  # <linux/fcntl.h>, <linux/stat.h>
_STATX = struct.Struct("=32xQ96xII112x")  # struct statx: inode, major and minor number of the device

_libc = ctypes.CDLL(None, use_errno=True)
_short = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter lock: to get it back takes longer than these calls


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()  # ctypes keeps it per thread
        raise OSError(number, os.strerror(number))


if sys.version_info >= (3, 12):
    setns = os.setns
    unshare = os.unshare
else:

    def setns(fd: int, nstype: int) -> None:
        """Put the calling thread into a namespace, see man page 2."""
        _checked(_short.setns(fd, nstype))

    def unshare(flags: int) -> None:
        """Put the calling thread into a new namespace, see man page 2."""
        _checked(_libc.unshare(flags))


def identity_of_open(fd: int) -> tuple[int, int]:
    """Device and inode of an open file. Errors: OSError."""
    return _identity(fd, b"", _AT_EMPTY_PATH)


def identity_of_network_namespace() -> tuple[int, int]:
    """Device and inode of the network namespace of the calling thread. Errors: OSError."""
    return _identity(_AT_FDCWD, b"/proc/thread-self/ns/net", 0)


def _identity(folder: int, path: bytes, flags: int) -> tuple[int, int]:
    found = ctypes.create_string_buffer(_STATX.size)
    _checked(_short.statx(folder, path, flags, _STATX_INO, found))
    inode, major, minor = _STATX.unpack(found)
    return os.makedev(major, minor), inode


def bind_mount(source: str, target: str) -> None:
    """Make `target`, a file that exists, another name of `source`; see mount(2)."""
    _checked(_libc.mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(MS_BIND), None))


def unmount(target: str) -> None:
    """Take the topmost mount away, even if it is in use, without following a symbolic link; see umount2(2)."""
    _checked(_libc.umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW))
