"""Answers as Markdown tables, for pull requests and wikis."""

import re
from collections.abc import Iterable, Iterator, Sequence

from mnp_core.cli.formats.lines import by_pair, dual_networks, network_text, ports_text
from mnp_core.cli.formats.printing import printable
from mnp_core.offline.reach import Answer

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~@&$]|:(?=[\w+-]+:))")
_LINKS = re.compile(r"(?i)\b(https?|ftp|www)(?=\\?[:.])")


def markdown_text(answers: Iterable[Answer]) -> str:
    """A table with a line for each pair."""
    pairs = by_pair(answers)
    dual = dual_networks(pairs)
    rows = [
        [str(p.source), str(p.destination), network_text(p, dual), ports_text(ports.allowed), ports_text(ports.denied)]
        for p, ports in pairs.items()
    ]
    return "".join(f"{line}\n" for line in table(["From", "To", "Network", "Allowed", "Denied"], rows))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table; cells are escaped."""
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(map(escaped, row))} |"


def escaped(text: str) -> str:
    """Text without a meaning in Markdown or HTML."""
    return _LINKS.sub("\\1\u200b", _SPECIAL.sub(r"\\\1", printable(text)))
