"""Representors as the kernel has them: the files that `mnp_sriov` reads, on two switches of netdevsim."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from mnp_core.model import Link, Trait
from mnp_core.testing import builders as make
from tests.vm.netdevsim import switch

mnp_sriov = pytest.importorskip("mnp_sriov", reason="mnp-sriov is not installed")
pytestmark = pytest.mark.vm
FUNCTIONS = 3
SWITCHES = (1, 2)


def text(interface, name):
    return Path(f"/sys/class/net/{interface}/{name}").read_text().strip()


def card(sysfs, number, device):
    """The PCI side, which netdevsim has not, laid out in front of the interfaces that the kernel really has."""
    functions = [f"0000:0{number}:00.0", *(f"0000:0{number}:10.{index}" for index in range(FUNCTIONS))]
    for address in functions:
        (sysfs / "bus/pci/devices" / address).mkdir(parents=True)
    physical, *virtual = (sysfs / "bus/pci/devices" / address for address in functions)
    (physical / "net").symlink_to(device / "net")
    for index, folder in enumerate(virtual):
        (folder / "physfn").symlink_to(physical)
        (folder / "driver").symlink_to("/sys/bus/netdevsim/drivers/netdevsim")
        (physical / f"virtfn{index}").symlink_to(folder)
    return [folder.name for folder in virtual]


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """Root of sysfs, and by switch its folder in the real one and the addresses of its functions."""
    with ExitStack() as cleanup:
        sysfs = tmp_path_factory.mktemp("sys")
        (sysfs / "class").mkdir()
        (sysfs / "class/net").symlink_to("/sys/class/net")
        devices = {number: cleanup.enter_context(switch(number, FUNCTIONS)) for number in SWITCHES}
        yield sysfs, {number: (device, card(sysfs, number, device)) for number, device in devices.items()}


@pytest.mark.parametrize("index", range(FUNCTIONS))
@pytest.mark.parametrize("number", SWITCHES)
def test_a_function_is_found_with_its_representor(cards, number, index):
    """Switches are told apart by phys_switch_id: both have a port pf0vf0."""
    sysfs, devices = cards
    device, addresses = devices[number]
    found = mnp_sriov.read_function(sysfs, addresses[index])
    assert (text(found.representor, "phys_port_name"), found.index) == (f"pf0vf{index}", index)
    assert text(found.uplink, "phys_port_name") == "p1"  # the port's number, not the function's
    assert {found.representor, found.uplink} <= {path.name for path in (device / "net").iterdir()}
    assert text(found.representor, "phys_switch_id") == text(found.uplink, "phys_switch_id")


def test_the_switches_have_ids_of_their_own(cards):
    sysfs, devices = cards
    uplinks = [mnp_sriov.read_function(sysfs, addresses[0]).uplink for _, addresses in devices.values()]
    assert len({text(uplink, "phys_switch_id") for uplink in uplinks}) == len(SWITCHES)


def test_an_attachment_carries_its_representor_as_the_port_on_the_node(cards):
    sysfs, devices = cards
    address = devices[2][1][1]
    claim = make.attachment("web", "fast", "net1", "10.0.0.1", kind="sriov")
    link = Link(name="net1", index=2, kind="", mac="02:00:00:00:00:01", up=True, device=address)
    found = mnp_sriov.SriovDiscoverer(sysfs).discover(claim, [link])
    assert text(found.attachment.host_port, "phys_port_name") == "pf0vf1"
    assert {Trait.HOST_PORT, Trait.KERNEL_DEVICE} <= found.attachment.traits
    assert found.unenforceable == ""
