"""A gate's description of a pod's attachments outranks annotations (S3, S64)."""

import pytest
from attrs import evolve

from mnp_core.model import NetworkRequest, Reason, parse_address
from mnp_core.model.gated import Gated, GatedInterface
from mnp_core.policy.attachments import claim_attachments
from mnp_core.testing.builders import named, network, pod, status

NETS = {net.name: net for net in (network("blue", "macvlan"), network("green", "macvlan"))}
BLUE = NetworkRequest(network=named("blue"), interface="net1")


def made(name="net1", net="blue", *addresses, mac=""):
    return GatedInterface(
        name=name, network=named(net) if net else None, addresses=tuple(map(parse_address, addresses)), mac=mac
    )


def claims_of(a_pod, **gated):
    return claim_attachments(a_pod, NETS, {"macvlan"}, Gated(**gated))


def shape(claims):
    return [(a.interface, a.network.name, [str(address) for address in a.addresses], a.lost) for a in claims.enforced]


def reasons(claims):
    return [report.reason for report in claims.reports]


def test_a_request_is_enforced_before_network_status_exists():
    claims = claims_of(pod("a"), requests=(BLUE,))
    assert shape(claims) == [("net1", "blue", [], False)]
    assert claims.reports == ()


def test_an_interface_of_a_cni_result_is_enforced_with_its_addresses_before_network_status_exists():
    claims = claims_of(pod("a"), interfaces=(made("net1", "blue", "10.0.0.1", mac="02:00:00:00:00:01"),))
    assert shape(claims) == [("net1", "blue", ["10.0.0.1"], False)]
    assert [attachment.mac for attachment in claims.peers] == ["02:00:00:00:00:01"]
    assert claims.reports == ()


def test_network_status_that_agrees_changes_nothing():
    announced = evolve(pod("a", status("blue", "net1", "10.0.0.1")), attached=True)
    claims = claims_of(announced, interfaces=(made("net1", "blue", "10.0.0.1"),), requests=(BLUE,))
    assert shape(claims) == [("net1", "blue", ["10.0.0.1"], False)]
    assert claims.reports == ()


@pytest.mark.parametrize(
    ("forged", "gated"),
    [
        (status("green", "net1", "10.0.0.1"), {"interfaces": (made("net1", "blue", "10.0.0.1"),)}),
        (status("blue", "net1", "10.9.9.9"), {"interfaces": (made("net1", "blue", "10.0.0.1"),)}),
        (status("green", "net1", "10.0.0.1"), {"requests": (BLUE,)}),
    ],
    ids=["network", "address", "network that was not requested"],
)
def test_a_forged_entry_is_corrected_and_reported(forged, gated):
    claims = claims_of(evolve(pod("a", forged), attached=True), **gated)
    assert shape(claims) == [("net1", "blue", ["10.0.0.1"], False)]
    assert reasons(claims) == [Reason.MISMATCH]


def test_an_entry_left_out_is_enforced_and_reported():
    claims = claims_of(evolve(pod("a"), attached=True), interfaces=(made("net1", "blue", "10.0.0.1"),))
    assert shape(claims) == [("net1", "blue", ["10.0.0.1"], False)]
    assert reasons(claims) == [Reason.MISMATCH]


def test_requests_removed_after_the_start_are_still_enforced():
    claims = claims_of(evolve(pod("a"), attached=True, requests=()), requests=(BLUE,))
    assert shape(claims) == [("net1", "blue", [], True)]
    assert reasons(claims) == [Reason.INVALID_STATUS]


def test_no_annotation_makes_a_secondary_interface_the_default_networks():
    forged = evolve(pod("a"), attached=True, default_interfaces=frozenset({"eth0", "net1"}))
    claims = claims_of(forged, requests=(BLUE,))
    assert [attachment.interface for attachment in claims.enforced] == ["net1"]
    assert Reason.MISMATCH in reasons(claims)


def test_a_gate_in_the_default_networks_definition_changes_nothing():
    claims = claims_of(pod("a"), interfaces=(made("eth0", "blue", "10.0.0.1"),))
    assert (claims.enforced, claims.reports) == ((), ())


def test_a_request_names_the_network_of_an_interface_that_its_definition_does_not_name():
    claims = claims_of(evolve(pod("a"), requests=(BLUE,)), interfaces=(made("net1", "", "10.0.0.1"),))
    assert shape(claims) == [("net1", "blue", ["10.0.0.1"], False)]


def test_a_definition_cannot_put_an_interface_on_a_network_that_the_pod_did_not_request():
    """Its author would join the groups of another tenant's network."""
    claims = claims_of(evolve(pod("a"), requests=(BLUE,)), interfaces=(made("net1", "green", "10.0.0.1"),))
    assert shape(claims) == [("net1", "blue", ["10.0.0.1"], False)]


def test_an_interface_that_was_not_requested_answers_no_request_for_its_network():
    claims = claims_of(evolve(pod("a"), attached=True), requests=(BLUE,), interfaces=(made("net2", "blue"),))
    assert {attachment.interface for attachment in claims.enforced} == {"net1", "net2"}
    forged = claims_of(evolve(pod("a", status("blue", "net5", "10.0.0.1")), attached=True), requests=(BLUE,))
    assert {attachment.interface for attachment in forged.enforced} == {"net1", "net5"}
