"""Which attachments a pod has, and on which of them it is enforced (S3 to S5, S64)."""

import pytest

from mnp_core.model import UNKNOWN_KIND, Reason
from mnp_core.policy.attachments import claim_attachments
from mnp_core.testing.builders import named, network, pod, status

CLAIMED = {"macvlan", "sriov"}


def claims_of(a_pod, *networks):
    return claim_attachments(a_pod, {net.name: net for net in networks}, CLAIMED)


def test_an_attachment_carries_network_status_and_the_kind_of_its_network():
    """S3, S4."""
    web = pod("web", status("net-a", "net1", "10.0.0.1", "fd00::1"))
    claims = claims_of(web, network("net-a", "macvlan"))
    (attachment,) = claims.enforced
    assert (attachment.pod, attachment.network, attachment.interface) == (named("web"), named("net-a"), "net1")
    assert [str(address) for address in attachment.addresses] == ["10.0.0.1", "fd00::1"]
    assert attachment.kind == "macvlan"
    assert claims.peers == claims.enforced
    assert claims.reports == ()


def test_a_plugin_in_front_of_the_claimed_one_hides_nothing():
    """S4."""
    claims = claims_of(pod("web", status("net-a", "net1")), network("net-a", "tuning", "sriov", "macvlan"))
    assert [attachment.kind for attachment in claims.enforced] == ["sriov"]


def test_the_same_network_twice_gives_two_attachments():
    """S3."""
    web = pod("web", status("net-a", "net1", "10.0.0.1"), status("net-a", "net2", "10.0.0.2"))
    claims = claims_of(web, network("net-a", "macvlan"))
    assert [attachment.interface for attachment in claims.enforced] == ["net1", "net2"]


def test_a_pod_of_the_hosts_network_has_no_attachments():
    """S5."""
    claims = claims_of(pod("web", status("net-a", "net1", "10.0.0.1"), host_network=True))
    assert (claims.enforced, claims.peers, claims.reports) == ((), (), ())


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_is_no_peer_but_enforced_while_its_sandbox_lives(phase):
    """S5: a pod that was evicted is Failed while its processes still run."""
    claims = claims_of(pod("web", status("net-a", "net1", "10.0.0.1"), phase=phase), network("net-a", "macvlan"))
    assert [attachment.interface for attachment in claims.enforced] == ["net1"]
    assert claims.peers == ()


def test_a_pending_pod_with_attachments_is_enforced():
    """S5: its init containers are running."""
    web = pod("web", status("net-a", "net1", "10.0.0.1"), phase="Pending")
    assert len(claims_of(web, network("net-a", "macvlan")).enforced) == 1


def test_an_interface_of_an_unclaimed_type_is_reported_and_still_is_a_peer():
    """S21, S64."""
    claims = claims_of(pod("web", status("net-a", "net1", "10.0.0.1")), network("net-a", "tuning", "ovs"))
    assert claims.enforced == ()
    assert [attachment.interface for attachment in claims.peers] == ["net1"]
    (report,) = claims.reports
    assert report.reason is Reason.UNCLAIMED_TYPE
    assert "'net1' on default/net-a is not enforced: its CNI type is tuning, ovs, enforced are macvlan" in str(report)


@pytest.mark.parametrize("definitions", [(), (network("net-a"),)], ids=["missing", "without configuration"])
def test_an_interface_whose_kind_is_not_known_is_enforced_all_the_same(definitions):
    """S4, S6: deleting a definition must not open pods."""
    claims = claims_of(pod("web", status("net-a", "net1", "10.0.0.1")), *definitions)
    assert [(attachment.interface, attachment.kind) for attachment in claims.enforced] == [("net1", UNKNOWN_KIND)]
    assert claims.peers == claims.enforced
    assert [report.reason for report in claims.reports] == [Reason.UNKNOWN_NETWORK]


def test_an_interface_name_that_the_parser_refused_is_a_peer_only():
    """S6, S64: it is not enforced, and says so."""
    claims = claims_of(pod("web", status("net-a", "", "10.0.0.1")), network("net-a", "macvlan"))
    assert claims.enforced == ()
    assert [report.reason for report in claims.reports] == [Reason.UNENFORCEABLE]
    assert len(claims.peers) == 1


def test_the_interface_of_the_default_network_is_never_touched():
    """S3."""
    claims = claims_of(pod("web", status("net-a", "eth0", "10.0.0.1")), network("net-a", "macvlan"))
    assert claims.enforced == ()
    assert [report.reason for report in claims.reports] == [Reason.INVALID_STATUS]


def test_one_bad_attachment_leaves_the_others_as_they_are():
    """S6."""
    web = pod("web", status("gone", "net1"), status("other", "net2"), status("net-a", "net3"))
    claims = claims_of(web, network("net-a", "macvlan"), network("other", "ovs"))
    assert [(a.interface, a.kind) for a in claims.enforced] == [("net1", UNKNOWN_KIND), ("net3", "macvlan")]
    assert [report.reason for report in claims.reports] == [Reason.UNKNOWN_NETWORK, Reason.UNCLAIMED_TYPE]
