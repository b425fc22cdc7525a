"""Random clusters, written as the manifests that a user would write, some of them sloppily.

The vocabulary is small on purpose: few labels, few addresses, few ports, so that policies meet pods, overlap and
contradict each other. A draw is either a whole cluster (`clusters`), or labels, ports and policies for pods that
already stand (`policy_sets`), for real packets.
"""

import json
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from hypothesis import strategies as st

NAMESPACES = ("x", "y", "z")
KEYS = ("app", "tier", "gone")
VALUES = ("a", "b")
PORTS = (1, 79, 80, 81, 65535)
PORT_NAMES = ("web", "dns")
PROTOCOLS = ("TCP", "UDP", "SCTP")
NETWORKS = ("x/blue", "x/green", "y/red")
SUBNETS = {  # two networks use the same IPv4 addresses, as separate networks may
    "x/blue": ("10.1.0.0/24", "fd01::/64"),
    "x/green": ("10.1.0.0/24", "fd03::/64"),
    "y/red": ("10.2.0.0/24", "fd02::/64"),
}
HOSTS = (1, 2, 3, 4, 7, 8, 128, 255)  # on both sides of the borders of small blocks
OUTSIDE = ("10.1.0.6", "10.3.0.1", "192.0.2.1", "fd01::6", "fd04::1", "2001:db8::1")


Manifest = dict


class Nic(NamedTuple):
    """An interface of a pod, as the lab or a CNI plugin would make it."""

    name: str
    network: str
    addresses: tuple[str, ...]


class Shape(NamedTuple):
    """A pod as it stands: everything that takes a namespace and links to change."""

    namespace: str
    name: str
    nics: tuple[Nic, ...]


class Cluster(NamedTuple):
    """One state, as manifests."""

    objects: list[Manifest]


# --- pods, namespaces, networks ---------------------------------------------------------------------------------


def address(network: str, version: int, host: int) -> str:
    subnet = ip_network(SUBNETS[network][0 if version == 4 else 1])
    return str(subnet[host])


def spelled(text: str) -> st.SearchStrategy[str]:
    """The same address as meta-plugins may write it."""
    parsed = ip_address(text)
    if parsed.version == 4:
        return st.sampled_from((text, text, text, f"::ffff:{text}"))
    return st.sampled_from((text, text, parsed.exploded, text.upper()))


@st.composite
def shapes(draw, namespace: str, name: str) -> Shape:
    """A pod with one or several interfaces, perhaps two on one network, perhaps without addresses."""
    networks = draw(st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=3))
    nics = []
    for index, network in enumerate(networks):
        versions = draw(st.sampled_from(((4,), (6,), (4, 6), (4, 6), ())))
        addresses = tuple(address(network, version, draw(st.sampled_from(HOSTS))) for version in versions)
        nics.append(Nic(f"net{index + 1}", network, addresses))
    return Shape(namespace, name, tuple(nics))


LABELS = st.fixed_dictionaries({"app": st.sampled_from(VALUES)}, optional={"tier": st.sampled_from(VALUES)})
CONTAINER_PORT = st.fixed_dictionaries(
    {"containerPort": st.sampled_from((80, 81)), "name": st.sampled_from((*PORT_NAMES, ""))},
    optional={"protocol": st.sampled_from(PROTOCOLS)},
)
CONTAINERS = st.lists(st.fixed_dictionaries({"ports": st.lists(CONTAINER_PORT, max_size=3)}), min_size=1, max_size=2)
ALIVE = st.sampled_from(("Running", "Pending", None))
GONE = st.sampled_from(("Succeeded", "Failed"))


@st.composite
def pods(draw, shape: Shape, phase: st.SearchStrategy[str | None] = ALIVE, *, host_network: bool = False) -> dict:
    """Differences between two states of one pod: labels, ports, phase, and how its status is spelled."""
    status = [{"name": "cbr0", "interface": "eth0", "ips": ["10.1.0.4"], "default": True}]
    for nic in shape.nics:
        bare = nic.network.removeprefix(f"{shape.namespace}/")
        name = draw(st.sampled_from((nic.network, bare)))
        status.append({"name": name, "interface": nic.name, "ips": [draw(spelled(a)) for a in nic.addresses]})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": shape.name,
            "namespace": shape.namespace,
            "labels": draw(LABELS),
            "annotations": {"k8s.v1.cni.cncf.io/network-status": json.dumps(status)},
        },
        "spec": {"containers": draw(CONTAINERS), "hostNetwork": host_network, "nodeName": "node"},
        "status": {"phase": draw(phase)},
    }


@st.composite
def namespaces(draw, name: str) -> dict:
    labels = draw(LABELS) | {"kubernetes.io/metadata.name": name}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def network(name: str) -> dict:
    namespace, _, name = name.partition("/")
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"config": json.dumps({"cniVersion": "1.0.0", "name": name, "type": "macvlan"})},
    }


# --- selectors --------------------------------------------------------------------------------------------------

_VALUE_LIST = st.lists(st.sampled_from(VALUES), min_size=1, max_size=2)
REQUIREMENT = st.one_of(
    st.fixed_dictionaries({"key": st.sampled_from(KEYS), "operator": st.just("In"), "values": _VALUE_LIST}),
    st.fixed_dictionaries({"key": st.sampled_from(KEYS), "operator": st.just("NotIn"), "values": _VALUE_LIST}),
    st.fixed_dictionaries(
        {"key": st.sampled_from(KEYS), "operator": st.sampled_from(("Exists", "DoesNotExist"))},
        optional={"values": st.sampled_from(([], None))},
    ),
)
DOUBTFUL = st.one_of(  # S13
    st.fixed_dictionaries({"key": st.sampled_from(KEYS), "operator": st.sampled_from(("In", "NotIn"))}),
    st.fixed_dictionaries(
        {"key": st.sampled_from(KEYS), "operator": st.sampled_from(("in", "Gt", "")), "values": _VALUE_LIST}
    ),
)


def sometimes(usual: st.SearchStrategy, rare: st.SearchStrategy, *, one_in: int) -> st.SearchStrategy:
    """`rare` once in so many draws; the simplest draw is the usual."""
    return st.sampled_from((False,) * (one_in - 1) + (True,)).flatmap(lambda now: rare if now else usual)


def selectors(keys: tuple[str, ...] = ()) -> st.SearchStrategy[dict]:
    """LabelSelectors, the empty one often; `keys` are extra matchLabels that fit namespaces by name."""
    by_name = {key: st.sampled_from(NAMESPACES) for key in keys}
    labels = st.fixed_dictionaries({}, optional={key: st.sampled_from(VALUES) for key in ("app", "tier")} | by_name)
    expressions = st.lists(sometimes(REQUIREMENT, DOUBTFUL, one_in=8), min_size=1, max_size=2)
    return st.one_of(
        st.just({}),
        st.fixed_dictionaries({"matchLabels": labels}, optional={"matchExpressions": st.none()}),
        st.fixed_dictionaries({"matchExpressions": expressions}, optional={"matchLabels": st.none()}),
        st.fixed_dictionaries({"matchLabels": labels, "matchExpressions": expressions}),
    )


POD_SELECTOR = selectors()
NAMESPACE_SELECTOR = selectors(keys=("kubernetes.io/metadata.name",))

# --- peers ------------------------------------------------------------------------------------------------------

_ADDRESSES = tuple(str(ip_network(s)[h]) for pair in SUBNETS.values() for s in pair for h in HOSTS) + OUTSIDE
_LENGTHS = {4: (0, 8, 16, 24, 25, 28, 29, 30, 31, 32), 6: (0, 16, 48, 64, 120, 124, 125, 126, 127, 128)}


@st.composite
def cidrs(draw, within: str | None = None) -> str:
    """A CIDR around a possible address, host bits left as they are, now and then IPv4-mapped."""
    outer = ip_network(within, strict=False) if within else None
    candidates = [a for a in _ADDRESSES if outer is None or ip_address(a) in outer] or [str(outer[0])]
    base = draw(st.sampled_from(candidates))
    version = ip_address(base).version
    lengths = [n for n in _LENGTHS[version] if outer is None or n > outer.prefixlen] or [outer.prefixlen]
    length = draw(st.sampled_from(lengths[::-1]))
    if version == 4 and draw(st.sampled_from((False,) * 15 + (True,))):
        return f"::ffff:{base}/{length + 96}"
    return f"{base}/{length}"


@st.composite
def blocks(draw) -> dict:
    """ipBlocks; excepts overlap, repeat, nest, and now and then lie outside (S23)."""
    cidr = draw(cidrs())
    if cidr.startswith("::ffff"):
        return {"cidr": cidr}
    excepts = draw(st.lists(sometimes(cidrs(within=cidr), cidrs(), one_in=8), max_size=3))
    outer = ip_network(cidr, strict=False)
    # An except that is the whole block, or more, is for the parser's own tests: the API server refuses it.
    kept = [e for e in excepts if not _swallows(e, outer)]
    return {"cidr": cidr, "except": kept} if kept or draw(st.booleans()) else {"cidr": cidr}


def _swallows(cidr: str, outer) -> bool:
    inner = ip_network(cidr, strict=False)
    return inner.version == outer.version and inner.prefixlen <= outer.prefixlen


GOOD_PEER = st.one_of(
    st.fixed_dictionaries({"podSelector": POD_SELECTOR}, optional={"namespaceSelector": st.none()}),
    st.fixed_dictionaries({"namespaceSelector": NAMESPACE_SELECTOR}),
    st.fixed_dictionaries({"podSelector": POD_SELECTOR, "namespaceSelector": NAMESPACE_SELECTOR}),
    st.fixed_dictionaries({"ipBlock": blocks()}, optional={"podSelector": st.none()}),
    st.fixed_dictionaries({"ipBlock": blocks()}),
)
BAD_PEER = st.one_of(  # S24, S6
    st.just({}),
    st.fixed_dictionaries({"ipBlock": blocks(), "podSelector": POD_SELECTOR}),
    st.sampled_from(({"ipBlock": {"cidr": "10.1.0.0/33"}}, {"ipBlock": {"cidr": "10.1.0"}}, {"ipBlock": {}})),
)
PEER = sometimes(GOOD_PEER, BAD_PEER, one_in=10)

# --- ports ------------------------------------------------------------------------------------------------------

PROTOCOL = st.one_of(st.sampled_from(PROTOCOLS), st.none())
GOOD_PORT = st.one_of(
    st.fixed_dictionaries({"protocol": PROTOCOL}),
    st.fixed_dictionaries({"port": st.sampled_from(PORTS)}, optional={"protocol": PROTOCOL}),
    st.fixed_dictionaries({"port": st.sampled_from(PORT_NAMES)}, optional={"protocol": PROTOCOL}),
    st.fixed_dictionaries({"port": st.sampled_from(PORT_NAMES)}, optional={"protocol": PROTOCOL}),
    st.fixed_dictionaries({"port": st.sampled_from((1, 79, 80)), "endPort": st.sampled_from((80, 81, 65535))}),
)
BAD_PORT = st.sampled_from(  # S32
    (
        {"port": 81, "endPort": 80},
        {"endPort": 81},
        {"port": "web", "endPort": 81},
        {"port": 0},
        {"port": 0, "endPort": 81},
        {"port": 80, "endPort": 65536},
        {"port": 80, "protocol": "tcp"},
        {"protocol": "ICMP"},
        {"port": "80"},
        {"port": "http"},
    )
)
PORT = sometimes(GOOD_PORT, BAD_PORT, one_in=8)

# --- policies ---------------------------------------------------------------------------------------------------


def listed(element: st.SearchStrategy) -> st.SearchStrategy:
    """A list as people leave it: null, empty, or with a few elements."""
    return st.one_of(st.lists(element, min_size=1, max_size=3), st.lists(element, max_size=2), st.none())


def rules(peers: str) -> st.SearchStrategy[dict]:
    """Rules that allow everything are rare: they would make all others beside them pointless."""
    some_peers, some_ports = listed(PEER), listed(PORT)
    return st.one_of(
        st.fixed_dictionaries({peers: st.lists(PEER, min_size=1, max_size=3), "ports": some_ports}),
        st.fixed_dictionaries({peers: st.lists(PEER, min_size=1, max_size=2)}, optional={"ports": some_ports}),
        st.fixed_dictionaries({"ports": st.lists(PORT, min_size=1, max_size=3)}, optional={peers: some_peers}),
    )


TARGETS = st.one_of(st.sampled_from(({}, None)), POD_SELECTOR, POD_SELECTOR)
TYPES = st.sampled_from((["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Egress", "Ingress", "Egress"], [], None))
INGRESS, EGRESS = (st.lists(rules(peers), min_size=1, max_size=3) for peers in ("from", "to"))
LAX = st.sampled_from(([{}], [], None))
SPEC = st.one_of(
    st.fixed_dictionaries({"podSelector": TARGETS, "ingress": INGRESS}),
    st.fixed_dictionaries({"podSelector": TARGETS, "egress": EGRESS, "policyTypes": st.just(["Egress"])}),
    st.fixed_dictionaries(
        {"podSelector": TARGETS, "ingress": INGRESS, "egress": EGRESS}, optional={"policyTypes": TYPES}
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "podSelector": TARGETS,
            "policyTypes": TYPES,
            "ingress": st.one_of(INGRESS, LAX),
            "egress": st.one_of(EGRESS, LAX),
        },
    ),
)
ENTRY = st.sampled_from((*NETWORKS * 4, "blue", "red", "nowhere/net", "", "a/b/c", "/x", "x/"))
BLANK = st.sampled_from(("", "", " ", "\t", "\n  "))


@st.composite
def policies(draw, index: int) -> dict:
    entries = draw(st.one_of(st.permutations(NETWORKS), st.lists(ENTRY, min_size=1, max_size=3)))
    return {
        "apiVersion": f"k8s.cni.cncf.io/{draw(st.sampled_from(('v1beta1', 'v1beta2')))}",
        "kind": "MultiNetworkPolicy",
        "metadata": {
            "name": f"p{index}",
            "namespace": draw(st.sampled_from(NAMESPACES)),
            "annotations": {
                "k8s.v1.cni.cncf.io/policy-for": ",".join(f"{draw(BLANK)}{e}{draw(BLANK)}" for e in entries)
            },
        },
        "spec": draw(SPEC),
    }


@st.composite
def ghosts(draw, standing: tuple[Shape, ...]) -> dict:
    """A pod that is no peer and has the addresses of one that is (S5): finished, or on the network of the host."""
    shape = draw(st.sampled_from(standing))._replace(namespace=draw(st.sampled_from(NAMESPACES)), name="ghost")
    finished = draw(st.booleans())
    return draw(pods(shape, GONE if finished else ALIVE, host_network=not finished))


@st.composite
def policy_sets(draw, standing: tuple[Shape, ...], most: int = 6) -> Cluster:
    """A state of a cluster whose pods stand already: labels, ports and policies are drawn, and a ghost perhaps."""
    objects = [draw(namespaces(name)) for name in NAMESPACES]
    objects += [network(name) for name in NETWORKS]
    objects += [draw(pods(shape)) for shape in standing]
    objects += draw(st.lists(ghosts(standing), max_size=1))
    return Cluster(objects + [draw(policies(index)) for index in range(draw(st.sampled_from(range(1, most + 1))))])


@st.composite
def clusters(draw) -> Cluster:
    """A cluster from nothing."""
    count = draw(st.integers(min_value=2, max_value=5))
    places = [(NAMESPACES[index % 3], f"pod{index}") for index in range(count)]
    return draw(policy_sets(tuple(draw(shapes(*place)) for place in places)))
