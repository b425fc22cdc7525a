"""The smallest policies that let seen flows pass: from records of denied packets, for people to review.

Records may come from anywhere: nothing in them is believed, and everything that cannot be a policy is counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Final

from attrs import field

from mnp_core.classes import frozen
from mnp_core.model.kinds import POLICY
from mnp_core.model.parsing.names import is_namespace_name
from mnp_core.model.parsing.namespace import NAME_LABEL

_PROTOCOLS: Final = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP"}
_LAST_PORT: Final = 65535
_ICMP: Final = "ICMP, which no port names: the settings accept-icmp and accept-icmpv6 let it pass"
_NO_PORT: Final = "a protocol without ports, or cut off: only a rule without ports lets it pass"
_NO_OPENER: Final = "not the first of their flow: they belong to flows that were cut"
_NO_LABELS: Final = "of a pod without a label of its own: give it one, so that a policy can select it"
_UNKNOWN: Final = "not understood: these are no records of mnp denied -o json"
_OF_ONE_POD: Final = frozenset(
    {
        "pod-template-hash",
        "pod-template-generation",
        "controller-revision-hash",
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
    }
)
"""Labels that controllers write, which change with each revision."""

Labels = tuple[tuple[str, str], ...]


@frozen(kw_only=True, order=True)
class _Target:
    namespace: str
    labels: Labels
    networks: tuple[str, ...]


@frozen(kw_only=True, order=True)
class _Peer:
    """A pod by labels, or else an address."""

    namespace: str = ""
    labels: Labels = ()
    address: str = ""


@frozen(kw_only=True)
class _Flow:
    target: _Target
    direction: str
    peer: _Peer
    protocol: str
    port: int


@frozen(kw_only=True)
class Suggestion:
    """Policies, and the packets that they say nothing about.

    Attributes:
        policies: Manifests.
        packets: The number of packets that pass by them.
        left_out: The number of others, by the reason.
    """

    policies: tuple[dict[str, object], ...]
    packets: int = 0
    left_out: Mapping[str, int] = field(factory=dict)


def suggest(records: Iterable[object]) -> Suggestion:
    """Write policies for the flows that these packets open.

    Args:
        records: As `mnp_core.telemetry.denied_packet.as_record` makes them.
    """
    flows: list[_Flow] = []
    left_out: Counter[str] = Counter()
    for record in records:
        found = _flow(record)
        if isinstance(found, _Flow):
            flows.append(found)
        else:
            left_out[found] += 1
    by_target: defaultdict[_Target, list[_Flow]] = defaultdict(list)
    for flow in flows:
        by_target[flow.target].append(flow)
    made = (_policy(number, target, by_target[target]) for number, target in enumerate(sorted(by_target), start=1))
    return Suggestion(policies=tuple(made), packets=len(flows), left_out=dict(sorted(left_out.items())))


# --- from records ---------------------------------------------------------------------------------------------------


def _flow(record: object) -> "_Flow | str":
    """The flow of a packet, or why it has none."""
    if not isinstance(record, Mapping):
        return _UNKNOWN
    try:
        return _known_flow(record)
    except (KeyError, TypeError, ValueError):
        return _UNKNOWN


def _known_flow(record: Mapping[str, object]) -> "_Flow | str":
    """Raises KeyError, TypeError or ValueError if it is no record."""
    direction, protocol = _one_of(record["direction"], ("ingress", "egress")), _text(record["protocol"])
    target = _target(record)
    peer = _peer(record, direction)
    if protocol in {"icmp", "icmpv6"}:
        return _ICMP
    port = record.get("destination_port")
    if protocol not in _PROTOCOLS or port is None:
        return _NO_PORT
    if record["opens_flow"] is not True:
        return _NO_OPENER
    if not target.labels:
        return _NO_LABELS
    return _Flow(target=target, direction=direction, peer=peer, protocol=_PROTOCOLS[protocol], port=_port(port))


def _target(record: Mapping[str, object]) -> _Target:
    networks = record["networks"]
    if not isinstance(networks, list) or not networks:
        raise TypeError(networks)
    return _Target(
        namespace=_namespace(record["pod"]),
        labels=_labels(record["labels"]),
        networks=tuple(sorted(map(_network, networks))),
    )


def _peer(record: Mapping[str, object], direction: str) -> _Peer:
    address = ip_address(_text(record["source" if direction == "ingress" else "destination"]))
    labels = _labels(record.get("peer_labels") or {}) if record.get("peer") is not None else ()
    if labels:
        return _Peer(namespace=_namespace(record["peer"]), labels=labels)
    return _Peer(address=f"{address}/{address.max_prefixlen}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _one_of(value: object, words: Sequence[str]) -> str:
    if value not in words:
        raise ValueError(value)
    return str(value)


def _namespace(value: object) -> str:
    namespace, slash, name = _text(value).partition("/")
    if not (slash and name and is_namespace_name(namespace)):
        raise ValueError(value)
    return namespace


def _network(value: object) -> str:
    _namespace(value)
    if "," in str(value):
        raise ValueError(value)
    return str(value)


def _labels(value: object) -> Labels:
    if not isinstance(value, Mapping):
        raise TypeError(value)
    return tuple(sorted((_text(key), _text(text)) for key, text in value.items() if key not in _OF_ONE_POD))


def _port(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    if not 0 < value <= _LAST_PORT:
        raise ValueError(value)
    return value


# --- to policies ----------------------------------------------------------------------------------------------------


def _policy(number: int, target: _Target, flows: Sequence[_Flow]) -> dict[str, object]:
    rules = {direction: _rules(flows, direction, target.namespace) for direction in ("ingress", "egress")}
    return {
        "apiVersion": f"{POLICY.group}/v1beta1",
        "kind": POLICY.kind,
        "metadata": {
            "name": f"suggested-{number}",
            "namespace": target.namespace,
            "annotations": {"k8s.v1.cni.cncf.io/policy-for": ",".join(target.networks)},
        },
        "spec": {
            "podSelector": {"matchLabels": dict(target.labels)},
            "policyTypes": [direction.capitalize() for direction, found in rules.items() if found],
            **{direction: found for direction, found in rules.items() if found},
        },
    }


def _rules(flows: Iterable[_Flow], direction: str, namespace: str) -> list[dict[str, object]]:
    """A rule for each set of ports, with all peers that have used exactly these."""
    ports: defaultdict[_Peer, set[tuple[str, int]]] = defaultdict(set)
    for flow in flows:
        if flow.direction == direction:
            ports[flow.peer].add((flow.protocol, flow.port))
    peers: defaultdict[tuple[tuple[str, int], ...], list[_Peer]] = defaultdict(list)
    for peer in sorted(ports):
        peers[tuple(sorted(ports[peer]))].append(peer)
    side = "from" if direction == "ingress" else "to"
    return [
        {
            side: [_as_peer(peer, namespace) for peer in peers[used]],
            "ports": [{"protocol": protocol, "port": port} for protocol, port in used],
        }
        for used in sorted(peers)
    ]


def _as_peer(peer: _Peer, namespace: str) -> dict[str, object]:
    if peer.address:
        return {"ipBlock": {"cidr": peer.address}}
    selector: dict[str, object] = {"podSelector": {"matchLabels": dict(peer.labels)}}
    if peer.namespace != namespace:
        selector["namespaceSelector"] = {"matchLabels": {NAME_LABEL: peer.namespace}}
    return selector
