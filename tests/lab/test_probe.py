"""Which questions are asked, and how answers are written."""

from ipaddress import ip_address

import pytest

from mnp_core.errors import InputError
from mnp_core.model import ObjectName
from mnp_core.offline.probe import ProbeResult, ProbeVerdict, parse_probe
from mnp_lab.plan import plan_lab
from mnp_lab.probe import plan_probes
from tests.lab.manifests import nad, pod, subnet

A, B = ObjectName("default", "a"), ObjectName("default", "b")
DUAL = nad("net", type="host-local", ranges=[[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64"}]])


def asked(*documents, specs=(), **filters):
    return [str(probe) for probe in plan_probes(plan_lab(documents), [parse_probe(spec) for spec in specs], **filters)]


@pytest.mark.parametrize("text", ["tcp:80", "udp:53", "sctp:99", "icmp"])
def test_a_probe_is_printed_as_it_is_written(text):
    assert str(parse_probe(text)) == text


@pytest.mark.parametrize("text", ["tcp", "tcp:0", "tcp:65536", "icmp:1", "http:80", "80", "tcp:80,81", "tcp:-1", ""])
def test_malformed_probe_is_refused_with_an_example(text):
    with pytest.raises(InputError, match="is not a probe"):
        parse_probe(text)


def test_every_ordered_pair_on_a_shared_network():
    documents = [subnet("10.0.0.0/24"), subnet("10.1.0.0/24", "other"), pod("a"), pod("b"), pod("c", "other")]
    assert asked(*documents, specs=["icmp"]) == [
        "default/a -> default/b (10.0.0.3) icmp",
        "default/b -> default/a (10.0.0.2) icmp",
    ]


def test_each_family_that_both_have():
    assert asked(DUAL, pod("a"), pod("b"), specs=["tcp:1"], sources={A}) == [
        "default/a -> default/b (10.0.0.3) tcp:1",
        "default/a -> default/b (fd00::3) tcp:1",
    ]


def test_without_a_spec_the_ports_that_the_destination_declares_else_80():
    declares = pod("b", ports=[("UDP", 53), ("TCP", 8080), ("TCP", 8080)])
    assert asked(subnet("10.0.0.0/24"), pod("a"), declares) == [
        "default/a -> default/b (10.0.0.3) tcp:8080",
        "default/a -> default/b (10.0.0.3) udp:53",
        "default/b -> default/a (10.0.0.2) tcp:80",
    ]


def test_the_same_network_twice_gives_two_attachments_to_probe():
    """S3"""
    documents = [subnet("10.0.0.0/24"), pod("a"), pod("b", "net,net")]
    probes = plan_probes(plan_lab(documents), [parse_probe("icmp")], sources={A})
    assert [(probe.interface, str(probe.address)) for probe in probes] == [("net1", "10.0.0.3"), ("net2", "10.0.0.4")]


def test_a_pod_asks_itself_only_if_that_is_wanted():
    documents = [subnet("10.0.0.0/24"), pod("a")]
    assert asked(*documents) == []
    assert asked(*documents, include_self=True) == ["default/a -> default/a (10.0.0.2) tcp:80"]


def test_filters():
    documents = [subnet("10.0.0.0/24"), subnet("10.1.0.0/24", "other"), pod("a", "net,other"), pod("b", "net,other")]
    only = ObjectName("default", "other")
    assert asked(*documents, sources={B}, destinations={A}, network=only) == [
        "default/b -> default/a (10.1.0.2) tcp:80"
    ]


def test_json_of_an_answer():
    """The shape that design.md promises."""
    (probe,) = plan_probes(plan_lab([subnet("10.0.0.0/24"), pod("a"), pod("b")]), [parse_probe("tcp:80")], sources={A})
    assert ProbeResult(probe=probe, verdict=ProbeVerdict.ALLOWED, seconds=0.1).as_json() == {
        "from": "default/a",
        "to": "default/b",
        "network": "default/net",
        "interface": "net1",
        "address": str(ip_address("10.0.0.3")),
        "protocol": "TCP",
        "port": 80,
        "verdict": "allowed",
    }
