"""Write to nf_tables through libnftables, in process: what runs is the text that is shown and logged.

The library is loaded when it is first needed and never forks. A context owns a netlink socket, which belongs to the
network namespace of the thread that made it, so there is one context per transaction (30 µs). ctypes lets go of the
interpreter lock meanwhile, so that many sandboxes are written at once: a commit that removes something mostly waits for
the kernel (RCU, about 12 ms).
"""

import ctypes
import os
from functools import cache

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
    "nft_run_cmd_from_filename": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]),
}


@cache
def load(name: str = LIBRARY) -> ctypes.CDLL:
    """Load the library, once.

    Raises:
        UnsupportedError: It is not installed, or not the one that is meant.
    """
    try:
        library = ctypes.CDLL(name)
        for symbol, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, symbol)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise UnsupportedError(f"{name} cannot be loaded ({error}): {_REMEDY}") from error
    return library


def run(text: str) -> None:
    """Run commands as one transaction in the network namespace of the calling thread: all of them, or none.

    Raises:
        ApplyError: The library or the kernel refused, with their words and the lines at fault; nothing has changed.
        UnsupportedError: The library is not there.
    """
    library = load()
    file = os.memfd_create("mnp-nftables", os.MFD_CLOEXEC)  # errors name the line of a file, but not of a buffer
    try:
        _write(file, text.encode())
        context = library.nft_ctx_new(0)
        if not context:
            raise ApplyError("libnftables: no context: out of memory or of file descriptors")
        try:
            _run(library, context, f"/proc/self/fd/{file}")
        finally:
            library.nft_ctx_free(context)
    finally:
        os.close(file)


def _run(library: ctypes.CDLL, context: int, path: str) -> None:
    library.nft_ctx_buffer_output(context)
    library.nft_ctx_buffer_error(context)
    if library.nft_run_cmd_from_filename(context, path.encode()) == 0:
        return
    complaint: bytes = library.nft_ctx_get_error_buffer(context) or b"no reason given"
    lines = complaint.decode(errors="replace").replace(f"{path}:", "line ").strip().splitlines()
    raise ApplyError("nftables refused the transaction:\n" + "\n".join(lines[:_LINES_OF_ERROR]))


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
