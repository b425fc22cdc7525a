"""Answers in lines: all ports of two ends on one network together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import field

from mnp_core.classes import frozen
from mnp_core.cli.formats.printing import printable
from mnp_core.model import ObjectName
from mnp_core.offline.port_spans import merged
from mnp_core.offline.probe import ProbeSpec
from mnp_core.offline.reach import Answer
from mnp_core.policy.explain import WOULD_DENY


@frozen(order=True)
class Pair:
    """Two ends on one network, in one address family."""

    source: ObjectName
    destination: ObjectName
    network: ObjectName
    family: int

    @classmethod
    def of(cls, answer: Answer) -> "Pair":
        """The pair that is asked about."""
        version = answer.way.destination.address.version
        return cls(answer.source.name, answer.destination.name, answer.network, version)


@frozen
class Ports:
    """The ports of a pair, by verdict; with several addresses a port may be in several.

    Attributes:
        allowed: They pass.
        denied: They do not.
        would_deny: Those of `allowed` that policies in audit mode would deny.
    """

    allowed: list[ProbeSpec] = field(factory=list)
    denied: list[ProbeSpec] = field(factory=list)
    would_deny: list[ProbeSpec] = field(factory=list)

    def sides(self) -> Iterator[tuple[str, Sequence[ProbeSpec]]]:
        """Verdicts that some port has, with these ports."""
        found = (("allowed", self.allowed), ("denied", self.denied), (WOULD_DENY, self.would_deny))
        yield from ((word, ports) for word, ports in found if ports)

    def add(self, answer: Answer) -> None:
        """Add one answer."""
        for ports, holds in (
            (self.allowed, answer.way.allowed),
            (self.denied, not answer.way.allowed),
            (self.would_deny, answer.way.would_deny),
        ):
            if holds and answer.spec not in ports:
                ports.append(answer.spec)


def by_pair(answers: Iterable[Answer]) -> Mapping[Pair, Ports]:
    """Answers by pair, in order."""
    found: dict[Pair, Ports] = {}
    for answer in answers:
        found.setdefault(Pair.of(answer), Ports()).add(answer)
    return dict(sorted(found.items()))


def ports_text(specs: Iterable[ProbeSpec]) -> str:
    """Ports in words."""
    return ", ".join(map(str, merged(specs)))


def dual_networks(pairs: Iterable[Pair]) -> frozenset[ObjectName]:
    """The networks whose family has to be named."""
    return frozenset(pair.network for pair in pairs if pair.family == 6)


def network_text(pair: Pair, dual: frozenset[ObjectName]) -> str:
    """The network, and the family where that is no matter of course."""
    return f"{pair.network}, IPv{pair.family}" if pair.network in dual else str(pair.network)


def text_lines(answers: Iterable[Answer]) -> Iterator[str]:
    """One line for each pair and verdict."""
    pairs = by_pair(answers)
    dual = dual_networks(pairs)
    for pair, ports in pairs.items():
        for word, specs in ports.sides():
            way = f"{pair.source} -> {pair.destination} on {network_text(pair, dual)}"
            yield printable(f"{word:7}  {way}: {ports_text(specs)}")
