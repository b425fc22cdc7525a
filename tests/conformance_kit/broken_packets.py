"""Backends that judge single packets and established flows wrongly; as `broken_backends`."""

from attrs import evolve

from mnp_core.model import DeniedLog, DenyAction, EstablishedFlows
from mnp_core.testing import nft
from mnp_core.testing.policies import DENY, origin
from mnp_nftables import NftablesApplier, NftablesRenderer
from tests.conformance_kit import broken_backends
from tests.conformance_kit.broken_backends import T, ports_with, replaced, with_line, without_lines

MUST_FAIL = {}
OWN = "inet mnp"


def broken(name, check, wrong, **spoilt):
    broken_backends.broken(name, check, wrong, into=globals(), **spoilt)


def broken_nftables(name, check, wrong, *, settings=None, policy=None, rule="", because="assert"):
    """The nftables backend, that loses settings or a policy, or adds a rule of its own."""

    class Renderer(NftablesRenderer):
        def render(self, given):
            spoilt = policy(given) if policy else given
            return super().render(evolve(spoilt, common=evolve(spoilt.common, **(settings or {}))))

    class Applier(NftablesApplier):
        def apply(self, ruleset):
            super().apply(ruleset)
            if rule:
                nft.load(f"insert rule {OWN} {rule}\n")

    renderer = staticmethod(lambda *_: Renderer())
    broken(name, check, wrong, refuses=frozenset(), make_renderer=renderer, applier=Applier, because=because)


broken(
    "DiscoveryFromAfar",
    "test_discovery_that_a_router_has_forwarded_is_denied[64]",
    "takes any solicitation for neighbour discovery",
    ruleset=replaced("ip6 hoplimit 255 icmpv6", "icmpv6"),
)
broken_nftables(
    "IgnoresIcmpSettings",
    "test_icmp_follows_policy_or_the_setting[4]",
    "ignores the settings for ICMP",
    settings={"accept_icmp": False, "accept_icmpv6": False},
)
broken_nftables(
    "IgnoresMulticast",
    "test_multicast_management_passes_by_the_setting[True]",
    "ignores the setting for multicast management",
    settings={"accept_multicast_management": False},
)
broken_nftables(
    "LogsNothing",
    "test_denied_packets_are_logged_with_their_mark[4]",
    "takes the log of denied packets for a wish",
    settings={"denied_log": None},
)
broken_nftables(
    "LogsEverything",
    "test_no_more_packets_are_logged_than_the_limit_says",
    "logs far more packets than it may",
    settings={"denied_log": DeniedLog(rate=1000, burst=1000)},
)
broken_nftables(
    "IgnoresPrefixes",
    "test_allowed_prefixes_are_of_one_direction[6]",
    "ignores allowed prefixes",
    settings={"allow_src_prefixes": (), "allow_dst_prefixes": ()},
)
broken(
    "TrustsOwnAddress",
    "test_the_own_address_on_the_wire_is_no_privilege[False]",
    "takes every packet from the pod's address for the pod's own",
    ruleset=with_line(f"insert rule {T} ingress ip6 saddr fd00::1 accept"),
)
broken(
    "FragmentsPass",
    "test_a_pod_cannot_hide_a_datagram_in_fragments_of_its_own[4]",
    "judges first fragments only, before reassembly",
    ruleset=replaced('oifname "net1"  counter drop', 'oifname "net1" meta length < 800 counter drop'),
)
broken(
    "FewRanges",
    "test_more_ranges_than_fit_into_rules_mean_the_same[4]",
    "writes the first sixteen port ranges",
    policy=ports_with(lambda ports: evolve(ports, ranges=ports.ranges[:16])),
)
broken(
    "InvalidPasses",
    "test_an_invalid_packet_is_judged_like_a_new_one[drop-4]",
    "lets packets pass that connection tracking calls invalid",
    ruleset=with_line(f"insert rule {T} ingress ct state invalid accept"),
)
broken_nftables(
    "SilentReject",
    "test_a_pod_that_may_not_send_learns_it_at_once[4]",
    "drops instead of rejecting",
    settings={"deny_action": DenyAction.DROP},
)
broken_nftables(
    "RejectsMore",
    "test_rules_that_reject_allow_the_same[4]",
    "rejects fragments of allowed datagrams",
    rule="ingress meta length > 2000 drop",
)
broken(
    "AuditDenies",
    "test_packets_agree[audit]",
    "enforces policies in audit mode",
    ruleset=replaced('accept comment "net1 Ingress would-deny', 'drop comment "net1 Ingress would-deny'),
)
broken(
    "AuditCountsEverything",
    "test_would_be_denials_are_the_denials_of_the_same_policy[union]",
    "counts allowed packets as would-be denials",
    ruleset=replaced(str(origin()), "would-deny"),
)
broken(
    "PromotionCuts",
    "test_promotion_cuts_no_allowed_flow[keep]",
    "cuts established flows when policies are enforced",
    ruleset=without_lines("ct state established,related"),
)
broken_nftables(
    "AuditJudgesReplies",
    "test_an_audit_of_one_direction_leaves_flows_of_the_other_alone",
    "drops replies that only an audit would deny",
    rule="ingress ct direction reply drop",
    because="timed out",
)
for _check in (
    "test_recheck_cuts_denied_flows_and_no_others[4]",
    "test_recheck_understands_every_way_to_allow[ports0-group-6]",
    "test_recheck_knows_endpoints[4]",
    "test_recheck_stops_the_replies_of_a_flow_that_is_cut",
    "test_recheck_follows_membership",
    "test_recheck_of_forwarded_flows[6]",
):
    broken_nftables(
        f"Keeps{_check.partition('[')[0].removeprefix('test_recheck').title().replace('_', '')}",
        _check,
        "keeps established flows, whatever is set",
        settings={"established_flows": EstablishedFlows.KEEP},
    )
broken_nftables(
    "RechecksOpenDirections",
    "test_recheck_leaves_an_open_direction_alone",
    "judges replies of an open direction by no rules at all",
    policy=lambda policy: evolve(
        policy, interfaces=tuple(evolve(each, egress=DENY) for each in policy.interfaces if each.ingress == DENY)
    ),
)
broken_nftables(
    "RecheckDropsErrors",
    "test_recheck_lets_errors_of_allowed_flows_pass[4]",
    "judges ICMP errors like new packets",
    rule="ingress ct state related drop",
)
broken_nftables(
    "RecheckReadsPackets",
    "test_recheck_sees_through_address_translation_in_the_pod",
    "reads the port of a reply in the packet instead of the connection",
    rule="output udp sport != 80 ct direction reply drop",
    because="Operation not permitted",
)


class LosesBlocks(NftablesRenderer):
    """Writes what goes, and forgets what comes."""

    def render_blocks_delta(self, delta):
        found = super().render_blocks_delta(delta)
        return found and evolve(found, added={})


broken(
    "LosesBlocks",
    "test_a_delta_of_blocks_leads_from_one_list_to_the_other[one block to neighbours]",
    "forgets blocks that come to a rule",
    refuses=frozenset(),
    make_renderer=staticmethod(lambda *_: LosesBlocks()),
    applier=NftablesApplier,
)
