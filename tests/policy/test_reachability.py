from ipaddress import ip_network

import pytest

from mnp_core.model import Attachment, ObjectName, Protocol, parse_address
from mnp_core.policy.ends import Flow, Host
from mnp_core.policy.reachability import Reachability

FLOW = Flow(protocol=Protocol.TCP, port=80)
RED, BLUE = ObjectName("x", "red"), ObjectName("x", "blue")
WIRES = {RED: "macvlan on eth1", BLUE: "macvlan on eth1"}


def host(name, **networks):
    attachments = (
        Attachment(
            pod=ObjectName("x", name),
            network=ObjectName("x", network),
            interface=f"net{number}",
            addresses=(parse_address(address),),
            kind="macvlan",
        )
        for number, (network, address) in enumerate(networks.items(), start=1)
    )
    return Host(pod=ObjectName("x", name), attachments=tuple(attachments))


def ways(reach, source, destination):
    return [(str(way.source.address), str(way.destination.address)) for way in reach.ways(source, destination, [FLOW])]


def test_between_networks_of_one_wire_packets_stay_in_the_senders_subnet():
    """The lab probes nothing else: a packet for another subnet goes to a router."""
    a, b = host("a", red="10.1.0.1", blue="10.2.0.1"), host("b", red="10.1.0.2", blue="10.2.0.2")
    assert ways(Reachability([a, b], WIRES), a, b) == [("10.1.0.1", "10.1.0.2"), ("10.2.0.1", "10.2.0.2")]


def test_neighbours_on_two_networks_of_one_wire_reach_each_other():
    a, b = host("a", red="10.1.0.1"), host("b", blue="10.1.0.2")
    assert ways(Reachability([a, b], WIRES), a, b) == [("10.1.0.1", "10.1.0.2")]
    assert ways(Reachability([a, b]), a, b) == []


@pytest.mark.parametrize(("prefix", "found"), [("10.1.0.0/16", 1), ("10.1.1.0/24", 0)])
def test_known_subnets_say_who_is_a_neighbour(prefix, found):
    a, b = host("a", red="10.1.1.1"), host("b", blue="10.1.2.2")
    reach = Reachability([a, b], WIRES, {RED: (ip_network(prefix),)})
    assert len(ways(reach, a, b)) == found


def test_neighbours_of_different_pods_make_different_groups():
    near, far, other = host("a", blue="10.1.0.1"), host("b", blue="10.3.0.1"), host("c", blue="10.1.0.7")
    reach = Reachability([near, far, other, host("s", red="10.1.0.2")], WIRES)
    assert reach.likeness(near) == reach.likeness(other)
    assert reach.likeness(near) != reach.likeness(far)


def test_pods_with_one_address_are_like_no_other():
    """S44: a pod reaches its own address through lo."""
    a, b, c = host("a", red="10.1.0.1"), host("b", red="10.1.0.1"), host("c", red="10.1.0.2")
    reach = Reachability([a, b, c])
    assert len({reach.likeness(each) for each in (a, b, c)}) == 3
    apart = Reachability([a, host("b", blue="10.1.0.1"), c])
    assert apart.likeness(a) == apart.likeness(c)
