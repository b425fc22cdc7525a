"""Small files that people write: settings, rules, expectations."""

from pathlib import Path

from mnp_core.errors import InputError

MAX_BYTES = 8 * 1024 * 1024
"""Of one file; what is larger, or never ends, is a mistake."""


def read_text(path: Path) -> str:
    """Read a file of text.

    Raises:
        InputError: It cannot be read, is too large, or is no text in UTF-8.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(f"is larger than {MAX_BYTES // 2**20} MiB: name another file", where=str(path))
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is not text in UTF-8, at byte {error.start}", where=str(path)) from error
