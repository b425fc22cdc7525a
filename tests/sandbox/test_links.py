"""Interfaces as the kernel reports them."""

import struct
import threading
import tracemalloc
from contextlib import ExitStack
from ipaddress import ip_address

import pytest
from pyroute2 import IPRoute

from mnp_core.model import Link
from mnp_core.netfilter.attributes import attribute
from mnp_core.sandbox.links import parse_link, read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.testing.netns import End, bridge, macvlan, private_namespace, veth_pair
from tests.sandbox.looks import descriptors

pytestmark = pytest.mark.root


def links_of(sandbox):
    return {link.name: link for link in run_inside(sandbox, read_links)}


def test_new_namespace_has_loopback_alone_and_up(sandbox):
    assert run_inside(sandbox, read_links) == (
        Link(
            name="lo",
            index=1,
            loopback=True,
            mac="00:00:00:00:00:00",
            addresses=(ip_address("127.0.0.1"), ip_address("::1")),
        ),
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
def test_any_name_of_the_kernel_is_read(sandbox, name, read):
    def make():
        with IPRoute() as kernel:
            kernel.link("add", ifname=name, kind="bridge")

    run_inside(sandbox, make)
    assert set(links_of(sandbox)) == {"lo", read}


def nested(*parts):
    return b"".join(attribute(kind, value) for kind, value in parts)


NAME, LINKINFO, PARENT, BUS = 3, 18, 56, 57  # IFLA_* in <linux/if_link.h>
NET1 = (NAME, b"net1\0")


def parsed(*attributes, flags=0):
    """The link that the kernel would list with these attributes and nothing else."""
    return parse_link(struct.pack("=BxHiII", 0, 0, 7, flags, 0) + nested(*attributes))


def test_missing_attributes_leave_their_fields_empty():
    assert parsed(NET1) == Link(name="net1", index=7, up=False)
    assert parsed(NET1, (LINKINFO, b"")).kind == ""
    assert parsed() is None


@pytest.mark.parametrize(("number", "mode"), [(0, "l2"), (1, "l3"), (2, "l3s"), (9, "")])
def test_mode_of_an_ipvlan_interface_is_read(number, mode):
    data = nested((1, struct.pack("=H", number)))
    assert parsed(NET1, (LINKINFO, nested((1, b"ipvlan\0"), (2, data)))).mode == mode


def test_data_of_an_unknown_kind_has_no_mode():
    assert parsed(NET1, (LINKINFO, nested((1, b"odd\0"), (2, b"\0\1\2")))).mode == ""


@pytest.mark.parametrize(
    ("bus", "name", "device"),
    [(b"pci", b"0000:18:02.5", "0000:18:02.5"), (b"virtio", b"virtio2", ""), (None, b"odd", "")],
)
def test_device_is_the_pci_device_that_an_interface_belongs_to(bus, name, device):
    assert parsed(NET1, (PARENT, name), *([(BUS, bus)] if bus else [])).device == device


def test_an_interface_whose_other_end_is_elsewhere_leads_out(sandbox):
    with private_namespace() as pod:
        veth_pair(End(sandbox, "far"), End(pod, "net1"))
        veth_pair(End(pod, "inner1"), End(pod, "inner2"))
        bridge(pod, "br0")
        links = links_of(pod)
    assert {name for name, link in links.items() if link.leads_out} == {"net1"}
    assert links["inner1"].parent == links["inner2"].index


def test_two_thousand_interfaces_take_less_than_a_kilobyte_each(sandbox):
    """S64: a process in the pod decides their number, and the node's memory is shared."""

    def make():
        with IPRoute() as kernel:
            for number in range(1000):
                kernel.link("add", ifname=f"v{number}", kind="veth", peer={"ifname": f"w{number}"})

    def measured():
        tracemalloc.start()
        links = read_links()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return len(links), peak

    run_inside(sandbox, make)
    count, peak = run_inside(sandbox, measured)
    assert count == 2001
    assert peak < count * 1024 + 500_000


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
