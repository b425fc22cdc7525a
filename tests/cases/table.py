"""One table of manifests from the field, with the expected results: on a node, and offline."""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml
from attrs import evolve, field, frozen

from mnp_core.model import Link, parse_address
from mnp_core.sources.manifests import Document
from mnp_core.sources.placement import place
from tests.cases.objects import DEFAULT, MACVLAN, A, B, entry, network, pod, policy

FILES = Path(__file__).parents[1] / "cli" / "data"
OLD_STATUS = "k8s.v1.cni.cncf.io/networks-status"


@frozen(kw_only=True)
class Case:
    """Objects, and the expected results.

    Attributes:
        name: For people.
        objects: As they were written; pods without network-status get that of the lab's meta-plugin.
        namespace: Where objects are put that name none.
        network_plugins: The setting.
        problems: ``reason kind namespace/name``, on nodes and offline.
        on_nodes: The same, of problems visible only in a pod, or of pods that no policy selects.
        attachments: Enforced ones as ``pod interface kind``.
        isolated: ``pod interface direction``.
        links: The links in a pod, instead of those of network-status.
    """

    name: str
    objects: list[object]
    namespace: str | None = None
    network_plugins: tuple[str, ...] | None = None
    problems: frozenset[str] = field(default=(), converter=frozenset)
    on_nodes: frozenset[str] = field(default=(), converter=frozenset)
    attachments: frozenset[str] = field(converter=frozenset)
    isolated: frozenset[str] = field(converter=frozenset)
    links: Mapping[str, tuple[Link, ...]] = field(factory=dict)

    def documents(self):
        """The objects in their namespaces."""
        written = [Document(where=f"{self.name}, {number}", raw=raw) for number, raw in enumerate(self.objects)]
        return place(written, self.namespace)


def from_file(name):
    return list(yaml.safe_load_all((FILES / f"{name}.yaml").read_text()))


TWO = ("demo/a net1 macvlan", "demo/b net1 macvlan")
CLOSED = ("demo/a net1 ingress",)


# --- S2: policy-for --------------------------------------------------------------------------------------------------

_blanks = Case(
    name="policy-for-with-blanks",
    objects=from_file("policy-for-with-blanks"),
    attachments=TWO,
    isolated=CLOSED,
)
BLANKS = [
    _blanks,
    *(
        evolve(
            _blanks, name=f"policy-for {text!r}", objects=[network(), network("other"), A, B, policy(policy_for=text)]
        )
        for text in (
            "demo/ data",
            " demo / data ",
            "demo\t/\tdata",
            "other,\n  demo/\ndata\n",
            "demo /data,demo/ data",
        )
    ),
    evolve(
        _blanks,
        name="policy-for with an empty entry",
        objects=[network(), A, B, policy(policy_for="data,")],
        problems=["InvalidPolicyFor MultiNetworkPolicy demo/deny"],
    ),
    evolve(
        _blanks,
        name="policy-for as a JSON list",
        objects=[network(), A, B, policy(policy_for='["data"]')],
        problems=["InvalidPolicyFor MultiNetworkPolicy demo/deny"],
        isolated=(),
    ),
]

# --- objects without a namespace -------------------------------------------------------------------------------------


def bare(raw):
    return raw | {"metadata": {key: value for key, value in raw["metadata"].items() if key != "namespace"}}


_unplaced = Case(
    name="policy-without-namespace",
    objects=from_file("policy-without-namespace"),
    namespace="vmexamples",
    attachments=["vmexamples/vm1 net1 macvlan", "vmexamples/vm2 net1 macvlan"],
    isolated=["vmexamples/vm1 net1 ingress", "vmexamples/vm2 net1 ingress"],
)
_placed = evolve(_unplaced, namespace="demo", attachments=TWO, isolated=CLOSED)
UNPLACED = [
    _unplaced,
    evolve(_placed, name="nothing has a namespace", objects=[*map(bare, (network(), A, B, policy()))]),
    evolve(
        _placed,
        name="a policy without a namespace names that of its network",
        objects=[network(), A, B, bare(policy(policy_for="demo/data"))],
    ),
    evolve(
        _placed,
        name="an empty namespace",
        objects=[network(), A, B, policy(namespace=""), policy("p2", version="v1beta2")],
    ),
    evolve(_placed, name="a definition without a namespace", objects=[bare(network()), A, B, policy()]),
    evolve(_placed, name="pods without a namespace", objects=[network(), bare(A), bare(B), policy(version="v1beta2")]),
]

# --- S4, S64: types that no plugin claims ----------------------------------------------------------------------------

_PLUGINS = [
    {"type": "cnv-bridge", "bridge": "br85", "macspoofchk": True, "preserveDefaultVlan": False},
    {"plugins": [{"type": "cnv-bridge", "bridge": "br1", "vlan": 7}, {"type": "cnv-tuning"}]},
    {"type": "kube-ovn", "server_socket": "/run/openvswitch/kube-ovn-daemon.sock", "provider": "data.demo.ovn"},
    {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": False}},
    {"type": "passt-binding"},
    {"type": "calico", "ipam": {"type": "calico-ipam"}},
]


def type_of(config):
    return config.get("type") or config["plugins"][0]["type"]


def unclaimed(name, objects, *, pods, policy_name):
    """Such networks as they are by default, and with their type in network-plugins."""
    where = [f"UnclaimedType Pod {each}" for each in pods]
    return Case(
        name=name,
        objects=objects,
        problems=[f"UnclaimedType MultiNetworkPolicy {policy_name}", *where],
        attachments=(),
        isolated=(),
    )


_cnv = unclaimed("cnv-bridge", from_file("cnv-bridge"), pods=["vms/vm1", "vms/vm2"], policy_name="vms/deny-by-default")
_ovn = unclaimed(
    "ovn-overlay",
    from_file("ovn-overlay"),
    pods=["default/s", "t/x", "u/y"],
    policy_name="default/allow-ports-same-ns",
)
_TOPOLOGIES = [
    {"type": "ovn-k8s-cni-overlay", "topology": "layer3", "subnets": "10.100.0.0/16/24", "role": "secondary"},
    {"type": "ovn-k8s-cni-overlay", "topology": "localnet", "physicalNetworkName": "tenant", "vlanID": 33},
    {"type": "ovn-k8s-cni-overlay", "topology": "layer2", "subnets": "10.100.0.0/24,fd00:1::/64", "mtu": 1300},
    {"type": "ovn-k8s-cni-overlay", "topology": "layer2", "netAttachDefName": "demo/data"},
    {"type": "ovn-k8s-cni-overlay", "topology": "localnet", "subnets": "10.1.0.0/24", "excludeSubnets": "10.1.0.0/28"},
]
ORDINARY = [
    _cnv,
    evolve(
        _cnv,
        name="cnv-bridge, named in network-plugins",
        network_plugins=("macvlan", "cnv-bridge"),
        problems=(),
        attachments=["vms/vm1 net1 cnv-bridge", "vms/vm2 net1 cnv-bridge"],
        isolated=["vms/vm1 net1 ingress", "vms/vm2 net1 ingress"],
    ),
    _ovn,
    evolve(
        _ovn,
        name="ovn-overlay, named in network-plugins",
        network_plugins=("ovn-k8s-cni-overlay",),
        problems=(),
        attachments=[f"{each} net1 ovn-k8s-cni-overlay" for each in ("default/s", "t/x", "u/y")],
        isolated=["default/s net1 ingress"],
    ),
    *(
        case
        for config in (*_PLUGINS, *_TOPOLOGIES)
        for objects in [[network(**config), A, B, policy()]]
        for label in [f"{json.dumps(config):.70}"]
        for case in (
            unclaimed(label, objects, pods=["demo/a", "demo/b"], policy_name="demo/deny"),
            Case(
                name=f"{label}, named in network-plugins",
                objects=objects,
                network_plugins=(type_of(config),),
                attachments=[f"demo/a net1 {type_of(config)}", f"demo/b net1 {type_of(config)}"],
                isolated=CLOSED,
            ),
        )
    ),
]

# --- S3: network-status of primary user-defined networks, and of other default networks ------------------------------

UDN = {"name": "ovn-kubernetes", "interface": "ovn-udn1", "ips": ["10.128.0.4"], "mac": "0a:58:0a:80:00:04"}
INFRA = {"name": "ovn-kubernetes", "interface": "eth0", "ips": ["10.244.0.4"], "mac": "0a:58:0a:f4:00:04"}
_udn = Case(
    name="primary-user-defined-network",
    objects=from_file("primary-user-defined-network"),
    attachments=TWO,
    isolated=CLOSED,
)


def with_status(name, *entries):
    return evolve(_udn, name=name, objects=[network(), pod("a", status=json.dumps(entries)), B, policy()])


STATUSES = [
    _udn,
    with_status("the entry that is the default one comes last", INFRA, entry(2), {**UDN, "default": True}),
    with_status("the infrastructure's entry is the default one", {**UDN}, {**INFRA, "default": True}, entry(2)),
    with_status(
        "dual stack with gateways",
        {**UDN, "ips": ["10.128.0.4", "fd00:10:128::4"], "default": True, "gateway": ["10.128.0.1"], "dns": None},
        {**INFRA, "default": False},
        entry(2, ips=["10.10.0.2", "fd00:10::2"], gateway=["10.10.0.1"]),
    ),
    with_status("three entries of one name", {**UDN, "default": True}, INFRA, {**INFRA, "interface": "eth1"}, entry(2)),
    with_status(
        "names with a namespace",
        {**UDN, "name": "default/x", "default": True},
        {**INFRA, "name": "default/x"},
        entry(2),
    ),
    with_status("no name at all", {"interface": "eth0", "ips": ["10.244.0.4"]}, entry(2)),
    with_status("no interface for the default one", {"name": "", "default": True, "dns": {}}, entry(2)),
    with_status("a prefix length at an address", DEFAULT, entry(2, ips=["10.10.0.2/24"])),
    with_status("a bare name", DEFAULT, entry(2, name="data")),
    with_status("a MAC address in capitals", DEFAULT, entry(2, mac="02:00:00:00:00:AB")),
    evolve(
        _udn,
        name="the annotation by its old name",
        objects=[
            network(),
            pod("a", status="", annotations={OLD_STATUS: json.dumps([DEFAULT, entry(2)])}),
            B,
            policy(),
        ],
    ),
]

# --- S21: networks without IPAM --------------------------------------------------------------------------------------

LABELS = [{"from": [{"podSelector": {"matchLabels": {"app": "b"}}}]}]
_unaddressed = Case(
    name="label-peer-without-ipam",
    objects=from_file("label-peer-without-ipam"),
    problems=["NoAddress MultiNetworkPolicy demo/p"],
    attachments=["demo/a net1 bridge", "demo/b net1 bridge"],
    isolated=CLOSED,
)


def on_l2(name, *, ips=(), rules=None, **config):
    pods = [pod(each, entry(number, ips=ips)) for number, each in enumerate("ab", 2)]
    definition = network(type="bridge", bridge="br1", **config)
    return evolve(_unaddressed, name=name, objects=[definition, *pods, policy("p", **(rules or {"ingress": LABELS}))])


def to_b(*ports):
    return {"to": LABELS[0]["from"], **({"ports": list(ports)} if ports else {})}


UNADDRESSED = [
    _unaddressed,
    on_l2("no ipam at all"),
    on_l2("ips is null", ips=None, ipam={}),
    on_l2("egress", ipam={}, rules={"policyTypes": ["Ingress", "Egress"], "egress": [to_b()]}),
    on_l2("a named port", rules={"policyTypes": ["Ingress", "Egress"], "egress": [to_b({"port": "web"})]}),
    on_l2("every namespace", rules={"ingress": [{"from": [{"namespaceSelector": {}}]}]}),
    evolve(
        on_l2(
            "a block beside it",
            rules={"ingress": [{"from": [*LABELS[0]["from"], {"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
        )
    ),
]
UNADDRESSED[3:5] = [evolve(case, isolated=["demo/a net1 ingress", "demo/a net1 egress"]) for case in UNADDRESSED[3:5]]

# --- S64: past the pod's hooks ---------------------------------------------------------------------------------------

_macvtap = Case(
    name="macvtap",
    objects=from_file("macvtap"),
    problems=["Unenforceable Pod demo/a"],
    on_nodes=["Unenforceable Pod demo/b"],
    attachments=["demo/a net1 macvtap", "demo/b net1 macvtap"],
    isolated=CLOSED,
)


def unenforceable(kind, **config):
    return evolve(
        _macvtap,
        name=f"{json.dumps(config):.80}",
        objects=[network(**config), A, B, policy()],
        attachments=[f"demo/a net1 {kind}", f"demo/b net1 {kind}"],
    )


PAST = [
    _macvtap,
    unenforceable("macvtap", plugins=[{"type": "macvtap", "mtu": 9000}, {"type": "tuning"}]),
    unenforceable("macvtap", plugins=[{"type": "tuning"}, {"type": "macvtap"}, {"type": "sbr"}]),
    unenforceable("ipvlan", type="ipvlan", master="eth1", mode="l3s"),
    unenforceable("ipvlan", plugins=[{"type": "ipvlan", "mode": "l3s"}, {"type": "portmap"}]),
    evolve(
        unenforceable("macvtap", type="macvtap"),
        name="egress alone",
        isolated=["demo/a net1 egress"],
        objects=[network(type="macvtap"), A, B, policy(policyTypes=["Egress"])],
    ),
]

# --- S1 --------------------------------------------------------------------------------------------------------------

_egress = Case(
    name="egress-only-without-policytypes",
    objects=from_file("egress-only-without-policytypes"),
    attachments=["demo/client net1 macvlan", "demo/server net1 macvlan"],
    isolated=["demo/server net1 ingress", "demo/server net1 egress"],
)
BOTH = ["demo/a net1 ingress", "demo/a net1 egress"]
TYPES = [
    _egress,
    *(
        evolve(_egress, name=f"{spec}", objects=[network(), A, B, policy(**spec)], attachments=TWO, isolated=BOTH)
        for spec in (
            {"policyTypes": None, "egress": [{}]},
            {"policyTypes": [], "egress": [{"to": []}]},
            {"policyTypes": None, "egress": [{"ports": [{"port": 80}]}], "ingress": []},
            {"policyTypes": None, "egress": [to_b()], "ingress": None},
            {"policyTypes": [], "egress": [{"to": [{"ipBlock": {"cidr": "::/0"}}]}]},
        )
    ),
    *(
        evolve(
            _egress,
            name=f"policyTypes {types}",
            objects=[network(), A, B, policy(policyTypes=types)],
            attachments=TWO,
            isolated=CLOSED,
            problems=["InvalidPolicyType MultiNetworkPolicy demo/deny"],
        )
        for types in (["ingress"], ["INGRESS", "egress"], ["Ingress "], [None], "Ingress")
    ),
]

# --- S21: one wire ---------------------------------------------------------------------------------------------------

_wire = Case(
    name="several-networks-one-wire",
    objects=from_file("several-networks-one-wire"),
    attachments=["a/pod net1 macvlan", "b/pod net1 macvlan"],
    isolated=["a/pod net1 ingress"],
)


def neighbours(name, policy_for="a/net,b/net", **config):
    subnet = {"ipam": {"type": "host-local", "subnet": "10.10.0.0/24"}}
    homes = [network("net", each, **config, **subnet) for each in "ab"]
    pods = [pod("pod", entry(n, name=f"{each}/net"), namespace=each) for n, each in enumerate("ab", 2)]
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}}}]
    rule = policy("p", "a", policy_for=policy_for, podSelector={}, ingress=[{"from": peers}])
    kind = config["type"]
    attachments = [f"a/pod net1 {kind}", f"b/pod net1 {kind}"]
    return evolve(_wire, name=name, objects=[*homes, *pods, rule], attachments=attachments)


WIRES = [
    _wire,
    neighbours("macvlan on one master", type="macvlan", master="eth1"),
    neighbours("ipvlan on one master", type="ipvlan", master="bond0"),
    neighbours("one bridge and VLAN", type="bridge", bridge="br0", vlan=7),
    neighbours("blanks in policy-for", policy_for="a/ net , b /net", type="vlan", master="eth1", vlanId=5),
    neighbours("only its own network in policy-for", policy_for="net", type="macvlan"),
]

# --- S3, S4: each kind that the meta-plugin writes -------------------------------------------------------------------

_KINDS = {"net1": "net", "net2": "chain", "layer2": "l2", "net4": "fixed", "net5": "gw", "net6": "br", "net7": "net"}


def kinds():
    *definitions, raw = from_file("kinds")
    entries = [
        entry(number, name=f"demo/{name}", interface=interface, ips=[f"10.{60 + number}.0.2"])
        for number, (interface, name) in enumerate(_KINDS.items(), 2)
    ]
    annotations = raw["metadata"]["annotations"] | {
        "k8s.v1.cni.cncf.io/network-status": json.dumps([DEFAULT, *entries])
    }
    raw["metadata"]["annotations"] = annotations
    rule = policy(policy_for="chain, l2, net", podSelector={"matchLabels": {"app": "kinds"}})
    return [*definitions, network("net"), raw, rule]


def attached_as(*configs, kinds):
    """Pod ``a`` with one attachment of each configuration, and a policy on all of them."""
    names = [f"n{number}" for number in range(len(configs))]
    entries = [entry(n + 2, name=f"demo/{name}", interface=f"net{n + 1}") for n, name in enumerate(names)]
    definitions = [network(name, **config) for name, config in zip(names, configs, strict=True)]
    return Case(
        name=" and ".join(kinds),
        objects=[*definitions, pod("a", *entries), policy(policy_for=",".join(names))],
        attachments=[f"demo/a net{n} {kind}" for n, kind in enumerate(kinds, 1)],
        isolated=[f"demo/a net{n} ingress" for n in range(1, len(kinds) + 1)],
    )


KINDS = [
    Case(
        name="kinds",
        objects=kinds(),
        attachments=[
            f"demo/kinds {interface} {'bridge' if name == 'br' else 'macvlan'}" for interface, name in _KINDS.items()
        ],
        isolated=[f"demo/kinds {interface} ingress" for interface in ("net1", "net2", "layer2", "net7")],
    ),
    attached_as(
        {"plugins": [{"type": "tuning"}, MACVLAN]},
        {"plugins": [{"type": "sbr"}, {"type": "vlan"}]},
        kinds=["macvlan", "vlan"],
    ),
    attached_as({"plugins": [{"type": "bridge"}, {"type": "bandwidth"}]}, kinds=["bridge"]),
    attached_as(
        {"plugins": [{"type": "ipvlan", "mode": "l3"}]},
        {"type": "host-device", "device": "eth7"},
        kinds=["ipvlan", "host-device"],
    ),
    attached_as({"type": "ptp"}, {"type": "dummy"}, {"type": "bond", "links": []}, kinds=["ptp", "dummy", "bond"]),
    attached_as(
        {"type": "tap"}, {"type": "vlan", "master": "eth0", "vlanId": 5, "linkInContainer": True}, kinds=["tap", "vlan"]
    ),
]

# --- S3, S64: odd results of CNI plugins -----------------------------------------------------------------------------

_odd_networks = from_file("odd-results")[:3]
_odd_policy = from_file("odd-results")[-1]


def odd(name, *entries, attachments, isolated=None, networks=None, **more):
    objects = [*_odd_networks, pod("odd", *entries, networks=networks), _odd_policy]
    found = [f"demo/odd {each} ovs" for each in attachments]
    closed = [f"demo/odd {each} ingress" for each in isolated or attachments]
    return Case(name=name, objects=objects, attachments=found, isolated=closed, **more)


ODD = [
    odd(
        "odd-results",
        entry(2, name="demo/two"),
        entry(3, name="demo/noindex", interface="net2"),
        entry(4, name="demo/none", interface="net3"),
        attachments=["net1", "net2", "net3"],
    ),
    odd(
        "two interfaces of one result",
        entry(2, name="demo/two"),
        entry(3, name="demo/two", interface="net1b"),
        attachments=["net1", "net1b"],
    ),
    odd(
        "addresses of no interface",
        entry(2, name="demo/two"),
        {"name": "demo/noindex", "ips": ["10.80.2.2"], "dns": {}},
        attachments=["net1"],
        problems=["InvalidNetworkStatus Pod demo/odd", "Unenforceable Pod demo/odd"],
    ),
    odd(
        "no interface at all, as userspace CNI writes it",
        {"name": "demo/none", "dns": {}},
        attachments=[],
        problems=["InvalidNetworkStatus Pod demo/odd", "Unenforceable Pod demo/odd"],
    ),
    odd(
        "a result that network-status lost",
        entry(2, name="demo/two"),
        networks="two,noindex",
        attachments=["net1", "net2"],
        problems=["InvalidNetworkStatus Pod demo/odd"],
    ),
    odd(
        "a network that network-status has under the name of another pod's interface",
        entry(2, name="demo/two", interface="eth0"),
        attachments=[],
        problems=["InvalidNetworkStatus Pod demo/odd", "Unenforceable Pod demo/odd"],
    ),
]

# --- pods with a user namespace, and others that are not as most are -------------------------------------------------


def userns(name, **spec):
    raw = from_file("userns")[0]
    raw["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"] = json.dumps(
        [DEFAULT, entry(2, name="demo/net")]
    )
    raw["spec"] |= spec
    rule = policy(policy_for="net", podSelector={"matchLabels": {"app": "web"}})
    return Case(
        name=name,
        objects=[network("net"), raw, rule],
        attachments=["demo/userns net1 macvlan"],
        isolated=["demo/userns net1 ingress"],
    )


USERNS = [
    userns("userns"),
    userns("hostUsers is null", hostUsers=None),
    userns("a runtime class", runtimeClassName="gvisor"),
    userns("shared process namespace", shareProcessNamespace=True),
    userns("no containers", containers=[]),
    evolve(userns("the host's network", hostNetwork=True), attachments=(), isolated=()),
]

# --- S64: deceptive interfaces ---------------------------------------------------------------------------------------

NET1 = Link(
    name="net1",
    index=3,
    kind="macvlan",
    mac="02:00:00:00:00:02",
    addresses=(parse_address("10.10.0.2"),),
    parent=10,
    parent_inside=False,
)
NIC = Link(
    name="37a8eec1ce1-nic", index=3, kind="veth", mac="02:00:00:00:00:77", parent=10, parent_inside=False, master=6
)
K6T = Link(name="k6t-37a8eec1ce1", index=6, kind="bridge")
TAP = Link(name="tap37a8eec1ce1", index=8, kind="tun", master=6)
DUMMY = Link(name="net1", index=7, kind="dummy", mac="02:00:00:00:00:02")
OPEN, STRAY = "Unenforceable Pod demo/a", "UnclaimedInterface Pod demo/a"


def seeming(name, *links, config=None, found=(OPEN,), **more):
    return Case(
        name=name,
        objects=[network(**(config or {})), A, policy()],
        links={"demo/a": links},
        on_nodes=found,
        attachments=[f"demo/a net1 {(config or MACVLAN)['type']}"],
        isolated=CLOSED,
        **more,
    )


SEEMING = [
    seeming("bridge binding of KubeVirt", DUMMY, NIC, K6T, TAP, config={"type": "bridge"}, found=(OPEN,)),
    seeming(
        "the same, the dummy down",
        evolve(DUMMY, up=False),
        NIC,
        K6T,
        TAP,
        config={"type": "bridge"},
        found=(OPEN,),
    ),
    seeming(
        "the same, names of old",
        DUMMY,
        evolve(NIC, name="k6t-net1"),
        evolve(K6T, name="br1"),
        found=(OPEN,),
    ),
    seeming("a port of a bridge under its own name", evolve(NET1, master=6), K6T, TAP),
    seeming(
        "another interface has its MAC address",
        evolve(NET1, mac="02:00:00:00:00:55"),
        evolve(NET1, name="x", index=9),
        found=(OPEN, STRAY),
    ),
    seeming(
        "tc takes its packets away, as Kata does",
        evolve(NET1, diverted="tc redirects its packets"),
        evolve(TAP, master=None),
    ),
    seeming("it is not there at all", found=(OPEN,)),
    seeming(
        "an interface that no entry claims",
        NET1,
        evolve(NET1, name="net2", index=4, mac="02:00:00:00:00:66"),
        found=(STRAY,),
    ),
    evolve(
        seeming(
            "ordinary by the setting, and bound to a guest",
            DUMMY,
            NIC,
            K6T,
            TAP,
            config={"type": "cnv-bridge"},
            found=(OPEN,),
        ),
        network_plugins=("cnv-bridge",),
    ),
]

# --- S3: a definition as a default network --------------------------------------------------------------------------

_default = Case(
    name="default network",
    objects=[],
    problems=["DefaultNetwork Pod demo/a"],
    attachments=["demo/a net1 macvlan"],
    isolated=CLOSED,
)


def by_default(text, network_of="demo", *, listed=True):
    """Pod ``a`` with the default network ``base``; a policy names it beside the network of net1."""
    base = {**DEFAULT, "name": f"{network_of}/base"} if listed else DEFAULT
    made = pod("a", status=json.dumps([base, entry(2)]), annotations={"v1.multus-cni.io/default-network": text})
    rule = policy(policy_for=f"data, {network_of}/base")
    return evolve(
        _default, name=f"default network {text}", objects=[network(), network("base", network_of), made, rule]
    )


DEFAULTS = [
    by_default("demo/base"),
    by_default("base", "kube-system"),
    by_default(" kube-system/base ", "kube-system"),
    by_default("demo/base@eth0"),
    by_default('[{"name": "base", "namespace": "demo"}]'),
    by_default('[{"name": "base", "ips": ["10.244.0.9/24"], "mac": "02:00:00:00:00:99"}]', "kube-system"),
    by_default("demo/base", listed=False),
]

GROUPS = {
    "default networks": DEFAULTS,
    "bridge binding, and other disguises": SEEMING,
    "policy-for-with-blanks": BLANKS,
    "policy-without-namespace": UNPLACED,
    "cnv-bridge and ovn-overlay": ORDINARY,
    "primary-user-defined-network": STATUSES,
    "label-peer-without-ipam": UNADDRESSED,
    "macvtap": PAST,
    "egress-only-without-policytypes": TYPES,
    "several-networks-one-wire": WIRES,
    "kinds": KINDS,
    "odd-results": ODD,
    "userns": USERNS,
}
CASES = [case for group in GROUPS.values() for case in group]
