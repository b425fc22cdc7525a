"""A tenant's possible objects, row by row of the table in docs/security.md, and their effects."""

import json
from collections.abc import Iterator

from attrs import field, frozen

from mnp_core.model import AddressSource, Reason
from mnp_core.testing.suites.reference.naive import Manifest
from tests.security.tenants import (
    NUMBERS,
    OUTSIDE,
    default_entry,
    entry,
    lan,
    namespace,
    network,
    pod,
    policy,
)

ADDRESS = "`network-status` of an own pod: an address of somebody else"
LEFT_OUT = "`network-status`: an interface left out, or called `default`"
RENAMED = "`network-status`: an interface by another name"
DEFAULT = "`network-status`: the interface of the default network"
ODD = "`network-status`: `lo`, `all`, `a/b`, `$(…)`, 10 MB of entries"
POD_LABELS = "labels of an own pod"
NAMESPACE_LABELS = "labels of an own namespace"
POLICIES = "policies in an own namespace"
DEFINITION_GONE = "a NetworkAttachmentDefinition deleted, or emptied"
DEFINITION_CHANGED = "a NetworkAttachmentDefinition changed to a type that no plugin claims"
JUNK = "objects with wrong types, huge or deep, YAML bombs"
IGNORED = "a policy in another API group or version, or of the default network"

Pairs = frozenset[tuple[str, str]]


@frozen(kw_only=True)
class Forgery:
    """A forged object, and its effect.

    Attributes:
        row: First cell of the row in the table.
        case: The exact forgery.
        written: Objects in place of those of the same name, or besides the others.
        gone: Kind and name of objects that are deleted.
        gained: New pairs of source and destination: ``pod:interface``, ``outside:lan``.
        lost: Lost pairs.
        told: Reasons of all reports that stand afterwards.
        believed: The setting ``peer-addresses``.
    """

    row: str
    case: str
    written: tuple[Manifest, ...] = ()
    gone: tuple[tuple[str, str], ...] = ()
    gained: Pairs = frozenset()
    lost: Pairs = frozenset()
    told: frozenset[Reason] = field(factory=frozenset, converter=frozenset)
    believed: AddressSource = AddressSource.NETWORK_STATUS

    def __str__(self) -> str:
        return self.case


ON_LAN = [*(f"{name}:net1" for name in NUMBERS), "outside:lan"]


def into(*pods: str) -> Pairs:
    """All hosts of the lan to the interfaces of these pods there."""
    return frozenset((one, f"{other}:net1") for other in pods for one in ON_LAN if one != f"{other}:net1")


def reach(one: str, *others: str) -> Pairs:
    return frozenset((one, other) for other in others)


def _of_agent(*addresses: object) -> tuple[Manifest, ...]:
    """The pod that may reach web, with these addresses besides its own."""
    return (pod("tenant/agent", default_entry(5), entry(5, ips=[*lan(5), *addresses])),)


def _of_mallory(*entries: object, text: str | None = None) -> tuple[Manifest, ...]:
    """The pod that denies all ingress."""
    return (pod("tenant/mallory", *entries, text=text),)


def _forged_addresses() -> Iterator[Forgery]:
    mismatch = {Reason.MISMATCH}
    yield Forgery(
        row=ADDRESS,
        case="an address outside of the cluster",
        written=_of_agent(*lan(OUTSIDE)),
        gained=reach("outside:lan", "prod/web:net1"),
        told=mismatch,
    )
    yield Forgery(
        row=ADDRESS,
        case="the address of another pod",
        written=_of_agent(*lan(3)),
        gained=reach("prod/stranger:net1", "prod/web:net1"),
        told={*mismatch, Reason.DUPLICATE_ADDRESS},
    )
    yield Forgery(
        row=ADDRESS,
        case="where the kernel is believed",
        written=_of_agent(*lan(3), *lan(OUTSIDE)),
        told=mismatch,
        believed=AddressSource.KERNEL,
    )
    yield Forgery(row=ADDRESS, case="a network", written=_of_agent("10.0.0.0/24", "fd00::/64"), told=mismatch)
    yield Forgery(
        row=ADDRESS,
        case="everybody",
        written=_of_agent("0.0.0.0/0", "::/0", "::"),
        told={Reason.INVALID_STATUS},
    )
    yield Forgery(
        row=ADDRESS,
        case="what no pod has",
        written=_of_agent("224.0.0.1", "ff02::1", "127.0.0.1", "::1", "255.255.255.255"),
        told={Reason.INVALID_STATUS},
    )
    junk = "10.0.0.66.0", "010.0.0.66", "10.0.0.66 }", "10.0.0.66, 10.0.0.3", "0x0a000042", "10.0.0.1-10.0.0.255"
    yield Forgery(
        row=ADDRESS,
        case="what is no address",
        written=_of_agent(*junk, 167772226, None, [], {}),
        told={Reason.INVALID_STATUS},
    )
    yield Forgery(
        row=ADDRESS,
        case="thousands of addresses",
        written=_of_agent(*(f"10.1.{n // 250}.{n % 250 + 1}" for n in range(5000)), *lan(3)),
        told={Reason.INVALID_STATUS, Reason.MISMATCH},
    )


def _forged_interfaces() -> Iterator[Forgery]:
    open_mallory = into("tenant/mallory")
    yield Forgery(
        row=LEFT_OUT,
        case="left out",
        written=_of_mallory(default_entry(4)),
        gained=open_mallory,
        told={Reason.UNCLAIMED_INTERFACE},
    )
    called = default_entry(4), entry(4, default=True)
    yield Forgery(row=LEFT_OUT, case="called default", written=_of_mallory(*called), gained=open_mallory)
    yield Forgery(
        row=RENAMED,
        case="a name that is not there",
        written=_of_mallory(entry(4, "net9")),
        gained=open_mallory,
        told={Reason.UNENFORCEABLE, Reason.UNCLAIMED_INTERFACE},
    )
    yield Forgery(
        row=DEFAULT,
        case="told of in the same annotation",
        written=_of_mallory(default_entry(4), entry(4), entry(4, "eth0")),
        told={Reason.INVALID_STATUS, Reason.UNENFORCEABLE},
    )
    yield Forgery(
        row=DEFAULT,
        case="not told of",
        written=_of_mallory(entry(4), entry(4, "eth0")),
        lost=frozenset((f"{name}:eth0", "tenant/mallory:eth0") for name in NUMBERS if name != "tenant/mallory"),
        told={Reason.MISMATCH},
    )


ODD_NAMES = (
    *("lo", "all", "default", "a/b", "..", "$(reboot)", "net1; flush ruleset", 'net1"', "net1+", "net*", "x" * 16, ""),
    7,
)


TAKEN_NAMES = frozenset({"$(reboot)", 'net1"', "net1+", "net*"})
"""Those that the kernel takes, so that an interface could be called so."""


def _odd_entries() -> Iterator[Forgery]:
    for name in ODD_NAMES:
        refused = set() if name in TAKEN_NAMES else {Reason.INVALID_STATUS}
        yield Forgery(
            row=ODD,
            case=f"an interface called {name}",
            written=_of_mallory(default_entry(4), entry(4), entry(4, name)),
            told={Reason.UNENFORCEABLE, *refused},
        )
    many = [entry(4, f"x{number}") for number in range(5000)]
    told = {Reason.INVALID_STATUS, Reason.UNENFORCEABLE}
    yield Forgery(row=ODD, case="thousands of entries", written=_of_mallory(entry(4), *many), told=told)
    yield Forgery(
        row=ODD,
        case="thousands of entries in front",
        written=_of_mallory(*many, entry(4)),
        gained=into("tenant/mallory"),
        told={*told, Reason.UNCLAIMED_INTERFACE},
    )
    yield Forgery(
        row=ODD,
        case="10 MB of entries",
        written=_of_mallory(text=json.dumps([entry(4)] * 120_000)),
        gained=into("tenant/mallory"),
        told={Reason.INVALID_STATUS, Reason.UNCLAIMED_INTERFACE},
    )
    yield Forgery(
        row=ODD,
        case="what is no JSON",
        written=_of_mallory(text='[{"name": "site/lan", "interface": "net1"'),
        gained=into("tenant/mallory"),
        told={Reason.INVALID_STATUS, Reason.UNCLAIMED_INTERFACE},
    )


def _forged_labels() -> Iterator[Forgery]:
    yield Forgery(
        row=POD_LABELS,
        case="what a policy of another namespace selects",
        written=(pod("tenant/mallory", labels={"role": "probe"}),),
        gained=reach("tenant/mallory:net1", "prod/web:net1"),
    )
    yield Forgery(
        row=POD_LABELS,
        case="what a policy selects in its own namespace",
        written=(pod("tenant/mallory", labels={"app": "client"}),),
    )
    yield Forgery(
        row=NAMESPACE_LABELS,
        case="what a policy selects",
        written=(namespace("tenant", team="partner"),),
        gained=reach("tenant/mallory:net1", "prod/web:net1"),
    )
    yield Forgery(
        row=NAMESPACE_LABELS,
        case="the name of another",
        written=(namespace("tenant", **{"kubernetes.io/metadata.name": "infra"}),),
    )


def _forged_policies() -> Iterator[Forgery]:
    everything = {"podSelector": {}, "ingress": [{}], "egress": [{}]}
    yield Forgery(
        row=POLICIES,
        case="one that allows everything",
        written=(policy("tenant/open", everything),),
        gained=into("tenant/mallory", "tenant/agent"),
    )
    yield Forgery(
        row=POLICIES,
        case="one that selects others' pods by their labels",
        written=(policy("tenant/open", everything | {"podSelector": {"matchLabels": {"app": "web"}}}),),
    )
    for case, (spec, *told) in JUNK_SPECS.items():
        yield Forgery(row=JUNK, case=case, written=(policy("tenant/junk", spec),), told=told)
    for case, odd, told in (
        ("another version", {"api_version": "k8s.cni.cncf.io/v9"}, Reason.MALFORMED),
        ("another API group", {"api_version": "example.org/v1beta1"}, Reason.IGNORED),
        ("the default network", {"api_version": "networking.k8s.io/v1", "kind": "NetworkPolicy"}, Reason.IGNORED),
    ):
        yield Forgery(row=IGNORED, case=case, written=(policy("tenant/odd", everything, **odd),), told={told})


def _deep(depth: int) -> object:
    value: object = {}
    for _ in range(depth):
        value = {"a": value}
    return value


JUNK_SPECS = {
    "a spec that is a number": (7, Reason.MALFORMED),
    "rules that are text": ({"podSelector": {}, "ingress": "everybody"}, Reason.MALFORMED),
    "a rule that is a list": ({"podSelector": {}, "ingress": [[]]}, Reason.MALFORMED),
    "peers that are a mapping": ({"podSelector": {}, "ingress": [{"from": {}}]}, Reason.MALFORMED),
    "a rule with a misspelt field": ({"podSelector": {}, "ingress": [{"form": []}]}, Reason.MALFORMED),
    "a depth of 500": ({"podSelector": _deep(500), "ingress": _deep(500)}, Reason.INVALID_SELECTOR, Reason.MALFORMED),
    "100,000 peers that are numbers": ({"podSelector": {}, "ingress": [{"from": [0] * 100_000}]}, Reason.INVALID_PEER),
}


def _forged_definitions() -> Iterator[Forgery]:
    unknown = {Reason.UNKNOWN_NETWORK}
    gone = (("NetworkAttachmentDefinition", "site/lan"),)
    yield Forgery(row=DEFINITION_GONE, case="deleted", gone=gone, told=unknown)
    yield Forgery(row=DEFINITION_GONE, case="emptied", written=(network(""),), told=unknown)
    yield Forgery(
        row=DEFINITION_CHANGED,
        case="another type",
        written=(network('{"type": "nobody-claims-this"}'),),
        gained=into("prod/web", "tenant/mallory", "tenant/agent"),
        told={Reason.UNCLAIMED_TYPE},
    )


FORGERIES = (
    *_forged_addresses(),
    *_forged_interfaces(),
    *_odd_entries(),
    *_forged_labels(),
    *_forged_policies(),
    *_forged_definitions(),
)
