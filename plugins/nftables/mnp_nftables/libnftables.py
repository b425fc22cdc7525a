"""Compile custom rules by libnftables: a program, because the library may end its process.

It reads commands from its standard input and runs them as one transaction in the network namespace that it was started
in. Complaints go to standard error, and name lines by number.
"""

import ctypes
import os
import sys
from functools import cache
from types import SimpleNamespace

from mnp_core.errors import UnsupportedError

LIBRARY = "libnftables.so.1"
_REMEDY = "install it with: apt-get install libnftables1 (Debian, Ubuntu) or dnf install nftables-libs (Fedora)"

_FUNCTIONS = {  # name: result and arguments, as in <nftables/libnftables.h>, libnftables(3)
    "nft_ctx_new": (ctypes.c_void_p, [ctypes.c_uint32]),
    "nft_ctx_buffer_output": (ctypes.c_int, [ctypes.c_void_p]),
    "nft_ctx_buffer_error": (ctypes.c_int, [ctypes.c_void_p]),
    "nft_ctx_get_error_buffer": (ctypes.c_char_p, [ctypes.c_void_p]),
    "nft_run_cmd_from_filename": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]),
}


@cache
def load(name: str = LIBRARY) -> SimpleNamespace:
    """Load the library, once.

    Raises:
        UnsupportedError: It is not installed, or another library has its name.
    """
    try:
        library = ctypes.CDLL(name)
        found = {symbol: getattr(library, symbol) for symbol in _FUNCTIONS}
        for symbol, (result, arguments) in _FUNCTIONS.items():
            found[symbol].restype, found[symbol].argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise UnsupportedError(f"{name} cannot be loaded ({error}): {_REMEDY}") from error
    return SimpleNamespace(**found)


def complaint(text: bytes) -> bytes:
    """Run commands, all of them or none; return the error of the library or the kernel, empty on success.

    Raises:
        UnsupportedError: The library is not there, or cannot be used.
    """
    library = load()
    context = library.nft_ctx_new(0)
    if not context:
        raise UnsupportedError("libnftables: no context: out of memory or of file descriptors")
    file = os.memfd_create("mnp-nftables", os.MFD_CLOEXEC)  # complaints about a file have the numbers of its lines
    path = f"/proc/self/fd/{file}"
    _write(file, text)
    library.nft_ctx_buffer_output(context)
    library.nft_ctx_buffer_error(context)
    if library.nft_run_cmd_from_filename(context, path.encode()) == 0:
        return b""
    words: bytes = library.nft_ctx_get_error_buffer(context) or b"no reason given"
    return words.replace(f"{path}:".encode(), b"line ").strip()


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def main() -> int:
    """The program: 0 on success, 1 if the library cannot be used, 2 after a refusal."""
    try:
        words = complaint(sys.stdin.buffer.read())
    except UnsupportedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.buffer.write(words)
    return 2 if words else 0


if __name__ == "__main__":
    sys.exit(main())
