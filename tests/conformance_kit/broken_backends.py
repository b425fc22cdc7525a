"""Backends that are broken on purpose, each in one way that occurred in practice, or could.

Not collected by itself: `test_broken.py` runs each class at the check that is named for it, where it must fail.
"""

import socket
import time
from contextlib import suppress

from attrs import evolve
from pyroute2 import NFCTSocket

from mnp_core.api import Support
from mnp_core.errors import ApplyError, InputError
from mnp_core.model import Allow, Block, Direction, Feature, Installed, Isolated, Peers, Ports, Ruleset
from mnp_core.testing import nft
from mnp_core.testing.conformance import BackendConformance
from mnp_core.testing.policies import ANY_PEER
from mnp_example import ExampleApplier, ExampleRenderer
from mnp_example.renderer import REFUSES
from mnp_nftables import NftablesApplier

MUST_FAIL = {}
"""Class to the check that must fail, what is wrong, and words of the failure."""


class Renderer(ExampleRenderer):
    """A good renderer with spoilt input or output."""

    def __init__(self, policy=None, ruleset=None, delta=None):
        self._policy, self._ruleset, self._delta = policy, ruleset, delta

    def render(self, policy):
        written = super().render(self._policy(policy) if self._policy else policy)
        return self._ruleset(written, policy) if self._ruleset else written

    def render_delta(self, delta):
        written = super().render_delta(delta)
        return self._delta(written) if self._delta else written


def broken(  # each of them by its name
    name,
    check,
    wrong,
    *,
    because="assert",
    policy=None,
    ruleset=None,
    delta=None,
    applier=ExampleApplier,
    into=None,
    **attributes,
):
    """Make a class that is right but for one thing, in this module or in another one."""
    into = globals() if into is None else into

    class Backend(BackendConformance):
        refuses = REFUSES

        def make_renderer(self):
            return Renderer(policy, ruleset, delta)

        def make_applier(self):
            return applier()

    made = type(f"Test{name}", (Backend,), {"__module__": into["__name__"], "__doc__": wrong, **attributes})
    into[made.__name__] = made
    into["MUST_FAIL"][made.__name__] = (check, wrong, because)


# --- tools to spoil with ------------------------------------------------------------------------------------------


def each_rule(change):
    """Change every rule of every direction of a policy."""

    def directions(rules):
        return evolve(rules, allows=tuple(map(change, rules.allows))) if isinstance(rules, Isolated) else rules

    def spoil(policy):
        found = (evolve(i, ingress=directions(i.ingress), egress=directions(i.egress)) for i in policy.interfaces)
        return evolve(policy, interfaces=tuple(found))

    return spoil


def rule(**changes):
    """Change peers or ports of a rule, if they are lists of something."""

    def change(allow):
        if not isinstance(allow, Allow):
            return allow
        spoilt = {name: how(getattr(allow, name)) for name, how in changes.items()}
        return evolve(allow, **spoilt)

    return each_rule(change)


def peers_with(change):
    return rule(peers=lambda peers: change(peers) if isinstance(peers, Peers) else peers)


def ports_with(change):
    return rule(ports=lambda ports: change(ports) if isinstance(ports, Ports) else ports)


def text(change):
    return lambda ruleset, _policy: evolve(ruleset, text=change(ruleset.text))


def without_lines(*words):
    kept = lambda line: not all(word in line for word in words)  # noqa: E731 # a word for it
    return text(lambda whole: "".join(filter(kept, whole.splitlines(keepends=True))))


def with_line(line):
    return text(lambda whole: f"{whole}{line}\n")


def replaced(old, new):
    return text(lambda whole: whole.replace(old, new))


T = "inet mnp_example"

# --- the text -----------------------------------------------------------------------------------------------------

broken(
    "Unsorted",
    "test_order_does_not_matter[union]",
    "writes rules in the order in which they come",
    ruleset=lambda r, p: evolve(r, text=f"{r.text}# {[str(i).splitlines() for i in p.interfaces]}\n"),
)
broken(
    "NamesThePod",
    "test_copies_of_a_pod_share_a_ruleset[deny all]",
    "writes whose sandbox it is for",
    ruleset=lambda r, p: evolve(r, text=f"{r.text}# {p.pod}\n"),
)
broken(
    "OrderOfSets",
    "test_every_process_writes_the_same",
    "writes sets in their own order, which is another one in each process",
    ruleset=lambda r, _: evolve(r, text=f"{r.text}# { {str(n) for n in range(50)} }\n"),
)
broken(
    "OtherDialect",
    "test_dialect_is_that_of_the_ruleset_in_deltas_too",
    "gives deltas another dialect",
    delta=lambda d: evolve(d, dialect="another"),
)
broken(
    "DigestApart",
    "test_the_digest_stands_in_the_text[deny all]",
    "does not stamp the digest into the text",
    ruleset=lambda r, _: evolve(r, digest=r.digest[::-1]),
)
broken(
    "OneDigest",
    "test_policies_that_mean_something_else_have_other_digests",
    "takes a digest of too little",
    ruleset=lambda r, _: evolve(r, digest=str(len(r.sets))),
)
broken(
    "DigestOfMembers",
    "test_the_digest_does_not_depend_on_membership[addresses]",
    "takes a digest that covers membership",
    ruleset=lambda r, _: evolve(r, digest=f"{r.digest}{sorted(map(sorted, r.sets.values()))}"),
)
broken(
    "ForgetsRemovals",
    "test_a_delta_leads_from_one_membership_to_the_other[one to nobody]",
    "forgets members that go",
    delta=lambda d: evolve(d, removed={}, text=d.text.partition("delete")[0]),
)
broken(
    "UnknownSets",
    "test_a_delta_names_only_sets_that_every_user_of_the_group_has[nobody to one]",
    "names sets in deltas that rulesets do not have",
    delta=lambda d: evolve(d, added={**d.added, "g4_other": frozenset({"10.0.0.2"})}),
)
broken(
    "AlwaysSomething",
    "test_a_delta_of_nothing_is_empty",
    "writes something where nothing changes",
    delta=lambda d: evolve(d, text=d.text or "# nothing\n"),
)


def picky(policy):
    for interface in policy.interfaces:
        for direction in Direction:
            for allow in getattr(interface.of(direction), "allows", ()):
                if not allow.origin.policy.name.name.isidentifier():
                    raise InputError(f"no name: {allow.origin}")
    return policy


def unescaped(ruleset, policy):
    """Names the policies in comments, in their authors' words."""
    names = [a.origin.policy.name.name for i in policy.interfaces for a in getattr(i.ingress, "allows", ())]
    return evolve(ruleset, text="".join(f"# {name}\n" for name in names) + ruleset.text)


broken(
    "RefusesNames",
    "test_hostile_names_of_objects_change_nothing_but_words['back//slash']",
    "refuses policies with names that it does not like: their pods stay open",
    because="InputError",
    policy=picky,
)
broken(
    "RefusesNamesInTheKernel",
    "test_hostile_names_of_objects_change_nothing_but_words['line/nflush ruleset']",
    "writes names as they are: a line break ends a comment",
    ruleset=unescaped,
)


def as_it_is(_tests):
    return AnyInterface()


class AnyInterface(Renderer):
    """Takes interface names as they are."""

    def render(self, policy):
        safe = tuple(evolve(i, interface=f"safe{n}") for n, i in enumerate(policy.interfaces))
        written = ExampleRenderer.render(self, evolve(policy, interfaces=safe))
        whole = written.text
        for n, interface in enumerate(policy.interfaces):
            whole = whole.replace(f"safe{n}", interface.interface)
        return evolve(written, text=whole)


broken(
    "AnyInterfaceName",
    "test_hostile_names_of_interfaces_are_refused_or_change_nothing_but_words['a/nb']",
    "writes interface names as they are",
    make_renderer=as_it_is,
)
broken(
    "Pattern",
    "test_an_odd_interface_name_means_that_interface_or_is_refused['net*']",
    "writes interface names that are patterns in its language",
    make_renderer=as_it_is,
)
broken(
    "IgnoresWhatItRefuses",
    "test_inexpressible_policy_is_refused",
    "says that it cannot do something, and does something else instead",
    because="DID NOT RAISE",
    refused={"reject": "not in this language"},
)


def no_multicast(policy):
    if policy.common.accept_multicast_management:
        raise InputError("no multicast here")
    return policy


broken(
    "RefusesUndeclared",
    "test_a_setting_that_is_not_declared_as_refused_is_written[accept_multicast_management]",
    "refuses a setting without declaring it: pods fail one by one, for ever",
    because="no multicast here",
    policy=no_multicast,
)
broken(
    "OtherRefusals",
    "test_refused_settings_are_those_of_the_installed_renderer",
    "tells the kit of other refusals than the node",
    refuses=REFUSES | {Feature.REJECT},
)
broken(
    "Injection",
    "test_hostile_names_stay_in_their_place",
    "lets names become commands",
    ruleset=unescaped,
)

# --- the kernel ---------------------------------------------------------------------------------------------------


class Unusable(ExampleApplier):
    def probe(self):
        return Support(usable=False, detail="not here")


class NeverNothing(ExampleApplier):
    def installed(self):
        return super().installed() or Installed(digest="", sets={})


class ForgetsSets(ExampleApplier):
    def installed(self):
        found = super().installed()
        return found and evolve(found, sets={})


class Toggles(ExampleApplier):
    def apply(self, ruleset):
        before = self.installed()
        super().apply(ruleset)
        if before is not None and before.matches(ruleset):
            nft.load(f"flush chain {T} stamp\n")


class Remembers(ExampleApplier):
    def apply(self, ruleset):
        super().apply(ruleset)
        self.ruleset = ruleset

    def installed(self):
        ruleset = getattr(self, "ruleset", None)
        return Installed(digest=ruleset.digest, sets=ruleset.sets) if ruleset else super().installed()


class LeavesSets(ExampleApplier):
    def apply(self, ruleset):
        before = self.installed()
        super().apply(ruleset)
        for name in (before.sets if before else {}).keys() - ruleset.sets:
            nft.load(f"add set {T} {name} {{ type ipv4_addr; }}\n")


class RefusesNothing(ExampleApplier):
    def apply(self, ruleset):
        with suppress(ApplyError):
            super().apply(ruleset)


class FlushThenAdd(ExampleApplier):
    def apply(self, ruleset):
        self.remove()
        super().apply(ruleset)


class UpdatesAnything(ExampleApplier):
    def update(self, delta):
        with suppress(ApplyError):
            super().update(delta)


class UpdatesNothing(ExampleApplier):
    def update(self, delta):
        pass


class OnlyAdds(ExampleApplier):
    def update(self, delta):
        if found := delta.text.partition("delete")[0]:
            super().update(evolve(delta, text=found))


class FlushesAll(ExampleApplier):
    def apply(self, ruleset):
        nft.load("flush ruleset\n")
        super().apply(ruleset)


class RemovesAll(ExampleApplier):
    def remove(self):
        nft.load("flush ruleset\n")


class RemovesOnce(ExampleApplier):
    def remove(self):
        if self.installed() is None:
            raise ApplyError("there is nothing")
        super().remove()


class RemovesNothing(ExampleApplier):
    def remove(self):
        pass


class TrustsTheStamp(ExampleApplier):
    def installed(self):
        found = super().installed()
        listed = nft.nft("list", "table", *T.split()) if found else ""
        digest = listed.partition('comment "digest ')[2].partition('"')[0]
        return found and evolve(found, digest=digest)


class NeverChanges(ExampleApplier):
    def generation(self):
        return 0


class Deaf(ExampleApplier):
    def watch(self):
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)


class Miscounts(ExampleApplier):
    def watch(self):
        return NftablesApplier().watch()

    def announced_generation(self, message):
        return (NftablesApplier().announced_generation(message) or 1) - 1


class Later(ExampleApplier):
    def commit(self, ruleset):
        return lambda: self.apply(ruleset)


class WritesWhenLooking(ExampleApplier):
    def installed(self):
        nft.load("add table inet scratch\n")
        return super().installed()


class OneForAll(ExampleApplier):
    ruleset: Ruleset

    def apply(self, ruleset):
        type(self).ruleset = ruleset
        time.sleep(0.05)  # in which another thread does the same
        super().apply(type(self).ruleset)


class ForgetsConnections(ExampleApplier):
    def apply(self, ruleset):
        super().apply(ruleset)
        with NFCTSocket() as kernel:
            kernel.flush()


class NoCounters(ExampleApplier):
    def counters(self):
        return []


APPLIERS = {
    Unusable: ("test_it_works_on_this_kernel", "does not work here"),
    NeverNothing: ("test_nothing_is_installed_in_a_fresh_namespace", "finds something where nothing is"),
    ForgetsSets: ("test_applied_ruleset_is_installed[group]", "does not read membership back"),
    Toggles: ("test_applying_twice_changes_nothing", "applies the same a second time, and spoils it"),
    Remembers: ("test_installed_state_is_read_and_not_remembered", "reports what is installed from memory"),
    LeavesSets: ("test_installed_state_depends_on_the_last_apply_alone[forwards]", "leaves sets of older rulesets"),
    RefusesNothing: ("test_a_refused_ruleset_changes_nothing", "passes over what the kernel refuses"),
    UpdatesAnything: ("test_a_change_of_a_group_that_is_not_there_is_refused", "passes over updates that do not fit"),
    UpdatesNothing: ("test_an_update_changes_membership_and_nothing_else", "ignores updates"),
    OnlyAdds: ("test_packets_agree_after_a_change_of_membership", "lets in who comes, and keeps who goes"),
    FlushesAll: ("test_rules_of_others_survive", "removes foreign rules before it writes its own"),
    RemovesAll: ("test_remove_takes_ours_and_nothing_else", "removes foreign rules with its own"),
    RemovesOnce: ("test_removing_nothing_is_no_error", "complains where there is nothing to remove"),
    RemovesNothing: ("test_packets_agree_through_a_life[emptied in between]", "leaves its rules behind"),
    TrustsTheStamp: ("test_tampering_is_seen_and_repaired", "looks at its own stamp and at nothing else"),
    NeverChanges: ("test_the_generation_changes_when_something_changes", "has no generation"),
    Deaf: ("test_a_listener_hears_changes_of_the_generation", "listens to something else"),
    Miscounts: ("test_a_listener_hears_changes_of_the_generation", "announces the generation before"),
    Later: (
        "test_two_phase_apply_is_atomic_for_packets",
        "brings nothing into force before the rest is done",
    ),
    WritesWhenLooking: ("test_looking_changes_nothing", "writes when it is asked what is there"),
    OneForAll: ("test_namespaces_are_apart_and_can_be_written_at_once", "shares state among threads"),
    ForgetsConnections: ("test_established_flows_survive_a_change", "forgets connections when rules change"),
    NoCounters: ("test_counters_say_which_rule_a_packet_met", "counts nothing"),
    FlushThenAdd: ("test_no_packet_passes_between_two_states[rules-Ingress]", "flushes, then adds: an open moment"),
}
BECAUSE = {
    RefusesNothing: "DID NOT RAISE",
    UpdatesAnything: "DID NOT RAISE",
    RemovesOnce: "there is nothing",
}
for kind, (check, wrong) in APPLIERS.items():
    broken(kind.__name__, check, wrong, because=BECAUSE.get(kind, "assert"), applier=kind)
broken(
    "DeletesFirst",
    "test_a_refused_ruleset_changes_nothing",
    "flushes, then adds: what is refused leaves nothing",
    applier=FlushThenAdd,
)
broken(
    "DeletesFirstInEgress",
    "test_no_packet_passes_between_two_states[rules-Egress]",
    "flushes, then adds",
    applier=FlushThenAdd,
)
broken(
    "BypassesOthers",
    "test_allowed_packets_still_meet_foreign_rules",
    "takes the rules of others away, so that what it allows is allowed",
    applier=FlushesAll,
)

# --- packets ------------------------------------------------------------------------------------------------------

agree = "test_packets_agree[{}]".format
broken(
    "IgnoresExcepts",
    agree("excepts"),
    "takes the whole block",
    policy=peers_with(lambda p: evolve(p, blocks=tuple(evolve(b, excepts=()) for b in p.blocks))),
)


def spread_excepts(peers):
    """Every except of a rule, taken out of every block of it."""
    everywhere = tuple(cidr for block in peers.blocks for cidr in block.excepts)

    def own(block):
        return tuple(c for c in everywhere if c.version == block.cidr.version and c.subnet_of(block.cidr))

    return evolve(peers, blocks=tuple(Block(cidr=block.cidr, excepts=own(block)) for block in peers.blocks))


broken(
    "ExceptsForAll",
    agree("overlapping excepts"),
    "lets an except limit other blocks too",
    policy=peers_with(spread_excepts),
)
broken(
    "EmptyPeersAsAny",
    agree("allow none"),
    "takes no peers for any peer",
    policy=peers_with(lambda p: p if p.blocks or p.groups else ANY_PEER),
)


def empty_groups_as_any(policy):
    empty = {identity for identity, group in policy.groups.items() if not group.members}
    return peers_with(lambda p: ANY_PEER if {*p.groups} & empty else p)(policy)


broken("EmptyGroupAsAny", agree("empty group"), "takes an empty group for any peer", policy=empty_groups_as_any)
broken(
    "WrongFamily",
    agree("one family"),
    "takes 0.0.0.0/0 for both families",
    policy=peers_with(lambda p: ANY_PEER if any(b.cidr.prefixlen == 0 for b in p.blocks) else p),
)
broken("ForgetsIPv6", agree("group"), "knows IPv4 alone", ruleset=without_lines(" ip6 saddr"))
broken(
    "OnePortTooMany",
    agree("ranges"),
    "takes the port after a range too",
    policy=ports_with(lambda p: evolve(p, ranges=tuple(evolve(r, last=min(r.last + 1, 65535)) for r in p.ranges))),
)
broken("AnyProtocol", agree("one port of each"), "compares numbers only", ruleset=replaced("tcp dport", "th dport"))
broken(
    "AllOtherProtocols",
    agree("every protocol"),
    "knows TCP, UDP and SCTP only",
    ruleset=replaced('" ip6 hoplimit', '" meta l4proto { 2, 47, 50 } accept # '),
)
broken("OnlyIngress", agree("deny egress"), "forgets egress", ruleset=without_lines(" output ", "oifname"))
broken(
    "EveryInterface",
    agree("deny all"),
    "enforces policy on interfaces of which nobody speaks",
    ruleset=text(lambda whole: whole.replace('iifname "net1"', 'iifname != "lo"')),
)
broken(
    "FirstInterface",
    agree("two interfaces"),
    "enforces policy on the first interface only",
    policy=lambda p: evolve(p, interfaces=p.interfaces[:1]),
)
broken(
    "Prefix",
    agree("similar names"),
    "takes a name for the beginning of names",
    ruleset=replaced('name "net1"', 'name "net1*"'),
)
broken(
    "AddressAlone",
    agree("endpoints"),
    "takes an endpoint for its address",
    ruleset=text(
        lambda whole: whole.replace(
            "output oifname", f"output ip daddr 10.0.0.2 accept\nadd rule {T} output oifname", 1
        )
    ),
)
broken(
    "OwnAddress",
    agree("deny ingress"),
    "trusts the pod's own address",
    ruleset=with_line(f"insert rule {T} ingress ip saddr 10.0.0.1 accept"),
)
broken(
    "AllIcmp",
    agree("accept icmp"),
    "lets ICMPv6 in with ICMP",
    ruleset=replaced("meta nfproto ipv4 meta l4proto icmp", "meta l4proto { icmp, icmpv6 }"),
)
broken(
    "NoReplies",
    "test_replies_pass_where_the_other_direction_is_isolated[4]",
    "is stateless",
    ruleset=without_lines("ct state established"),
)
broken(
    "NoErrors",
    "test_errors_about_an_allowed_flow_pass[4]",
    "lets replies in, and no errors",
    ruleset=replaced("established,related", "established"),
)
broken(
    "TracksLate",
    "test_connections_are_tracked_while_everything_is_open",
    "tracks connections under isolation only",
    ruleset=replaced("ct state new comment", "counter comment"),
)
broken(
    "PolicesLoopback",
    "test_a_pod_reaches_itself[4]",
    "enforces policy on what a pod sends to itself",
    ruleset=with_line(f'insert rule {T} ingress iifname "lo" drop'),
)
broken(
    "NoDiscovery",
    "test_neighbour_discovery_passes_any_policy[6]",
    "drops neighbour discovery",
    ruleset=without_lines("icmpv6 type 133-137"),
)
broken(
    "NoFragments",
    "test_fragments_go_the_way_of_their_datagram[4]",
    "drops fragments",
    ruleset=with_line(
        f"add chain {T} early {{ type filter hook prerouting priority -450; }}\n"
        f"add rule {T} early ip frag-off & 0x1fff != 0 drop"
    ),
)
broken(
    "NoForwarding",
    "test_forwarded_packets_are_enforced_on_both_interfaces[4]",
    "looks at what the pod itself sends",
    ruleset=without_lines(f"add rule {T} forward"),
)
broken(
    "AlwaysRejects",
    "test_denied_packets_are_answered_only_if_that_is_set[drop]",
    "answers whatever it denies",
    ruleset=replaced("counter drop", "counter reject with icmpx type admin-prohibited"),
)
broken(
    "HeedsMarks",
    "test_marks_are_no_way_out",
    "marks what it has allowed, and trusts marks",
    ruleset=with_line(f"insert rule {T} output meta mark & 0x10000 != 0 accept"),
)
