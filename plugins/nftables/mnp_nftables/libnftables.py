"""Write to nf_tables through libnftables, in process: what runs is the text that is shown and logged.

The library is loaded when it is first needed and never forks. A context owns a netlink socket, which belongs to the
network namespace of the thread that made it, so there is one context per transaction (30 µs). The interpreter lock is
let go of while a transaction runs, so that many sandboxes are written at once: a commit that removes something mostly
waits for the kernel (RCU, about 12 ms). It is kept during what takes microseconds (ctypes.PyDLL), because to get it
back from the pool's other threads takes longer than that.
"""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

from mnp_core.errors import ApplyError, UnsupportedError

LIBRARY = "libnftables.so.1"
_REMEDY = "install it with: apt-get install libnftables1 (Debian, Ubuntu) or dnf install nftables-libs (Fedora)"
_LINES_OF_ERROR = 9  # three problems: where and what, the line, the place in it

_FUNCTIONS = {  # name: result and arguments, as in <nftables/libnftables.h>, libnftables(3)
    "nft_ctx_new": (ctypes.c_void_p, [ctypes.c_uint32]),
    "nft_ctx_free": (None, [ctypes.c_void_p]),
    "nft_ctx_buffer_output": (ctypes.c_int, [ctypes.c_void_p]),
    "nft_ctx_buffer_error": (ctypes.c_int, [ctypes.c_void_p]),
    "nft_ctx_get_error_buffer": (ctypes.c_char_p, [ctypes.c_void_p]),
    "nft_run_cmd_from_buffer": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]),
    "nft_run_cmd_from_filename": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]),
}
_LONG = {"nft_run_cmd_from_buffer", "nft_run_cmd_from_filename", "nft_ctx_free"}  # the last waits for the kernel


@cache
def load(name: str = LIBRARY) -> SimpleNamespace:
    """Load the library, once.

    Raises:
        UnsupportedError: It is not installed, or not the one that is meant.
    """
    try:
        long, short = ctypes.CDLL(name), ctypes.PyDLL(name)
        found = {symbol: getattr(long if symbol in _LONG else short, symbol) for symbol in _FUNCTIONS}
        for symbol, (result, arguments) in _FUNCTIONS.items():
            found[symbol].restype, found[symbol].argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise UnsupportedError(f"{name} cannot be loaded ({error}): {_REMEDY}") from error
    return SimpleNamespace(**found)


def run(text: str) -> None:
    """Run commands as one transaction in the network namespace of the calling thread: all of them, or none.

    Raises:
        ApplyError: The library or the kernel refused, with their words and the lines at fault; nothing has changed.
        UnsupportedError: The library is not there.
    """
    library = load()
    if _run(library, library.nft_run_cmd_from_buffer, text.encode()):
        _run_from_file(library, text)


def _run_from_file(library: SimpleNamespace, text: str) -> None:
    """Try again what was refused: complaints about a file have the numbers of its lines, and the lines."""
    file = os.memfd_create("mnp-nftables", os.MFD_CLOEXEC)
    path = f"/proc/self/fd/{file}"
    try:
        _write(file, text.encode())
        complaint = _run(library, library.nft_run_cmd_from_filename, path.encode())
    finally:
        os.close(file)
    if complaint:
        lines = complaint.decode(errors="replace").replace(f"{path}:", "line ").strip().splitlines()
        raise ApplyError("nftables refused the transaction:\n" + "\n".join(lines[:_LINES_OF_ERROR]))


def _run(library: SimpleNamespace, how: Callable[[int, bytes], int], what: bytes) -> bytes:
    """What the library or the kernel complains of; nothing if it is done."""
    context = library.nft_ctx_new(0)
    if not context:
        raise ApplyError("libnftables: no context: out of memory or of file descriptors")
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        if how(context, what) == 0:
            return b""
        complaint: bytes = library.nft_ctx_get_error_buffer(context) or b"no reason given"
        return complaint
    finally:
        library.nft_ctx_free(context)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
