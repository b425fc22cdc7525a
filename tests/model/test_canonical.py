"""S11: equal content makes equal values, in any order of the arguments: no renderer sorts."""

from ipaddress import ip_network
from itertools import permutations

import pytest

from mnp_core.model import AddressGroup, Block, InterfacePolicy, ObjectName, Peers, PortRange, Ports, SandboxPolicy
from mnp_core.model.port import Protocol

POD = ObjectName("x", "a")


def tcp(first, last):
    return PortRange(protocol=Protocol.TCP, first=first, last=last)


def block(cidr, *excepts):
    return Block(cidr=ip_network(cidr), excepts=tuple(map(ip_network, excepts)))


@pytest.mark.parametrize("order", [*permutations([tcp(80, 90), tcp(85, 99), tcp(100, 110), tcp(1, 1)])])
def test_ports_are_merged_ranges(order):
    assert Ports(ranges=order).ranges == (tcp(1, 1), tcp(80, 110))


@pytest.mark.parametrize("order", [*permutations([block("10.1.0.0/16"), block("10.0.0.0/8"), block("fd00::/8")])])
def test_blocks_are_sorted(order):
    assert list(map(str, Peers(blocks=order).blocks)) == ["10.0.0.0/8", "10.1.0.0/16", "fd00::/8"]


def test_excepts_and_identities_are_sorted():
    assert block("10.0.0.0/8", "10.2.0.0/16", "10.1.0.0/16") == block("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16")
    assert Peers(groups=("b", "a")).groups == ("a", "b")


@pytest.mark.parametrize("order", [*permutations("abc")])
def test_interfaces_and_groups_of_a_sandbox_are_sorted(order):
    sandbox = SandboxPolicy(
        pod=POD,
        interfaces=[InterfacePolicy(interface=name) for name in order],
        groups={name: AddressGroup(id=name) for name in order},
    )
    assert [interface.interface for interface in sandbox.interfaces] == ["a", "b", "c"]
    assert [*sandbox.groups] == ["a", "b", "c"]


def test_canonical_values_are_shared_and_not_copied():
    """The cache of rulesets compares identities."""
    sandbox = SandboxPolicy(pod=POD, interfaces=(InterfacePolicy(interface="a"),), groups={"a": AddressGroup(id="a")})
    copy = SandboxPolicy(pod=POD, interfaces=sandbox.interfaces, groups=sandbox.groups)
    assert copy.interfaces is sandbox.interfaces
    assert copy.groups is sandbox.groups
