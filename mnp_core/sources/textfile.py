"""Small files that people write: settings, rules, expectations."""

import os
import stat
import time
from pathlib import Path
from typing import Final

from mnp_core.errors import InputError

MAX_BYTES = 8 * 1024 * 1024
"""Size limit of one file; a larger or endless one is a mistake."""

_WRITER_SECONDS: Final = 3.0  # for a program to open the other end of a pipe
_POLL_SECONDS: Final = 0.02


def read_text(path: Path) -> str:
    """Read a file of text.

    Raises:
        InputError: It cannot be read, is too large, or is no text in UTF-8.
    """
    try:
        content = read_head(path, MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(f"is larger than {MAX_BYTES // 2**20} MiB: name another file", where=str(path))
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is not text in UTF-8, at byte {error.start}", where=str(path)) from error


def read_head(path: Path, size: int) -> bytes:
    """Read a file up to a size. A named pipe needs a writer, within some seconds: an open(2) would wait for ever.

    Raises:
        OSError: It cannot be read.
        InputError: It is a pipe without a writer.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        first = _first_byte(descriptor, str(path)) if is_pipe else b""
        os.set_blocking(descriptor, True)
        return first + stream.read(size - len(first))


def _first_byte(pipe: int, where: str) -> bytes:
    deadline = time.monotonic() + _WRITER_SECONDS
    has_writer = False
    while has_writer or time.monotonic() < deadline:
        try:
            found = os.read(pipe, 1)
        except BlockingIOError:  # a writer that has written nothing yet
            has_writer = True
        else:
            if found or has_writer:
                return found
        time.sleep(_POLL_SECONDS)
    raise InputError("is a pipe that no program writes into: name a file, or start the program first", where=where)
