"""The steps of the truth table: states of the cluster, category by category, in the manner of Cyclonus and k8s e2e.

A step is a whole state, never a difference: the player of the steps derives creations, updates and deletions.
"""

from collections.abc import Iterator
from itertools import combinations, product
from typing import NamedTuple

from mnp_core.testing.suites.truthtable.cluster import Manifest, base, namespace, pod, policy

DENY_BOTH = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
DIRECTIONS = (("Ingress", "ingress", "from"), ("Egress", "egress", "to"))


class Step(NamedTuple):
    """One state, and whether it builds on the one before (then it must be played after it)."""

    category: str
    name: str
    objects: list[Manifest]
    follows: bool = False


def _with(category: str, name: str, *policies: Manifest) -> Step:
    return Step(category, name, [*base(), *policies])


# --- targets ----------------------------------------------------------------------------------------------------

TARGET_SELECTORS = {
    "missing": None,
    "empty": {},
    "label": {"matchLabels": {"pod": "a"}},
    "in": {"matchExpressions": [{"key": "pod", "operator": "In", "values": ["a", "b"]}]},
    "not in": {"matchExpressions": [{"key": "pod", "operator": "NotIn", "values": ["a"]}]},
    "exists": {"matchExpressions": [{"key": "pod", "operator": "Exists"}]},
    "does not exist": {"matchExpressions": [{"key": "pod", "operator": "DoesNotExist"}]},
    "label and not in": {
        "matchLabels": {"pod": "b"},
        "matchExpressions": [{"key": "pod", "operator": "NotIn", "values": ["b"]}],
    },
}


def targets() -> Iterator[Step]:
    """Targets of a policy."""
    types = (["Ingress"], ["Egress"], ["Ingress", "Egress"])
    for home, (what, selector), chosen in product(("x", "y"), TARGET_SELECTORS.items(), types):
        spec = {"policyTypes": chosen} | ({} if selector is None else {"podSelector": selector})
        yield _with("targets", f"{home}: {what}, {'+'.join(chosen)}", policy(spec, namespace=home))


# --- rules ------------------------------------------------------------------------------------------------------

MISSING = object()


def rules() -> Iterator[Step]:
    """None, empty and many rules in one or both directions, with policyTypes written and left out."""
    many = [
        {"ports": [{"port": 80}]},
        {"{peers}": [{"podSelector": {"matchLabels": {"pod": "b"}}}]},
        {"{peers}": [{"namespaceSelector": {"matchLabels": {"ns": "z"}}}], "ports": [{"port": 81, "protocol": "UDP"}]},
    ]
    lists = {"missing": MISSING, "null": None, "empty": [], "everything": [{}], "one": many[:1], "many": many}
    for (kind, field, peers_field), (what, content) in product(DIRECTIONS, lists.items()):
        spec = {"podSelector": {"matchLabels": {"pod": "a"}}}
        if content is not MISSING:
            spec[field] = _spelled(content, peers_field)
        yield _with("rules", f"{field} {what}", policy(spec))
        yield _with("rules", f"{field} {what}, types written", policy(spec | {"policyTypes": [kind]}))
        yield _with("rules", f"{field} {what}, both types", policy(spec | {"policyTypes": ["Ingress", "Egress"]}))


def _spelled(content: list[dict] | None, peers_field: str) -> list[dict] | None:
    if content is None:
        return None
    return [{peers_field if key == "{peers}" else key: value for key, value in rule.items()} for rule in content]


# --- peers: 2 directions x 56 -----------------------------------------------------------------------------------

NAMESPACE_SELECTORS = (
    None,
    {},
    {"matchLabels": {"ns": "y"}},
    {"matchExpressions": [{"key": "ns", "operator": "In", "values": ["y", "z"]}]},
)
POD_SELECTORS = (
    None,
    {},
    {"matchLabels": {"pod": "b"}},
    {"matchExpressions": [{"key": "pod", "operator": "In", "values": ["b", "c"]}]},
)
OTHER_OPERATORS = (
    {"key": "{key}", "operator": "NotIn", "values": ["x", "a"]},
    {"key": "{key}", "operator": "Exists"},
    {"key": "{key}", "operator": "DoesNotExist"},
)
BLOCKS = (
    {"cidr": "0.0.0.0/0"},
    {"cidr": "::/0"},
    {"cidr": "10.20.0.0/24"},
    {"cidr": "10.20.0.33/32"},
    {"cidr": "10.20.0.0/24", "except": ["10.20.0.33/32"]},
    {"cidr": "10.20.0.16/28", "except": ["10.20.0.18/32", "10.20.0.16/30", "10.20.0.18/31"]},
    {"cidr": "0.0.0.0/0", "except": ["10.20.0.32/27"]},
    {"cidr": "fd20::/64"},
    {"cidr": "fd20::21/128"},
    {"cidr": "fd20::/64", "except": ["fd20::21/128", "fd20::30/124"]},
)


def _pod_peer(by_namespace: dict | None, by_pod: dict | None) -> dict:
    peer = {"namespaceSelector": by_namespace, "podSelector": by_pod}
    return {field: selector for field, selector in peer.items() if selector is not None}


def _with_key(requirement: dict, key: str) -> dict:
    return {"matchExpressions": [requirement | {"key": key}]}


POD_PEERS = tuple(_pod_peer(*pair) for pair in product(NAMESPACE_SELECTORS, POD_SELECTORS) if pair != (None, None))
OPERATOR_PEERS = (
    *({"namespaceSelector": _with_key(requirement, "ns")} for requirement in OTHER_OPERATORS),
    *({"podSelector": _with_key(requirement, "pod")} for requirement in OTHER_OPERATORS),
)
BLOCK_PEERS = tuple({"ipBlock": block} for block in BLOCKS)
PAIRED = (*POD_PEERS[1:3], POD_PEERS[7], POD_PEERS[13], BLOCK_PEERS[4], BLOCK_PEERS[5], BLOCK_PEERS[9])
PEER_LISTS = (
    *(MISSING, None, []),
    *([peer] for peer in (*POD_PEERS, *OPERATOR_PEERS, *BLOCK_PEERS, {})),
    *(list(pair) for pair in combinations(PAIRED, 2)),
)


def peers() -> Iterator[Step]:
    """The allowed peers: none, single peers of every kind, pairs."""
    for (kind, field, peers_field), (number, content) in product(DIRECTIONS, enumerate(PEER_LISTS)):
        rule = {} if content is MISSING else {peers_field: content}
        spec = {"podSelector": {"matchLabels": {"pod": "a"}}, "policyTypes": [kind], field: [rule]}
        yield _with("peers", f"{field} {number}", policy(spec))


# --- ports and protocols: 2 directions x 35 ---------------------------------------------------------------------

SINGLE_PORTS = tuple(
    ({} if protocol is None else {"protocol": protocol}) | port
    for protocol, port in product(
        (None, "TCP", "UDP", "SCTP"),
        ({}, {"port": 80}, {"port": 81}, {"port": "serve-80-tcp"}, {"port": 79, "endPort": 80}),
    )
)
MORE_PORTS = (
    {"protocol": "UDP", "port": "serve-81-udp"},
    {"protocol": "SCTP", "port": "serve-80-sctp"},
    {"port": 81, "endPort": 80},
    {"port": "serve-79-tcp"},
)
PORT_PAIRS = (
    [{"protocol": "TCP"}, {"protocol": "TCP", "port": 80}],
    [{"protocol": "TCP", "port": 80}, {"protocol": "TCP"}],
    [{"protocol": "TCP", "port": 80}, {"protocol": "UDP", "port": 81}],
    [{"port": 80}, {"port": 81}],
    [{"port": "serve-80-tcp"}, {"protocol": "UDP"}],
    [{"protocol": "SCTP"}, {"protocol": "UDP", "port": 80}],
    [{"port": 79, "endPort": 80}, {"port": 80, "endPort": 82}],
    [{"port": 80}, {"port": "serve-81-tcp"}, {"protocol": "SCTP", "port": "serve-81-sctp"}],
)
PORT_LISTS = (*(MISSING, None, []), *([entry] for entry in (*SINGLE_PORTS, *MORE_PORTS)), *PORT_PAIRS)


def ports() -> Iterator[Step]:
    """Which ports are allowed, towards peers in two namespaces."""
    for (kind, field, peers_field), (number, content) in product(DIRECTIONS, enumerate(PORT_LISTS)):
        rule = {peers_field: [{"namespaceSelector": {"matchExpressions": [{"key": "ns", "operator": "Exists"}]}}]}
        rule |= {} if content is MISSING else {"ports": content}
        spec = {"podSelector": {"matchLabels": {"pod": "a"}}, "policyTypes": [kind], field: [rule]}
        yield _with("ports", f"{field} {number}", policy(spec))


# --- conflicts --------------------------------------------------------------------------------------------------

CONFLICTING = {
    "deny all": DENY_BOTH,
    "deny ingress": {"podSelector": {}, "policyTypes": ["Ingress"]},
    "allow all": {**DENY_BOTH, "ingress": [{}], "egress": [{}]},
    "allow all ingress": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
    "from z on 80": {
        "podSelector": {"matchLabels": {"pod": "a"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"ns": "z"}}}], "ports": [{"port": 80}]}],
    },
    "all but one": {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"ipBlock": {"cidr": "10.20.0.0/24", "except": ["10.20.0.33/32"]}}]}],
    },
    "that one": {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"ipBlock": {"cidr": "10.20.0.32/27"}}]}],
    },
    "to y over UDP": {
        "podSelector": {"matchLabels": {"pod": "b"}},
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"namespaceSelector": {"matchLabels": {"ns": "y"}}}], "ports": [{"protocol": "UDP"}]}],
    },
}


def conflicts() -> Iterator[Step]:
    """Several policies on the same pods: the union is allowed, in any order (S11)."""
    for chosen in (*combinations(CONFLICTING, 2), tuple(CONFLICTING)):
        policies = [policy(CONFLICTING[what], name=f"policy{index}") for index, what in enumerate(chosen)]
        yield _with("conflicts", " and ".join(chosen), *policies)


# --- actions ----------------------------------------------------------------------------------------------------


def actions() -> Iterator[Step]:
    """Changes of a living cluster. Every sequence begins with a state of its own."""
    for what, states in SEQUENCES.items():
        for number, state in enumerate(states):
            yield Step("actions", f"{what} [{number}]", state, follows=number > 0)


def changed(*replacements: Manifest, without: tuple[str, ...] = (), policies: tuple[Manifest, ...] = ()) -> list:
    """The base with some objects replaced, added or left out (``namespace/name`` of pods)."""
    state = {_key(manifest): manifest for manifest in (*base(), *replacements, *policies)}
    return [manifest for key, manifest in state.items() if key not in {f"Pod {name}" for name in without}]


def _key(manifest: Manifest) -> str:
    meta = manifest["metadata"]
    return f"{manifest['kind']} {meta.get('namespace', '')}/{meta['name']}"


FROM_LABELLED_NAMESPACE = policy(
    {
        "podSelector": {"matchLabels": {"pod": "a"}},
        "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "red"}}}], "ports": [{"port": 80}]}],
    }
)
FROM_LABELLED_POD = policy(
    {
        "podSelector": {"matchLabels": {"role": "server"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "client"}}, "namespaceSelector": {}}]}],
        "egress": [{"to": [{"podSelector": {"matchLabels": {"role": "client"}}}], "ports": [{"port": "serve-81-tcp"}]}],
    }
)
DENY_X = policy(DENY_BOTH)
ALLOW_80 = policy({**DENY_BOTH, "ingress": [{"ports": [{"port": 80}]}], "egress": [{}]})
ALLOW_81 = policy({**DENY_BOTH, "ingress": [{"ports": [{"port": 81}]}], "egress": [{}]})
OTHER = policy({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}, name="other")
SERVER, CLIENT = pod("x", "a", role="server"), pod("y", "b", role="client")

SEQUENCES: dict[str, tuple[list[Manifest], ...]] = {
    "create and delete policies": (
        changed(),
        changed(policies=(DENY_X,)),
        changed(policies=(DENY_X, OTHER)),
        changed(policies=(OTHER,)),
        changed(),
    ),
    "update a policy": (
        changed(policies=(DENY_X,)),
        changed(policies=(ALLOW_80,)),
        changed(policies=(ALLOW_81,)),
        changed(policies=(FROM_LABELLED_NAMESPACE,)),
        changed(policies=(DENY_X,)),
    ),
    "relabel a namespace": (
        changed(policies=(FROM_LABELLED_NAMESPACE,)),
        changed(namespace("y", team="red"), policies=(FROM_LABELLED_NAMESPACE,)),
        changed(namespace("y", team="red"), namespace("x", team="red"), policies=(FROM_LABELLED_NAMESPACE,)),
        changed(namespace("y", team="blue"), namespace("x", team="red"), policies=(FROM_LABELLED_NAMESPACE,)),
        changed(policies=(FROM_LABELLED_NAMESPACE,)),
    ),
    "relabel a pod": (
        changed(policies=(FROM_LABELLED_POD,)),
        changed(SERVER, policies=(FROM_LABELLED_POD,)),
        changed(SERVER, CLIENT, policies=(FROM_LABELLED_POD,)),
        changed(SERVER, CLIENT, pod("x", "b", role="client"), policies=(FROM_LABELLED_POD,)),
        changed(CLIENT, pod("x", "b", role="client"), policies=(FROM_LABELLED_POD,)),
        changed(policies=(FROM_LABELLED_POD,)),
    ),
    "delete and create a pod": (
        changed(SERVER, CLIENT, policies=(FROM_LABELLED_POD,)),
        changed(SERVER, policies=(FROM_LABELLED_POD,), without=("y/b",)),
        changed(SERVER, CLIENT, policies=(FROM_LABELLED_POD,)),
        changed(CLIENT, policies=(FROM_LABELLED_POD,), without=("x/a",)),
        changed(SERVER, CLIENT, policies=(FROM_LABELLED_POD,)),
    ),
}

CATEGORIES = {
    "targets": targets,
    "rules": rules,
    "peers": peers,
    "ports": ports,
    "conflicts": conflicts,
    "actions": actions,
}
