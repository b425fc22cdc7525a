"""Interfaces as the kernel reports them."""

import threading
from contextlib import ExitStack
from ipaddress import ip_address

import pytest
from pyroute2 import IPRoute
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from mnp_core.model import Link
from mnp_core.sandbox.links import _interrupted, _joined, read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.testing.netns import End, bridge, macvlan, private_namespace, veth_pair
from tests.sandbox.looks import descriptors

pytestmark = pytest.mark.root


def links_of(sandbox):
    return {link.name: link for link in run_inside(sandbox, read_links)}


def test_new_namespace_has_loopback_alone_and_up(sandbox):
    assert run_inside(sandbox, read_links) == (
        Link(name="lo", index=1, mac="00:00:00:00:00:00", addresses=(ip_address("127.0.0.1"), ip_address("::1"))),
    )


def test_kind_addresses_of_both_families_master_and_state(sandbox):
    with private_namespace() as pod:
        veth_pair(End(sandbox, "up"), End(sandbox, "port"))
        bridge(sandbox, "br0", "port")
        macvlan(End(sandbox, "up"), End(pod, "net1", ("10.0.0.1/24", "10.0.0.2/24", "fd00::1/64")))
        node, links = links_of(sandbox), links_of(pod)
    assert {link.kind for link in node.values()} == {"", "veth", "bridge"}
    assert node["port"].master == node["br0"].index
    assert node["up"].master is None
    macvlan_link = links["net1"]
    assert (macvlan_link.kind, macvlan_link.up) == ("macvlan", True)
    assert {str(a) for a in macvlan_link.addresses if not a.is_link_local} == {"10.0.0.1", "10.0.0.2", "fd00::1"}
    assert any(address.is_link_local for address in macvlan_link.addresses)
    assert macvlan_link.mac == macvlan_link.mac.lower() != ""


def test_link_that_is_down_is_listed_as_down(sandbox):
    def make():
        with IPRoute() as kernel:
            kernel.link("add", ifname="idle", kind="bridge")

    run_inside(sandbox, make)
    assert links_of(sandbox)["idle"].up is False


def test_point_to_point_link_has_its_own_address_not_the_peers(sandbox):
    veth_pair(End(sandbox, "a"), End(sandbox, "b"))

    def address():
        with IPRoute() as kernel:
            (index,) = kernel.link_lookup(ifname="a")
            kernel.addr("add", index=index, local="10.9.0.1", address="10.9.0.2", prefixlen=32)

    run_inside(sandbox, address)
    assert ip_address("10.9.0.1") in links_of(sandbox)["a"].addresses
    assert ip_address("10.9.0.2") not in links_of(sandbox)["a"].addresses


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("x$(e)\"`;'{}", "x$(e)\"`;'{}"),
        ("ü€", "ü€"),
        ("15-characters-x", "15-characters-x"),
        (b"a\xffb", r"a\xffb"),
        ("a\x1bb", "a\x1bb"),
    ],
)
def test_whatever_name_the_kernel_takes_is_read(sandbox, name, read):
    def make():
        with IPRoute() as kernel:
            kernel.link("add", ifname=name, kind="bridge")

    run_inside(sandbox, make)
    assert set(links_of(sandbox)) == {"lo", read}


def message(**attributes):
    """A link as pyroute2 gives it, with these attributes and nothing else."""
    made = ifinfmsg()
    made.update(index=7, flags=0, header={"flags": 0}, attrs=list(attributes.items()))
    return made


def test_missing_attributes_leave_their_fields_empty():
    assert _joined([message(IFLA_IFNAME="net1")], []) == (Link(name="net1", index=7, up=False),)
    assert _joined([message(IFLA_IFNAME="net1", IFLA_LINKINFO={"attrs": []})], [])[0].kind == ""
    assert _joined([message()], []) == ()


@pytest.mark.parametrize(("number", "mode"), [(0, "l2"), (1, "l3"), (2, "l3s"), (9, "")])
def test_mode_of_an_ipvlan_interface_is_read(number, mode):
    information = {"IFLA_INFO_KIND": "ipvlan", "IFLA_INFO_DATA": {"IFLA_IPVLAN_MODE": number}}
    assert _joined([message(IFLA_IFNAME="net1", IFLA_LINKINFO=information)], [])[0].mode == mode


def test_data_of_a_kind_that_nobody_knows_has_no_mode():
    information = {"IFLA_INFO_KIND": "odd", "IFLA_INFO_DATA": "00:01:02"}
    assert _joined([message(IFLA_IFNAME="net1", IFLA_LINKINFO=information)], [])[0].mode == ""


@pytest.mark.parametrize(
    ("bus", "name", "device"), [("pci", "0000:18:02.5", "0000:18:02.5"), ("virtio", "virtio2", ""), (None, "odd", "")]
)
def test_device_is_the_pci_device_that_an_interface_belongs_to(bus, name, device):
    parent = {"IFLA_PARENT_DEV_NAME": name} | ({"IFLA_PARENT_DEV_BUS_NAME": bus} if bus else {})
    assert _joined([message(IFLA_IFNAME="net1", **parent)], [])[0].device == device


def test_interrupted_dump_is_recognised():
    whole, torn = message(), message()
    torn["header"]["flags"] = 0x12  # NLM_F_MULTI | NLM_F_DUMP_INTR
    assert _interrupted([whole, torn])
    assert not _interrupted([whole])


def test_links_are_read_by_many_threads_at_once_and_nothing_is_left():
    with ExitStack() as stack:
        pool, node = stack.enter_context(SandboxPool(8)), stack.enter_context(private_namespace())
        sandboxes = [stack.enter_context(private_namespace()) for _ in range(16)]
        for number, sandbox in enumerate(sandboxes):
            veth_pair(End(node, f"v{number}"), End(sandbox, f"net{number}", (f"10.0.{number}.1/24",)))
        before = descriptors(), threading.active_count()
        for _ in range(10):
            futures = [(number, pool.submit(sandbox, read_links)) for number, sandbox in enumerate(sandboxes)]
            for number, future in futures:
                lo, net = future.result(20)
                assert (lo.name, net.name) == ("lo", f"net{number}")
                assert ip_address(f"10.0.{number}.1") in net.addresses
        assert descriptors() <= before[0]  # fewer, if something of an earlier test ends only now
        assert threading.active_count() <= before[1] + 8  # the pool's own threads
