"""The answers of a matrix in factors, so that thousands of pods fit into a page.

The verdict of one side depends on the rules of the interface and the signature of the other address. Both are
numbers here, with a table of the verdicts; the page's script looks up the rest.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from attrs import field

from mnp_core.classes import define
from mnp_core.errors import InputError
from mnp_core.model import Address, Direction, ObjectName
from mnp_core.offline.probe import ProbeSpec
from mnp_core.offline.reach import End
from mnp_core.policy.ends import Flow, Host, Place, places, senders
from mnp_core.policy.reachability import Judgement, Party, Reachability
from mnp_core.policy.signatures import Numbers

MOST_VERDICTS = 1_000_000
"""Verdicts in the tables of a page."""


@define
class _Tables:
    """Values by number."""

    values: list[object] = field(factory=list)
    _numbers: dict[Hashable, int] = field(factory=dict)

    def of(self, key: Hashable, value: object) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.values)
            self.values.append(value)
        return self._numbers[key]


def page_data(
    reach: Reachability,
    ends: Sequence[End],
    specs: Sequence[ProbeSpec],
    labels: Mapping[ObjectName, Mapping[str, str]],
    unknown: frozenset[Address],
) -> dict[str, object]:
    """The data of a page.

    Args:
        reach: Made for the ends.
        ends: Pods and blocks.
        specs: All ports that are asked for.
        labels: By pod.
        unknown: Addresses that only stand for others.

    Raises:
        InputError: There are too many verdicts.
    """
    made = _Data(reach, list(specs), unknown)
    found = [made.end(end, labels.get(end.name, {})) for end in ends]
    return {
        "specs": list(map(str, specs)),
        "ends": found,
        "egress": made.table(Direction.EGRESS, ends),
        "ingress": made.table(Direction.INGRESS, ends),
        "reasons": made.reasons.values,
    }


@define
class _Data:
    _reach: Reachability
    _specs: list[ProbeSpec]
    _unknown: frozenset[Address]
    reasons: _Tables = field(factory=_Tables, init=False)
    _groups: Numbers = field(factory=Numbers, init=False)
    _subnets: Numbers = field(factory=Numbers, init=False)

    def end(self, end: End, labels: Mapping[str, str]) -> dict[str, object]:
        """One end with its places."""
        first = list(senders(end.party))
        return {
            "name": str(end.name),
            "namespace": end.name.namespace,
            "labels": [f"{key}={value}" for key, value in sorted(labels.items())],
            "outside": end.is_outside,
            "group": self._groups.of((end.name.namespace, end.is_outside, end.ports, self._reach.likeness(end.party))),
            "ports": [self._specs.index(spec) for spec in end.ports if spec in self._specs],
            "places": [self._place(end.party, place, sends=place in first) for place in places(end.party)],
        }

    def _place(self, party: Party, place: Place, *, sends: bool) -> dict[str, object]:
        attachment = place.attachment
        found: dict[str, object] = {
            "family": place.address.version,
            "sends": sends,
            "signature": self._reach.signature(place.address),
        }
        if attachment is None or not isinstance(party, Host):
            return found
        near = self._reach.nearness(attachment, place.address)
        return found | {
            "network": str(attachment.network),
            "wire": self._reach.wire(attachment),
            "interface": attachment.interface,
            "address": "" if place.address in self._unknown else str(place.address),
            "egress": self._reach.rules(party, attachment.interface, Direction.EGRESS),
            "ingress": self._reach.rules(party, attachment.interface, Direction.INGRESS),
            "subnet": self._subnets.of(near[0]) if near else None,
            "within": sorted(map(self._subnets.of, near[1])) if near else [],
        }

    def table(self, direction: Direction, ends: Iterable[End]) -> dict[str, list[int]]:
        """Verdicts by rules and signature; the numbers of reasons in the order of the specs."""
        ruled: dict[tuple[str, int], dict[int, tuple[Party, Place]]] = defaultdict(dict)
        peers: dict[tuple[str, int], dict[int, Address]] = defaultdict(dict)
        outside: dict[int, dict[int, Address]] = defaultdict(dict)
        for end in ends:
            for place in places(end.party):
                family, signature = place.address.version, self._reach.signature(place.address)
                if not isinstance(end.party, Host) or place.attachment is None:
                    outside[family][signature] = place.address
                    continue
                key = self._reach.wire(place.attachment), family
                rules = self._reach.rules(end.party, place.attachment.interface, direction)
                ruled[key].setdefault(rules, (end.party, place))
                peers[key].setdefault(signature, place.address)
        size = sum(len(each) * (len(peers[key]) + len(outside[key[1]])) for key, each in ruled.items())
        if size * len(self._specs) > MOST_VERDICTS:
            raise InputError(
                f"the page would have {size * len(self._specs)} verdicts, the limit is {MOST_VERDICTS}: narrow it with"
                " --from, --to and --probe"
            )
        return {
            f"{rules},{signature}": [self._reason(*ruler, direction, peer, spec) for spec in self._specs]
            for key, each in ruled.items()
            for rules, ruler in each.items()
            for signature, peer in {**peers[key], **outside[key[1]]}.items()
        }

    def _reason(self, party: Party, place: Place, direction: Direction, peer: Address, spec: ProbeSpec) -> int:
        flow = Flow(protocol=spec.protocol, port=spec.port)
        judgement = self._reach.judgement(party, place, direction, peer, flow)
        origin = judgement.verdict.origin
        key = (judgement.standing, judgement.custom, judgement.verdict)
        return self.reasons.of(key, _reason(judgement, str(origin) if origin else judgement.verdict.setting or ""))


def _reason(judgement: Judgement, rule: str) -> dict[str, object]:
    return {
        "allowed": judgement.verdict.allowed,
        "standing": judgement.standing.value,
        "would": judgement.verdict.would_deny,
        "policies": list(map(str, judgement.verdict.policies)),
        "audits": list(map(str, judgement.verdict.audits)),
        "rule": rule,
        "custom": judgement.custom,
    }
