"""Small files that people write: settings, rules, expectations."""

from pathlib import Path

from mnp_core.errors import InputError


def read_text(path: Path) -> str:
    """Read a file of text.

    Raises:
        InputError: It cannot be read, or is no text in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is not text in UTF-8, at byte {error.start}", where=str(path)) from error
