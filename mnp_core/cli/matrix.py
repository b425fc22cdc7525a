"""Answers as matrices: sources down, destinations across, one for each network, address family and port.

Words and names as long as they fit; else one letter a cell under numbers, so that twenty pods fit into 80 columns.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from shutil import get_terminal_size

from mnp_core.classes import frozen
from mnp_core.cli.terminal import PLAIN, Line, Style, print_styled
from mnp_core.model import Address, ObjectName
from mnp_core.offline.probe import Probe, ProbeResult, ProbeSpec, ProbeVerdict

_STYLES: Mapping[ProbeVerdict, Style] = {
    ProbeVerdict.ALLOWED: Style(colour="green"),
    ProbeVerdict.DENIED: Style(colour="red"),
    ProbeVerdict.WOULD_DENY: Style(colour="magenta"),
    ProbeVerdict.REFUSED: Style(colour="yellow"),
    ProbeVerdict.ERROR: Style(colour="red", bold=True),
}
_BOLD = Style(bold=True)
_DIM = Style(dim=True)
_LETTERS = {
    ProbeVerdict.ALLOWED: ".",
    ProbeVerdict.DENIED: "X",
    ProbeVerdict.WOULD_DENY: "a",
    ProbeVerdict.REFUSED: "r",
    ProbeVerdict.ERROR: "!",
}
_NOT_PROBED = "-"
_SHORTEST_COLUMN = len(ProbeVerdict.ALLOWED)
_GAP = 2  # columns between two words
_LETTER_GAP = 1  # between two letters
_CORNER = "from \\ to"


@frozen(order=True)
class _Subject:
    """The subject of one matrix."""

    network: ObjectName
    family: int
    spec: ProbeSpec

    @classmethod
    def of(cls, result: ProbeResult) -> "_Subject":
        return cls(result.probe.network, result.probe.address.version, result.probe.spec)


@frozen
class _End:
    """One side of a probe: a pod may have several addresses on a network."""

    pod: ObjectName
    address: Address


Verdicts = Mapping[tuple[str, str], ProbeVerdict]


def print_matrices(results: Iterable[ProbeResult]) -> None:
    """Print all answers, for the width of the terminal."""
    for line in matrix_lines(results, get_terminal_size().columns):
        print_styled(line)


def matrix_lines(results: Iterable[ProbeResult], width: int) -> Iterator[Line]:
    """The lines of all matrices, an empty one after each."""
    ordered = sorted(results, key=_Subject.of)
    dual = {result.probe.network for result in ordered if result.probe.address.version == 6}
    for subject, group in groupby(ordered, key=_Subject.of):
        family = f", IPv{subject.family}" if subject.network in dual else ""
        yield [(f"{subject.spec} on {subject.network}{family}", _BOLD)]
        yield from _matrix(list(group), width)
        yield []


def _matrix(results: Sequence[ProbeResult], width: int) -> Iterator[Line]:
    labels = _labels([end for result in results for end in _ends(result.probe)])
    verdicts = {
        (labels[source], labels[destination]): result.verdict
        for result in results
        for source, destination in [_ends(result.probe)]
    }
    sources, destinations = (sorted({pair[side] for pair in verdicts}, key=_natural) for side in (0, 1))
    names = max(map(len, [_CORNER, *sources]))
    word = max([_SHORTEST_COLUMN, *map(len, verdicts.values())])
    if names + sum(_GAP + max(len(name), word) for name in destinations) <= width:
        yield from _words(sources, destinations, verdicts)
    else:
        yield from _letters(sources, destinations, verdicts, width - names)


def _natural(label: str) -> list[tuple[str, int]]:
    """An order in which pod-2 comes before pod-10."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", label)]


def _ends(probe: Probe) -> tuple[_End, _End]:
    return _End(probe.source, probe.source_address), _End(probe.destination, probe.address)


def _labels(ends: Iterable[_End]) -> dict[_End, str]:
    """The pod's name, with the address where that alone would be ambiguous."""
    distinct = set(ends)
    count = Counter(end.pod for end in distinct)
    return {end: str(end.pod) if count[end.pod] == 1 else f"{end.pod} {end.address}" for end in distinct}


def _words(sources: Sequence[str], destinations: Sequence[str], verdicts: Verdicts) -> Iterator[Line]:
    table = [_heading(_CORNER, *destinations)]
    for source in sources:
        row = (verdicts.get((source, destination)) for destination in destinations)
        table.append([(source, PLAIN), *(_cell(verdict, verdict.value if verdict else "") for verdict in row)])
    yield from _aligned(table, _GAP, str.ljust)


def _letters(sources: Sequence[str], destinations: Sequence[str], verdicts: Verdicts, width: int) -> Iterator[Line]:
    everybody = [*sources, *(name for name in destinations if name not in sources)]
    numbers = {name: str(number) for number, name in enumerate(everybody, start=1)}
    column = _LETTER_GAP + len(str(len(everybody)))
    room = max((width - _GAP) // column - 1, 5)
    for start in range(0, len(destinations), room):
        chunk = destinations[start : start + room]
        table = [_heading(_CORNER, "", *(numbers[name] for name in chunk))]
        for name in everybody:  # those that are no sources are listed for their numbers
            row = (verdicts.get((name, destination)) for destination in chunk)
            cells = (_cell(verdict, _LETTERS[verdict] if verdict else "") for verdict in row)
            table.append([(name, PLAIN), (numbers[name], PLAIN), *cells])
        yield from _aligned(table, _LETTER_GAP, str.rjust)
    yield [(_legend(set(verdicts.values())), _DIM)]


def _heading(*words: str) -> Line:
    return [(word, _DIM) for word in words]


def _aligned(table: Sequence[Line], gap: int, align: Callable[[str, int], str]) -> Iterator[Line]:
    """The rows, with columns as wide as their longest cells; the first one is of names, on the left."""
    names, *widths = (max(len(text) for text, _ in column) for column in zip(*table, strict=True))
    for (name, name_style), *cells in table:
        aligned = [(" " * gap + align(text, width), style) for (text, style), width in zip(cells, widths, strict=True)]
        last, last_style = aligned.pop()
        yield [(name.ljust(names), name_style), *aligned, (last.rstrip(), last_style)]


def _cell(verdict: ProbeVerdict | None, text: str) -> tuple[str, Style]:
    return (text, _STYLES[verdict]) if verdict else (_NOT_PROBED, _DIM)


def _legend(verdicts: Iterable[ProbeVerdict]) -> str:
    seen = [f"{_LETTERS[verdict]} {verdict.value}" for verdict in ProbeVerdict if verdict in verdicts]
    return "   ".join([*seen, f"{_NOT_PROBED} not probed"])
