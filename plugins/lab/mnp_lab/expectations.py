"""Policy tests: a file of expected verdicts, compared with those of packets.

    apiVersion: mnp.lab/v1
    kind: Expectations
    metadata: {name: storage}
    expectations:
    - from: web/*                  # namespace/pod; globs and lists of them are fine
      to: [db/primary, db/replica]
      ports: [tcp:5432, icmp]      # or port: tcp:5432
      network: db/storage          # if they share several and only one is meant
      family: IPv6                 # likewise
      expect: allowed              # or denied, or refused

A file that holds nothing but the list will do as well. As an object it can lie among the manifests.
"""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from attrs import frozen

from mnp_core.errors import InputError
from mnp_core.model import ObjectName
from mnp_core.offline.probe import Probe, ProbeResult, ProbeSpec, ProbeVerdict, parse_probe
from mnp_core.offline.strict_field import StrictField
from mnp_core.sources.textfile import read_text
from mnp_core.sources.yamltext import decode_yaml
from mnp_lab.probe import plan_probes
from mnp_lab.topology import LabPlan

KIND = "Expectations"
_FIELDS = frozenset({"from", "to", "port", "ports", "network", "family", "expect"})
_FAMILIES = {"IPv4": 4, "IPv6": 6}
_UNEXPECTED = frozenset({ProbeVerdict.ERROR, ProbeVerdict.WOULD_DENY})  # neither is the fate of a packet
_VERDICTS = {verdict.value: verdict for verdict in ProbeVerdict if verdict not in _UNEXPECTED}


@frozen(kw_only=True)
class Expectation:
    """One entry of the file.

    Attributes:
        sources: Patterns of ``namespace/pod``; any of them.
        destinations: Likewise.
        specs: Protocols and ports.
        verdict: The expected verdict.
        network: If only one is meant.
        family: 4 or 6, if only one is meant.
        entry: Its place in the file, for error messages.
    """

    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    specs: tuple[ProbeSpec, ...]
    verdict: ProbeVerdict
    network: ObjectName | None = None
    family: int | None = None
    entry: StrictField

    def probes(self, plan: LabPlan) -> "Questions":
        """Find the probes that decide it; a pattern without a pod in the lab costs no other pattern its probes."""
        sources, errors = self._matching(plan, "from", self.sources)
        destinations, more = self._matching(plan, "to", self.destinations)
        errors += more
        found = plan_probes(plan, self.specs, sources=sources, destinations=destinations, network=self.network)
        probes = tuple(probe for probe in found if self.family in (None, probe.address.version))
        if not probes and not errors:
            wrong = "nothing to probe: these pods share no such network, or have no address there"
            errors.append(self.entry.wrong(wrong))
        return Questions(probes=probes, errors=tuple(errors))

    def _matching(
        self, plan: LabPlan, field: str, patterns: Sequence[str]
    ) -> tuple[frozenset[ObjectName], list[InputError]]:
        matching = {pattern: {pod for pod in plan.pods if fnmatchcase(str(pod), pattern)} for pattern in patterns}
        errors = [self._missing(plan, field, pattern) for pattern, pods in matching.items() if not pods]
        return frozenset().union(*matching.values()), errors

    def _missing(self, plan: LabPlan, field: str, pattern: str) -> InputError:
        for pod, error in plan.left_out.items():
            if fnmatchcase(str(pod), pattern):
                return self.entry.child(field).wrong(f"pod {pod} is left out of the lab: {error}")
        known = ", ".join(map(str, sorted(plan.pods)[:10])) or "none"
        return self.entry.child(field).wrong(f"no pod is called {pattern!r}; there are {known}")


@frozen(kw_only=True)
class Questions:
    """The probes of one expectation.

    Attributes:
        probes: The packets to send.
        errors: Parts that no packet can decide. There is at least one where there are no probes.
    """

    probes: tuple[Probe, ...]
    errors: tuple[InputError, ...]


@frozen(kw_only=True)
class Unjudged:
    """An expectation that no packet can decide, or a part of it: never passed, so that no typing error passes."""

    expectation: Expectation
    error: InputError


@frozen(kw_only=True)
class Check:
    """An expectation, and the result of one of its probes."""

    expectation: Expectation
    result: ProbeResult

    @property
    def passed(self) -> bool:
        """Whether it is as expected."""
        return self.result.verdict is self.expectation.verdict

    @property
    def may_be_chance(self) -> bool:
        """Whether a lost packet could explain the failure. A packet passed against the policy is never chance."""
        return not self.passed and self.result.verdict in {ProbeVerdict.DENIED, ProbeVerdict.ERROR}


def load_expectations(path: Path) -> tuple[Expectation, ...]:
    """Read a file of expectations: objects of the kind, or a list alone.

    Raises:
        InputError: It cannot be read, or an entry is not understood; it names file, entry and field.
    """
    documents = decode_yaml(read_text(path), str(path))
    expectations = tuple(found for each in documents for found in parse_expectations(each.value, where=str(path)))
    if not expectations:
        raise InputError("expects nothing: write a list of entries with from, to, port and expect", where=str(path))
    return expectations


def parse_expectations(raw: object, *, where: str) -> Iterator[Expectation]:
    """Read a decoded object, or list of entries; raises InputError. Objects of other kinds hold none."""
    whole = StrictField(value=raw, where=where)
    if isinstance(raw, Mapping):
        if raw.get("kind") != KIND:
            return
        whole = whole.child("expectations")
    for number, entry in enumerate(whole.elements(), start=1):
        yield _expectation(StrictField(value=entry.value, where=f"{where}, entry {number}"))


def _expectation(entry: StrictField) -> Expectation:
    for key in entry.mapping():
        if key not in _FIELDS:
            raise entry.wrong(f"{str(key)[:80]!r} is not a field of an expectation: {', '.join(sorted(_FIELDS))} are")
    network = entry.child("network").text()
    family = entry.child("family").text()
    if family and family not in _FAMILIES:
        raise entry.child("family").wrong("must be IPv4 or IPv6")
    return Expectation(
        sources=_patterns(entry.child("from")),
        destinations=_patterns(entry.child("to")),
        specs=_specs(entry),
        verdict=_verdict(entry.child("expect")),
        network=_network(entry.child("network")) if network else None,
        family=_FAMILIES.get(family),
        entry=entry,
    )


def _texts(field: StrictField) -> tuple[StrictField, ...]:
    """One text, or a list of them."""
    return tuple(field.elements()) if isinstance(field.value, list) else (field,)


def _patterns(field: StrictField) -> tuple[str, ...]:
    patterns = tuple(each.text() for each in _texts(field))
    if not patterns or not all(pattern.count("/") == 1 for pattern in patterns):
        raise field.wrong("must be namespace/pod, where * stands for any text, or a list of such")
    return patterns


def _specs(entry: StrictField) -> tuple[ProbeSpec, ...]:
    field = entry.child("ports" if "ports" in entry.mapping() else "port")
    if field.value is None:
        raise entry.wrong("needs a port: tcp:80, udp:53, sctp:99 or icmp; or a list of them as ports")
    return tuple(_spec(each) for each in _texts(field))


def _spec(field: StrictField) -> ProbeSpec:
    try:
        return parse_probe(field.text())
    except InputError as error:
        raise field.wrong(str(error)) from error


def _verdict(field: StrictField) -> ProbeVerdict:
    verdict = _VERDICTS.get(str(field.value))
    if verdict is None:
        raise field.wrong(f"must be one of {', '.join(_VERDICTS)}")
    return verdict


def _network(field: StrictField) -> ObjectName:
    namespace, _, name = field.text().rpartition("/")
    return ObjectName(namespace or "default", name)
