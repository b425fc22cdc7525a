"""Differences as text, JSON and Markdown."""

from collections.abc import Iterator, Sequence

from mnp_core.cli.formats.lines import ports_text
from mnp_core.cli.formats.markdown import table
from mnp_core.cli.formats.printing import printable
from mnp_core.offline.differences import Difference, count
from mnp_core.offline.port_spans import merged

MOST_ROWS = 400
"""Rows of a Markdown table: a comment on a pull request may have 65,536 characters."""

_REMARKS = {"new": " (new pair)", "gone": " (pair is gone)", "kept": ""}


def summary(found: Sequence[Difference]) -> str:
    """The number of pairs in a sentence."""
    if not found:
        return "No pair opens or closes."
    opened, closed = count(found)
    return f"{_pairs(opened, 'open', 'opens')}, {_pairs(closed, 'close', 'closes')}."


def _pairs(number: int, many: str, one: str) -> str:
    return f"1 pair {one}" if number == 1 else f"{number} pairs {many}"


def text_lines(found: Sequence[Difference]) -> Iterator[str]:
    """A line for each pair that opens, and for each that closes."""
    for each in found:
        way = f"{each.source.name} -> {each.destination.name} on {_network(each)}"
        for word, specs in (("opened", each.opened), ("closed", each.closed)):
            if specs:
                yield printable(f"{word}  {way}: {ports_text(specs)}{_REMARKS[each.pair]}")
    yield summary(found)


def as_json(each: Difference) -> dict[str, object]:
    """One element of ``changes``."""
    return {
        "from": [str(name) for name in each.source.members],
        "to": [str(name) for name in each.destination.members],
        "network": str(each.network),
        "family": each.family,
        "pair": each.pair,
        "opened": [str(spec) for spec in merged(each.opened)],
        "closed": [str(spec) for spec in merged(each.closed)],
    }


def markdown_text(found: Sequence[Difference]) -> str:
    """A heading, a sentence and a table."""
    rows = [
        [
            str(each.source.name),
            str(each.destination.name),
            f"{_network(each)}{_REMARKS[each.pair]}",
            ports_text(each.opened),
            ports_text(each.closed),
        ]
        for each in found[:MOST_ROWS]
    ]
    lines = ["### Who reaches whom", "", summary(found)]
    lines += ["", *table(["From", "To", "Network", "Opens", "Closes"], rows)] if rows else []
    lines += ["", f"And {len(found) - MOST_ROWS} more."] if len(found) > MOST_ROWS else []
    return "".join(f"{line}\n" for line in lines)


def _network(each: Difference) -> str:
    return f"{each.network}, IPv6" if each.family == 6 else str(each.network)
