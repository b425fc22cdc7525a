"""Edge-case policies by name: known and likely faults of backends.

Each is the policy of one sandbox, with the reason for the case. The packets to send are in
`mnp_core.testing.oracle`. A backend that cannot do one must refuse it (`mnp_core.errors.InputError` or
`UnsupportedError`), never do something else instead.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network

from mnp_core.classes import frozen
from mnp_core.model import Block, DeniedLog, DenyAction, EstablishedFlows, Network, SandboxPolicy
from mnp_core.testing.builders import block, network, pod, pods, policy, rule, serves, status
from mnp_core.testing.cluster import Cluster
from mnp_core.testing.policies import (
    DENY,
    GROUP,
    OTHER_GROUP,
    addresses,
    allow,
    allow_endpoints,
    audited,
    endpoints,
    interface,
    isolated,
    only,
    origin,
    sandbox,
)


@frozen(kw_only=True)
class Case:
    """One policy of the corpus.

    Attributes:
        about: Its subject, with the numbers of the rules that it tests.
        policy: The rules of the sandbox. Its interfaces are called ``net1``, ``net2`` and so on.
    """

    about: str
    policy: SandboxPolicy


_EVERYONE = ("0.0.0.0/0", "::/0")
_SOME_MEMBERS = ("10.0.0.2", "10.0.0.30", "10.9.0.1", "fd00::2", "fd00:9::1")


def _basics() -> Iterator[tuple[str, str, SandboxPolicy]]:
    yield "open", "S10: no policy selects the interface", only()
    yield "deny all", "S12: isolated, and no rule", only(ingress=DENY, egress=DENY)
    yield "deny ingress", "S11: egress stays open", only(ingress=DENY)
    yield "deny egress", "S11: ingress stays open", only(egress=DENY)
    nobody, nowhere = isolated(allow([])), isolated(allow(ports=[]))
    yield "allow none", "S22: a rule without peers matches nothing", only(ingress=nobody, egress=nobody)
    yield "no ports", "S32: a rule without ports that could be understood", only(ingress=nowhere, egress=nowhere)
    yield "any peer", "S12: everything, all protocols (S45)", only(ingress=isolated(allow()), egress=isolated(allow()))
    web = isolated(allow(ports=["TCP/80"]))
    yield "any peer, one port", "S12: any source in both families", only(ingress=web, egress=web)
    mixed = isolated(allow(["10.0.0.0/24"], ["UDP/53"]), allow([], ["TCP"]), allow(["fd00::/64"], source=origin(1)))
    yield "union", "S11: rules add up, and one that matches nothing adds nothing", only(ingress=mixed, egress=mixed)


def _blocks() -> Iterator[tuple[str, str, SandboxPolicy]]:
    def both(*allows: Sequence[str | Block]) -> SandboxPolicy:
        rules = isolated(*(allow(peers, ["TCP/80"]) for peers in allows))
        return only(ingress=rules, egress=rules)

    yield "one address", "S23: nobody beside it", both(["10.0.0.2/32", "fd00::2/128"])
    yield "one family", "S25: 0.0.0.0/0 is not IPv6", both(["0.0.0.0/0"])
    yield "the other family", "S25: ::/0 is not IPv4", both(["::/0"])
    yield "two halves", "S23: adjacent blocks are no overlap", both(["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"])
    nested = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/8", "fd00::/8", "fd00::/64"]
    yield "nested and duplicate", "S23: blocks within blocks", both(nested)
    holes = block("10.0.0.0/8", "10.0.0.0/24", "10.0.0.128/25", "10.255.255.255/32", "10.64.0.0/10")
    holes6 = block("fd00::/16", "fd00::/64", "fd00:1::/32", "fd00:0:0:1::/64")
    yield "excepts", "S23: at both ends, nested and adjacent", both([holes, holes6])
    one, two = block("10.0.0.0/16", "10.0.1.0/24"), block("10.0.1.0/24", "10.0.1.128/25")
    yield "overlapping excepts", "S23: an except limits only its own block", both([one, two])
    separate = both([block("10.0.0.0/8", "10.2.0.0/16")], [block("10.2.3.0/24", "10.2.3.4/32")])
    yield "excepts of two rules", "S23: what one leaves out, another allows", separate
    yield "except everything", "S23: nothing is left", both([block("10.0.0.0/8", "10.0.0.0/8")])
    yield "everyone but", "S23: a whole family with holes", both([block(_EVERYONE[0], "10.0.0.0/8"), block("::/0")])
    many = [f"10.{n // 2}.{n % 2 * 128}.0/{24 + n % 8}" for n in range(400)]
    many += [f"fd00:{n:x}::/{64 + n % 60}" for n in range(100)]
    yield "500 CIDRs", "S23: more than fit into single rules", both(many)


def _ports() -> Iterator[tuple[str, str, SandboxPolicy]]:
    def both(*ports: str) -> SandboxPolicy:
        rules = isolated(allow(ports=ports))
        return only(ingress=rules, egress=rules)

    yield "every protocol", "S30, S45: all ports of all three, and nothing else", both("TCP", "UDP", "SCTP")
    yield "one port of each", "S30: the number alone is not enough", both("TCP/80", "UDP/53", "SCTP/99")
    yield "first and last port", "S32", both("TCP/1", "TCP/65535", "UDP/65535")
    yield "ranges", "S32: both ends included", both("TCP/80-90", "UDP/5000-6000", "SCTP/1-2")
    overlapping = both("TCP/80-90", "TCP/85-100", "TCP/100", "TCP/101-110", "UDP/80-90")
    yield "overlapping ranges", "S30: a union, in any order", overlapping
    yield "all and one", "S30: {TCP} with {TCP, 80} is all of TCP", both("TCP", "TCP/80")
    yield "one and all", "S30: in the other order too", both("UDP/80", "UDP")
    yield (
        "many ranges",
        "S32: more than fit into single rules",
        both(*(f"TCP/{n * 100}-{n * 100 + 7}" for n in range(1, 60))),
    )
    peers = isolated(allow(["10.0.0.0/24", "fd00::/64", GROUP], ["TCP/80", "UDP/53-54"]))
    groups = [addresses(GROUP, *_SOME_MEMBERS)]
    yield "peers and ports", "S12: both must match", only(ingress=peers, egress=peers, groups=groups)


def _groups() -> Iterator[tuple[str, str, SandboxPolicy]]:
    some = isolated(allow([GROUP], ["TCP/80"]))
    members = addresses(GROUP, *_SOME_MEMBERS)
    yield "group", "S21: members and nobody else, both families", only(ingress=some, egress=some, groups=[members])
    empty = addresses(GROUP)
    yield "empty group", "S22: the rule stays and allows nothing", only(ingress=some, egress=some, groups=[empty])
    four = addresses(GROUP, "10.0.0.2")
    yield "group of one family", "S25: it is empty in the other", only(ingress=some, egress=some, groups=[four])
    odd = addresses(GROUP, "::1.2.3.4", "2001:db8::", "1.2.3.4")
    yield "odd addresses", "S25: as different programs write them", only(ingress=some, egress=some, groups=[odd])
    two = isolated(allow([GROUP, OTHER_GROUP, "192.0.2.128/25"]))
    both = [members, addresses(OTHER_GROUP, "10.0.0.2", "10.20.0.1")]
    yield "two groups and a block", "S20: alternatives", only(ingress=two, egress=two, groups=both)
    crowd = [f"10.{n >> 8}.{n & 255}.7" for n in range(3000)] + [f"fd00::{n:x}:7" for n in range(1000)]
    huge = addresses(GROUP, *crowd)
    yield "huge group", "S21: thousands of members", only(ingress=some, egress=some, groups=[huge])
    served = endpoints(GROUP, ("10.0.0.2", "TCP", 8080), ("10.0.0.30", "TCP", 80), ("fd00::2", "SCTP", 99))
    named = isolated(allow_endpoints(GROUP))
    yield "endpoints", "S31: address, protocol and port together", only(egress=named, groups=[served])
    yield "no endpoints", "S31: a name that nobody serves", only(egress=named, groups=[endpoints(GROUP)])


def _compiled() -> Iterator[tuple[str, str, SandboxPolicy]]:
    """Named ports, from objects as users write them."""
    networks: tuple[Network, ...] = (network("net-a", "macvlan"),)
    web = pod("web", status("net-a", "net1", "10.0.0.1"), ports=[serves("TCP/8080", "http"), serves("UDP/53", "dns")])
    peer = pod("peer", status("net-a", "net1", "10.0.0.2"), labels={"app": "peer"}, ports=[serves("TCP/80", "http")])
    other = pod("other", status("net-a", "net1", "10.0.0.3"), labels={"app": "peer"}, ports=[serves("UDP/81", "http")])

    def of_web(**directions: object) -> SandboxPolicy:
        deny = policy("named", networks=["net-a"], **directions)  # type: ignore[arg-type] # one direction of two
        return Cluster(pods=(web, peer, other), networks=networks, policies=(deny,)).sandbox("web")

    ingress = [rule(None, ["TCP/http", "UDP/dns", "SCTP/http"])]
    yield "named ingress ports", "S31: of the pod's own containers, by protocol", of_web(ingress=ingress)
    egress = [rule([pods(app="peer"), block("10.0.0.3/32")], ["TCP/http", "UDP/http"])]
    yield "named egress ports", "S31: of each peer's containers, by protocol", of_web(egress=egress)


def _interfaces() -> Iterator[tuple[str, str, SandboxPolicy]]:
    web = isolated(allow(["10.0.0.0/8", "fd00::/8"], ["TCP/80"]))
    two = sandbox(interface("net1", ingress=web), interface("net2", ingress=DENY, egress=web))
    yield "two interfaces", "S10: each by its own rules", two
    yield (
        "one of two",
        "S10: the other is open",
        sandbox(interface("net1", ingress=DENY, egress=DENY), interface("net2")),
    )
    similar = sandbox(interface("net1", ingress=DENY), interface("net10", egress=DENY), interface("net11", ingress=web))
    yield "similar names", "S10: one name is the beginning of the other", similar


def _settings() -> Iterator[tuple[str, str, SandboxPolicy]]:
    yield "accept icmp", "S43: of IPv4 alone", only(ingress=DENY, egress=DENY, accept_icmp=True)
    yield "accept icmpv6", "S43: of IPv6 alone", only(ingress=DENY, egress=DENY, accept_icmpv6=True)
    multicast = only(ingress=DENY, egress=DENY, accept_multicast_management=True)
    yield "accept multicast management", "S43: IGMP and MLD", multicast
    near, far = (ip_network("10.0.0.0/24"), ip_network("fd00::/64")), (ip_network("10.9.0.0/16"),)
    prefixes = only(ingress=DENY, egress=DENY, allow_src_prefixes=near, allow_dst_prefixes=far)
    yield "prefixes", "section 7: sources in ingress, destinations in egress", prefixes
    web = isolated(allow(ports=["TCP/80"]))
    yield (
        "reject",
        "S48: what is denied does not pass either",
        only(ingress=web, egress=web, deny_action=DenyAction.REJECT),
    )
    recheck = only(ingress=web, egress=DENY, established_flows=EstablishedFlows.RECHECK)
    yield "recheck", "S42: new flows are judged as ever", recheck
    logged = only(ingress=web, egress=DENY, denied_log=DeniedLog())
    yield "denied log", "section 7: a statement that logs is no verdict", logged


def _audits() -> Iterator[tuple[str, str, SandboxPolicy]]:
    web, named = audited(allow([GROUP, "10.0.0.0/24"], ["TCP/80"])), audited(allow_endpoints(OTHER_GROUP))
    members, served = addresses(GROUP, *_SOME_MEMBERS), endpoints(OTHER_GROUP, ("10.0.0.2", "TCP", 8080))
    yield "audit", "S71: everything passes", only(ingress=web, egress=named, groups=(members, served))
    yield "audit and deny", "S71: an audit of one direction opens nothing", only(ingress=audited(), egress=DENY)
    others = sandbox(interface("net1", ingress=audited()), interface("net2", ingress=DENY, egress=audited()))
    yield "audit beside deny", "S71: nor on another interface", others
    rejecting = only(ingress=audited(), egress=audited(), deny_action=DenyAction.REJECT)
    yield "audit and reject", "S71, S48: nothing is rejected", rejecting


def _corpus() -> Mapping[str, Case]:
    parts = (_basics, _blocks, _ports, _groups, _compiled, _interfaces, _settings, _audits)
    return {name: Case(about=about, policy=policy) for part in parts for name, about, policy in part()}


CORPUS = _corpus()
"""Every case by its name."""

HOSTILE_TEXTS = (
    'quote" accept #',
    "back\\slash",
    "line\nflush ruleset",
    "return\rcarriage",
    "nul\0byte",
    "; reboot;",
    "} } table inet x { chain y {",
    "$(touch /tmp/x) `id` $HOME",
    "%s%n {0} ${x}",
    "*",
    "-A OUTPUT -j ACCEPT",
    "\u202eright to left \U0001f608 é",
    "\udc80 lone surrogate",
    "n" * 253,
    "é" * 120,
    "x" * 5000,
    "",
)
"""Worst-case names from users. Kubernetes allows less; other sources of objects may not."""

HOSTILE_INTERFACES = (
    "lo",
    "",
    ".",
    "..",
    "a b",
    "net*",
    "net+",
    "!net1",
    'a"b',
    "a\\b",
    "a/b",
    "a\nb",
    "a;b",
    "a{b}",
    "$x",
    "%d",
    "é",
    "x" * 16,
    "-j",
)
"""Names of interfaces that mean something else in many languages; some of them the kernel does take."""


def named_by(text: str, *, interface_name: str = "net1") -> SandboxPolicy:
    """A policy and a rule whose every name is this text, on an interface of that name.

    With any text this is one policy with one rule, and its ruleset has one shape.
    """
    source = origin(name=text, kind=text)
    rules = isolated(allow([GROUP], ["TCP/80"], source=source))
    return sandbox(interface(interface_name, ingress=rules, egress=DENY), groups=[addresses(GROUP, "10.0.0.2")])
