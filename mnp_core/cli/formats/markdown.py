"""Answers as Markdown tables, for pull requests and wikis."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from mnp_core.cli.formats.lines import Ports, by_pair, dual_networks, network_text, ports_text
from mnp_core.cli.formats.printing import printable
from mnp_core.offline.probe import ProbeSpec
from mnp_core.offline.reach import Answer
from mnp_core.policy.explain import WOULD_DENY

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~@&$]|:(?=[\w+-]+:))")
_LINKS = re.compile(r"(?i)\b(https?|ftp|www)(?=\\?[:.])")


def markdown_text(answers: Iterable[Answer]) -> str:
    """A table with a line for each pair."""
    pairs = by_pair(answers)
    dual = dual_networks(pairs)
    verdicts: dict[str, Callable[[Ports], list[ProbeSpec]]] = {
        "Allowed": lambda ports: ports.allowed,
        "Denied": lambda ports: ports.denied,
    }
    if any(ports.would_deny for ports in pairs.values()):
        verdicts[WOULD_DENY.capitalize()] = lambda ports: ports.would_deny
    rows = [
        [str(p.source), str(p.destination), network_text(p, dual), *(ports_text(of(ports)) for of in verdicts.values())]
        for p, ports in pairs.items()
    ]
    return "".join(f"{line}\n" for line in table(["From", "To", "Network", *verdicts], rows))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table; cells are escaped."""
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(map(escaped, row))} |"


def escaped(text: str) -> str:
    """Text without a meaning in Markdown or HTML."""
    return _LINKS.sub("\\1\u200b", _SPECIAL.sub(r"\\\1", printable(text)))
