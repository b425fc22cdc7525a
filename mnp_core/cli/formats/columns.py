"""Text in columns, as kubectl has it: one line a row however wide, so that grep, awk and cut can read it."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import zip_longest

_GAP = 3
_UNITS = (("d", 86400), ("h", 3600), ("m", 60))
_NOTHING = "-"


def in_columns(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table, the heads first; an empty cell is a dash, so that each row has as many words."""
    table = [list(heads), *([cell or _NOTHING for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip_longest(*table, fillvalue="")]
    for row in table:
        cells = (cell.ljust(width + _GAP) for cell, width in zip(row, widths, strict=False))
        yield "".join(cells).rstrip()


def span(seconds: float) -> str:
    """A duration in at most two units, such as 5s, 3m20s or 2d4h."""
    rest = max(round(seconds), 0)
    parts: list[str] = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    parts.append(f"{rest}s")
    return "".join(part for part in parts[:2] if len(parts) == 1 or not part.startswith("0"))


def age(then: object, now: object) -> str:
    """The span between two times in ISO 8601; empty without them."""
    try:
        return span((datetime.fromisoformat(str(now)) - datetime.fromisoformat(str(then))).total_seconds())
    except (TypeError, ValueError):
        return ""
