"""What a tenant may do to the node agent by writing objects, or from the node's loopback: each is a row of a table.

A row is added by adding to `ATTACKS`. The test undoes it: objects are deleted, clients are closed.
"""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count as numbers

from attrs import field, frozen

from mnp_core.model import Reason
from tests.security.flows import forge

_PORTS = numbers(10_000)
TENANT = "tenant"
POLICIES = "multi-networkpolicies"
FOR = {"k8s.v1.cni.cncf.io/policy-for": "demo/data"}
NETWORKS = [f"{TENANT}/net-{number}" for number in range(9)]
NINE = {"k8s.v1.cni.cncf.io/policy-for": ",".join(NETWORKS)}


@frozen(kw_only=True)
class Attack:
    """One row.

    Attributes:
        name: The attack.
        policies: The policies that it writes.
        others: Objects of other kinds that are written, each with the plural of its kind.
        inside: What a process with all rights does in each pod of the tenant, again and again.
        told: Reasons of the expected reports.
        logged: A part of a line of the log that must be there if nothing else is done.
        clients: Slow clients of the endpoint.
        longest: Seconds for a change of the quiet tenant; watch events are read in order.
        tier: The mark of the runs that it is left to: ``full``, ``long``, or none.
    """

    name: str
    policies: Callable[[], Iterator[dict]] = lambda: iter(())
    others: Callable[[], Iterator[tuple[str, dict]]] = lambda: iter(())
    inside: Callable[[], object] | None = None
    logged: str = ""
    told: frozenset = field(factory=frozenset, converter=frozenset)
    clients: int = 0
    longest: float = 1.0
    tier: str = ""

    def __str__(self):
        return self.name


def policy(name, ingress, selector=None):
    metadata = {"name": name, "namespace": TENANT, "annotations": FOR}
    spec = {"podSelector": selector or {}, "ingress": ingress}
    return {"apiVersion": "k8s.cni.cncf.io/v1beta1", "kind": "MultiNetworkPolicy", "metadata": metadata, "spec": spec}


def _labelled(count):
    return [{"from": [{"podSelector": {"matchLabels": {"a": str(number)}}}]} for number in range(count)]


def _broad(count):
    """Each selects nearly all pods, and each is another selector."""
    requirement = {"key": "x", "operator": "NotIn"}
    peers = [{"matchExpressions": [requirement | {"values": [str(number)]}]} for number in range(count)]
    return [{"from": [{"namespaceSelector": {}, "podSelector": peer}]} for peer in peers]


def _vain(count):
    """Selectors that every pod of the cluster is a candidate of, and that none matches."""
    exists = {"key": "z", "operator": "Exists"}
    differ = ({"key": "a", "operator": "NotIn", "values": [str(number)]} for number in range(count))
    peers = [{"namespaceSelector": {}, "podSelector": {"matchExpressions": [each, exists]}} for each in differ]
    return [{"from": [peer]} for peer in peers]


def _blocks(count, start=0):
    """No two of them touch: as ranges they would be one."""
    numbers = range(2 * start, 2 * (start + count), 2)
    return [{"from": [{"ipBlock": {"cidr": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32"}}]} for n in numbers]


def _peers(count, start):
    return [peer for rule in _blocks(count, start) for peer in rule["from"]]


def _ported(count):
    return [rule | {"ports": [{"port": 1 + n % 60_000}]} for n, rule in enumerate(_blocks(count))]


def _malformed(count):
    return (policy(f"junk-{n}", [{"from": [{f"odd-{k}": {}} for k in range(60)]}]) for n in range(count))


def _crowd(namespaces, count):
    """From everywhere, as a user may write that makes namespaces."""
    for number in range(namespaces):
        name = f"{TENANT}-{number}"
        yield "namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for raw in _malformed(count):
            raw["metadata"]["namespace"] = name
            yield POLICIES, raw


def _delete_rules():
    subprocess.run(["nft", "delete", "table", "inet", "mnp"], check=False, capture_output=True)


def _forge_flows():
    """Entries of connection tracking that count as established."""
    for number in range(100):
        with suppress(OSError):  # it is there already
            forge(("10.20.0.1", next(_PORTS)), ("10.10.0.9", 1 + number))


def _flood(count):
    return (policy(f"flood-{n}", _blocks(50, 50 * n)) for n in range(count))


def _load(label, scope):
    """Each pod is selected by 48 or 49 of them."""
    for number in range(485):
        raw = policy(
            f"load-{number}", [{"from": _peers(450, 450 * number)}], {"matchLabels": {label: str(number % 10)}}
        )
        raw["metadata"]["annotations"] = scope
        yield raw


def _deep(count):
    """Selectors of a thousand requirements each."""
    for number in range(count):
        requirements = [{"key": f"k{n}", "operator": "NotIn", "values": [f"{number}-{n}"]} for n in range(1000)]
        yield policy(f"deep-{number}", [{"from": [{"podSelector": {"matchExpressions": requirements}}]}])


def pod(name, status, labels=None, **spec):
    """As a tenant may write it: with any network-status."""
    metadata = {"name": name, "namespace": TENANT, "labels": labels or {}}
    metadata["annotations"] = {"k8s.v1.cni.cncf.io/network-status": status}
    return "pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _status(number, interface="net1"):
    address = f"10.21.{number >> 8 & 255}.{number & 255}"
    return json.dumps([{"name": "demo/data", "interface": interface, "ips": [address]}])


def _storm(pods, rounds):
    """Labels that change and change."""
    for turn in range(rounds):
        for number in range(pods):
            yield pod(f"storm-{number}", _status(number), {"turn": str(turn), "far": "yes"}, nodeName="elsewhere")


def _long(count):
    """Annotations as large as Kubernetes takes them."""
    entries = json.loads(_status(0)) * 3500
    return (pod(f"long-{n}", json.dumps(entries)[:250_000], nodeName="elsewhere") for n in range(count))


def _odd_names():
    """Interface names that no interface has, or none that Kubernetes takes."""
    names = ["lo", "all", "a/b", "$(id)", "é" * 7, "n\x00", "-j ACCEPT", 'x"; drop', "x" * 16, "\u202enet1", "*", "+"]
    return (pod(f"odd-{n}", _status(n, name), nodeName="here") for n, name in enumerate(names))


def _networks(count):
    for number in range(count):
        metadata = {"name": f"spare-{number}", "namespace": TENANT}
        config = json.dumps({"cniVersion": "0.3.1", "type": "macvlan", "master": f"eth{number}"})
        yield "network-attachment-definitions", {"metadata": metadata, "spec": {"config": config}}


def slow_clients(port, count) -> ExitStack:
    """Connections that begin a request and do not end it."""
    clients = ExitStack()
    for _ in range(count):
        client = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
    return clients


OVER = {Reason.OVER_BUDGET}
ATTACKS = (
    Attack(
        name="three policies of 400,000 times {}",
        policies=lambda: (policy(f"empty-{n}", [{}] * 400_000) for n in range(3)),
        told=OVER,
    ),
    Attack(name="300 selectors on all pods", policies=lambda: iter([policy("many", _labelled(300))]), tier="full"),
    Attack(
        name="1,500 selectors on all pods",
        policies=lambda: iter([policy("more", _labelled(1500))]),
        told=OVER,
        tier="long",
    ),
    Attack(name="100 broad selectors", policies=lambda: iter([policy("broad", _broad(100))]), told=OVER),
    Attack(
        name="1,000 broad selectors", policies=lambda: iter([policy("broader", _broad(1000))]), told=OVER, tier="long"
    ),
    Attack(name="499 selectors that match no pod", policies=lambda: iter([policy("vain", _vain(499))]), tier="full"),
    Attack(
        name="10,000 selectors on one pod",
        policies=lambda: iter([policy("one", _labelled(10_000), {"matchLabels": {"number": "0"}})]),
        told=OVER,
        tier="long",
    ),
    Attack(name="40,000 rules", policies=lambda: iter([policy("rules", _ported(40_000))]), told=OVER, tier="long"),
    Attack(name="1,000 rules, as many as allowed", policies=lambda: iter([policy("big", _ported(1000))]), tier="full"),
    Attack(name="100 malformed policies", policies=lambda: _malformed(100), told={Reason.INVALID_PEER}),
    Attack(name="1,000 malformed policies", policies=lambda: _malformed(1000), told={Reason.INVALID_PEER}, tier="long"),
    Attack(name="a flood of 150 policies", policies=lambda: _flood(150)),
    Attack(
        name="485 policies of 450 CIDRs, 10 pods",
        policies=lambda: _load("number", FOR),
        tier="long",
    ),
    Attack(
        name="the same, 10 pods of 9 networks each",
        policies=lambda: _load("wide", NINE),
        told=OVER,
        tier="long",
    ),
    Attack(
        name="2,000 policies without rules",
        policies=lambda: (policy(f"tiny-{n}", []) for n in range(2000)),
        tier="full",
    ),
    Attack(name="30 selectors of 1,000 requirements", policies=lambda: _deep(30), told=OVER),
    Attack(name="200 pods change their labels ten times", others=lambda: _storm(200, 10)),
    Attack(name="50 annotations of 250 KB", others=lambda: _long(50)),
    Attack(
        name="1,000 pods without a node",
        others=lambda: (pod(f"nowhere-{n}", _status(n), {"far": "yes"}) for n in range(1000)),
    ),
    Attack(name="odd names of interfaces", others=_odd_names, told={Reason.INVALID_STATUS}),
    Attack(name="2,000 networks", others=lambda: _networks(2000)),
    Attack(name="10,000 networks", others=lambda: _networks(10_000), tier="long"),
    Attack(
        name="200 namespaces of 10 malformed policies",
        others=lambda: _crowd(200, 10),
        logged=f"MultiNetworkPolicy {TENANT}-199/junk-9",
        tier="long",
    ),
    Attack(name="rules deleted in 20 pods", inside=_delete_rules, logged=f'msg="drift repaired" pod={TENANT}/'),
    Attack(name="flows forged in 20 pods", inside=_forge_flows),
    Attack(name="48 slow clients of the endpoint", clients=48),
)
