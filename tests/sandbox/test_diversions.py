"""Diversions of packets past the rules of their interface are found (S64), each by the real kernel."""

import ctypes
import errno
import os
import subprocess

import pytest
from pyroute2 import IPRoute

from mnp_core.errors import SandboxError
from mnp_core.sandbox import bpf, listing
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.netns import End, macvlan, private_namespace, veth_pair
from tests.sandbox import programs

pytestmark = pytest.mark.root


@pytest.fixture
def pod(sandbox):
    """With an attachment net1, and another interface."""
    with private_namespace() as outside:
        veth_pair(End(sandbox, "net1", ("10.0.0.1/24",)), End(outside, "far1"))
        veth_pair(End(sandbox, "tap0"), End(outside, "far2"))
        yield sandbox


def diverted(pod, *commands):
    """Run commands in the pod, as a process with CAP_NET_ADMIN there can, and look."""

    def work():
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
        return {link.name: link.diverted for link in read_links() if link.diverted}

    return run_inside(pod, work)


def index_of(name):
    with IPRoute() as kernel:
        return kernel.link_lookup(ifname=name)[0]


def test_nothing_diverts_an_ordinary_interface(pod):
    assert diverted(pod) == {}


def test_redirects_of_kata_are_found_on_both_sides(pod):
    """Kata: packets from the interface go to the guest's tap, packets from the tap to the interface."""
    both = [
        f"tc filter add dev {one} parent ffff: protocol all u32 match u8 0 0 action mirred egress redirect dev {other}"
        for one, other in (("net1", "tap0"), ("tap0", "net1"))
    ]
    found = diverted(pod, "tc qdisc add dev net1 ingress", "tc qdisc add dev tap0 ingress", *both)
    assert "redirects its packets to 'tap0'" in found["net1"]
    assert set(found) == {"net1", "tap0"}


def test_a_redirect_from_another_interface_alone_is_found(pod):
    command = "tc filter add dev tap0 egress protocol all u32 match u8 0 0 action mirred egress redirect dev net1"
    found = diverted(pod, "tc qdisc add dev tap0 clsact", command)
    assert found == {"net1": "tc sends packets of 'tap0' out of it, past its rules"}


def test_a_redirect_behind_a_queueing_discipline_with_classes_is_found(pod):
    command = "tc filter add dev tap0 parent 1: protocol all u32 match u8 0 0 action mirred egress mirror dev net1"
    found = diverted(pod, "tc qdisc add dev tap0 root handle 1: htb", command)
    assert found == {"net1": "tc sends packets of 'tap0' out of it, past its rules"}


def test_a_filter_that_only_drops_diverts_nothing(pod):
    command = "tc filter add dev net1 ingress protocol ip u32 match ip src 10.0.0.9 flowid ffff:1"
    assert diverted(pod, "tc qdisc add dev net1 clsact", command) == {}


def test_rules_of_the_netdev_family_that_forward_are_found_and_others_are_none(pod):
    table = "table netdev t {{\n chain c {{ type filter hook ingress device net1 priority 0; {}; }}\n}}\n"
    run_inside(pod, lambda: nft.load(table.format("ip saddr 10.0.0.9 drop")))
    assert diverted(pod) == {}
    run_inside(pod, lambda: nft.load(table.format('fwd to "tap0"')))
    assert set(diverted(pod)) == {"net1", "tap0"}
    assert "netdev family" in diverted(pod)["net1"]


def test_an_interface_on_top_of_one_is_found_wherever_it_was_moved(pod):
    with private_namespace() as below:
        macvlan(End(pod, "net1"), End(below, "hidden"))
        assert "it also receives for the MAC address" in diverted(pod)["net1"]
    macvlan(End(pod, "net1"), End(pod, "child"))
    assert "'child' of kind macvlan on top of it" in diverted(pod)["net1"]


def test_an_xdp_program_is_found_and_may_send_out_of_every_interface(pod):
    run_inside(pod, lambda: programs.attach_xdp(index_of("tap0")))
    found = diverted(pod)
    assert found["tap0"].startswith("an XDP program sees its packets")
    assert found["net1"] == "an XDP program on 'tap0' can send packets out of it"


@pytest.mark.parametrize("where", [programs.TCX_INGRESS, programs.TCX_EGRESS])
def test_a_tcx_program_is_found(pod, where):
    run_inside(pod, lambda: programs.attach_tcx(index_of("tap0"), where))
    assert diverted(pod)["net1"] == "a BPF program (tcx) on 'tap0' can send packets out of it"


def test_what_traffic_control_does_not_see_is_told_apart(pod):
    """S64: a backend there reaches what tc redirects, and not what XDP takes."""
    run_inside(pod, lambda: programs.attach_tcx(index_of("tap0"), programs.TCX_INGRESS))
    assert {link.hidden for link in run_inside(pod, read_links)} == {False}
    run_inside(pod, lambda: programs.attach_xdp(index_of("tap0")))
    assert {link.name for link in run_inside(pod, read_links) if link.hidden} == {"net1", "tap0"}


def test_programs_that_enforce_policy_divert_nothing(pod):
    run_inside(pod, lambda: programs.attach_tcx(index_of("tap0"), programs.TCX_INGRESS, b"mnp_ingress"))
    assert diverted(pod) == {}
    run_inside(pod, lambda: programs.attach_tcx(index_of("tap0"), programs.TCX_INGRESS, b"theirs"))
    assert set(diverted(pod)) == {"net1", "tap0"}


class Refusing:
    """A C library with failing system calls."""

    def __init__(self, number):
        self.number = number

    def syscall(self, *_arguments):
        ctypes.set_errno(self.number)
        return -1


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.ENOMEM])
def test_programs_that_the_kernel_does_not_show_may_be_on_any_interface(pod, monkeypatch, number):
    """S64: invisible links are not claimed to be fine."""
    monkeypatch.setattr(bpf, "_libc", Refusing(number))
    found = diverted(pod)
    assert {"net1", "tap0"} <= set(found)
    assert "lo" not in found
    assert found["net1"].endswith(f"cannot be seen: bpf(2): {os.strerror(number)}")


def test_a_visible_reason_comes_before_an_invisible_one(pod, monkeypatch):
    monkeypatch.setattr(bpf, "_libc", Refusing(errno.EPERM))
    redirect = (
        "tc filter add dev net1 parent ffff: protocol all u32 match u8 0 0 action mirred egress redirect dev tap0"
    )
    assert "redirects its packets to 'tap0'" in diverted(pod, "tc qdisc add dev net1 ingress", redirect)["net1"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV])
def test_a_kernel_without_tcx_has_no_such_programs(pod, monkeypatch, number):
    monkeypatch.setattr(bpf, "_libc", Refusing(number))
    assert diverted(pod) == {}


def test_an_interface_that_has_just_gone_has_no_programs(sandbox):
    assert run_inside(sandbox, lambda: list(bpf.tcx_programs([12345]))) == []


def test_a_namespace_with_more_than_can_be_listed_is_an_error_that_says_so(pod, monkeypatch):
    monkeypatch.setattr(listing, "MOST", 2)
    with pytest.raises(SandboxError, match="more than 2"):
        run_inside(pod, read_links)
