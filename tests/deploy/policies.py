"""Specs of policies: realistic ones, and meaningless ones.

The sensible ones are after what the documentation and the end-to-end tests of multi-networkpolicy, and of its iptables
and nftables engines.
"""

NAMED = {"matchLabels": {"name": "server"}}

SENSIBLE = {
    "everything of a namespace is closed": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    "types follow from the rules": {
        "podSelector": NAMED,
        "egress": [{"to": [{"podSelector": {"matchLabels": {"name": "client-a"}}}]}],
    },
    "no selector means all pods": {"policyTypes": ["Ingress"], "ingress": [{}]},
    "an empty list of types": {"podSelector": {}, "policyTypes": [], "ingress": []},
    "a block without a part, and one port": {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [{"ipBlock": {"cidr": "172.20.0.0/16", "except": ["172.20.1.0/24"]}}],
                "ports": [{"protocol": "TCP", "port": 6379}],
            }
        ],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}], "ports": [{"protocol": "TCP", "port": 5978}]}],
    },
    "single addresses in rules of their own": {
        "podSelector": NAMED,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"ipBlock": {"cidr": "2.2.5.11/32"}}]}, {"from": [{"ipBlock": {"cidr": "2.2.5.12/32"}}]}],
    },
    "IPv6, with host bits": {
        "podSelector": NAMED,
        "ingress": [
            {"from": [{"ipBlock": {"cidr": "2001:DB8::1/64", "except": ["2001:db8::/80", "2001:db8::8/128"]}}]}
        ],
    },
    "IPv4-mapped IPv6": {
        "ingress": [{"from": [{"ipBlock": {"cidr": "::ffff:10.0.0.0/104", "except": ["::ffff:10.1.0.0/112"]}}]}],
    },
    "everybody": {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]}]},
    "a namespace that nobody is in": {
        "podSelector": NAMED,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"foo": "bar"}}}]}],
    },
    "pods of a namespace, by its name": {
        "ingress": [
            {
                "from": [
                    {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "blue"}},
                        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "client", "tier": ""}},
                    },
                    {"namespaceSelector": {}},
                ]
            }
        ],
    },
    "expressions of each operator": {
        "podSelector": {
            "matchExpressions": [
                {"key": "app", "operator": "In", "values": ["web", "db-1", "a.b_c"]},
                {"key": "app", "operator": "NotIn", "values": ["x", ""]},
                {"key": "example.com/role", "operator": "Exists"},
                {"key": "Role_2", "operator": "DoesNotExist", "values": []},
            ]
        },
    },
    "protocols without ports": {
        "podSelector": NAMED,
        "policyTypes": ["Egress", "Ingress"],
        "egress": [{"ports": [{"protocol": "TCP"}]}],
        "ingress": [{"ports": [{"protocol": "UDP"}, {"protocol": "SCTP"}]}],
    },
    "ranges": {
        "policyTypes": ["Egress", "Ingress"],
        "egress": [{"ports": [{"port": 5000, "endPort": 5900}]}],
        "ingress": [{"ports": [{"protocol": "TCP", "port": 1, "endPort": 65535}, {"port": 8, "endPort": 8}]}],
    },
    "named ports": {
        "ingress": [{"ports": [{"port": name} for name in ("http", "80-tcp", "p2p-8", "4-a-4", "abcdefghijklmno")]}],
    },
    "empty lists where missing means the same": {"ingress": [{"from": [], "ports": []}], "egress": [{"to": []}]},
}

PEERS = {
    "empty": {},
    "block and pods": {"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}},
    "block and namespaces": {"ipBlock": {"cidr": "10.0.0.0/8"}, "namespaceSelector": {}},
    "address": {"ipBlock": {"cidr": "10.0.0.1"}},
    "length": {"ipBlock": {"cidr": "10.0.0.0/33"}},
    "word": {"ipBlock": {"cidr": "lan"}},
    "number as block": {"ipBlock": {"cidr": 10}},
    "number as except": {"ipBlock": {"cidr": "10.0.0.0/8", "except": [10]}},
    "no block": {"ipBlock": {}},
    "only excepts": {"ipBlock": {"except": ["10.0.0.0/9"]}},
    "address as except": {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.1"]}},
    "text as except": {"ipBlock": {"cidr": "10.0.0.0/8", "except": "10.0.0.0/9"}},
    "text as block": {"ipBlock": "10.0.0.0/8"},
    "text as peer": "10.0.0.0/8",
}
PORTS = {
    "no protocol with ports": {"protocol": "ICMP"},
    "lower case": {"protocol": "tcp", "port": 80},
    "number as protocol": {"protocol": 6},
    "zero": {"port": 0},
    "too high": {"port": 65536},
    "fraction": {"port": 1.5},
    "true": {"port": True},
    "quoted": {"port": "80"},
    "capital": {"port": "Http"},
    "long name": {"port": "a-name-of-16-let"},
    "empty name": {"port": ""},
    "hyphens": {"port": "a--b"},
    "end alone": {"endPort": 90},
    "end of a name": {"port": "http", "endPort": 90},
    "end too high": {"port": 80, "endPort": 65536},
    "end zero": {"port": 80, "endPort": 0},
    "end quoted": {"port": 80, "endPort": "90"},
    "number as entry": 80,
}
SELECTORS = {
    "operator": {"matchExpressions": [{"key": "app", "operator": "in", "values": ["x"]}]},
    "no operator": {"matchExpressions": [{"key": "app", "values": ["x"]}]},
    "number as operator": {"matchExpressions": [{"key": "app", "operator": 1}]},
    "no key": {"matchExpressions": [{"operator": "Exists"}]},
    "empty key": {"matchExpressions": [{"key": "", "operator": "Exists"}]},
    "number as key": {"matchExpressions": [{"key": 1, "operator": "Exists"}]},
    "In without values": {"matchExpressions": [{"key": "app", "operator": "In"}]},
    "NotIn with no value": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": []}]},
    "Exists with values": {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["x"]}]},
    "number as value": {"matchExpressions": [{"key": "app", "operator": "In", "values": [1]}]},
    "text as values": {"matchExpressions": [{"key": "app", "operator": "In", "values": "x"}]},
    "number as label": {"matchLabels": {"app": 1}},
    "text as labels": {"matchLabels": "app=web"},
    "text as expressions": {"matchExpressions": "app in (web)"},
    "text as expression": {"matchExpressions": ["app"]},
    "text as selector": "app=web",
}
UNWRITABLE = {
    "value with a space": {"matchLabels": {"app": "no spaces"}},
    "long value": {"matchLabels": {"app": "x" * 64}},
    "value with a space in a list": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["no spaces"]}]},
    "key with a space": {"matchExpressions": [{"key": "no spaces", "operator": "Exists"}]},
    "long key": {"matchExpressions": [{"key": "x" * 318, "operator": "Exists"}]},
}
"""Selectors by labels that nothing can have. The schema refuses them; to the agent they mean what they say."""
ONLY_CEL = {
    "except elsewhere": {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]},
    "except around": {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/7"]}}]},
    "nothing left": {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]},
    "except of the other family": {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/64"]}}]},
    "end before the beginning": {"ports": [{"port": 80, "endPort": 79}]},
}
"""Rules for ingress that only a server with CEL refuses; the agent reports them in any case."""


def _everywhere():
    """Each nonsense in each place where it can stand, with a name."""
    for name, peer in PEERS.items():
        yield f"from {name}", {"ingress": [{}, {"from": [{"podSelector": {}}, peer]}]}
        yield f"to {name}", {"egress": [{"to": [peer]}]}
    for name, port in PORTS.items():
        yield f"ingress port {name}", {"ingress": [{"ports": [{"port": 80}, port]}]}
        yield f"egress port {name}", {"egress": [{"ports": [port]}]}
    yield from _selecting(SELECTORS)
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        yield f"{direction} is a mapping", {direction: {}}
        yield f"{direction} rule is text", {direction: ["all"]}
        yield f"{peers} is a mapping", {direction: [{peers: {"podSelector": {}}}]}
        yield f"{direction} ports is a number", {direction: [{"ports": 80}]}
    yield "type in lower case", {"policyTypes": ["ingress"]}
    yield "number as type", {"policyTypes": [1]}
    yield "text as types", {"policyTypes": "Ingress"}
    yield "text as spec", "all"


def _selecting(selectors):
    for name, selector in selectors.items():
        yield f"podSelector {name}", {"podSelector": selector}
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            yield f"pods {peers} {name}", {direction: [{peers: [{"podSelector": selector}]}]}
            yield f"namespaces {peers} {name}", {direction: [{peers: [{"namespaceSelector": selector}]}]}


SENSELESS = dict(_everywhere())
UNWRITABLE_LABELS = dict(_selecting(UNWRITABLE))
CEL_NEEDED = {name: {"ingress": [rule]} for name, rule in ONLY_CEL.items()}


def policy(spec, *, version="v1beta1"):
    """A MultiNetworkPolicy with this spec."""
    return {
        "apiVersion": f"k8s.cni.cncf.io/{version}",
        "kind": "MultiNetworkPolicy",
        "metadata": {
            "name": "policy",
            "namespace": "demo",
            "annotations": {"k8s.v1.cni.cncf.io/policy-for": "net-a, other/net-b"},
        },
        "spec": spec,
    }
