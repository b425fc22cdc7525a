"""Virtual functions that are enforced in the pod, and unenforceable ones."""

from ipaddress import ip_address

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnp_core.model import Attachment, Link, ObjectName
from mnp_core.plugins import load_plugins
from mnp_sriov import CNI_TYPES, SriovDiscoverer

VF = "0000:01:10.0"
MAC = "02:00:00:00:00:0a"
ONE = ip_address("10.0.0.1")
CLAIM = Attachment(
    pod=ObjectName("a", "pod"),
    network=ObjectName("a", "net"),
    interface="net1",
    addresses=(ONE,),
    kind="sriov",
    mac=MAC,
    device=VF,
)
LOOPBACK = Link(name="lo", index=1, addresses=(ip_address("127.0.0.1"),))
LINK = Link(name="net1", index=2, mac=MAC, addresses=(ONE,), device=VF)


def discover(sysfs, claim=CLAIM, *links):
    return SriovDiscoverer(sysfs.root).discover(claim, (LOOPBACK, *links))


def test_interface_of_a_virtual_function_is_enforced_in_the_pod(igb):
    found = discover(igb, CLAIM, LINK)
    assert found.attachment == CLAIM
    assert (found.unenforceable, found.mismatches) == ("", ())


def test_device_is_learnt_from_the_kernel_if_network_status_names_none(mlx5):
    found = discover(mlx5, evolve(CLAIM, device=""), evolve(LINK, device="0000:03:01.0"))
    assert found.attachment.device == "0000:03:01.0"
    assert found.mismatches == ()


def test_physical_function_that_was_moved_into_the_pod_is_enforced_there(igb):
    device = "0000:01:00.0"
    found = discover(igb, evolve(CLAIM, device=device), evolve(LINK, device=device))
    assert (found.unenforceable, found.mismatches) == ("", ())


@pytest.mark.parametrize(
    "driver", ["vfio-pci", "mlx5_vfio_pci", "uio_pci_generic", "igb_uio", "pci-stub", "xen-pciback"]
)
@pytest.mark.parametrize("links", [(), (LINK,), (evolve(LINK, kind="dummy", device=""),)])
def test_device_that_a_process_drives_is_never_called_enforced(sysfs, driver, links):
    """S64: with any interface in its place."""
    sysfs.function(VF, driver)
    found = discover(sysfs, CLAIM, *links)
    assert f"device {VF} is bound to '{driver}'" in found.unenforceable
    assert found.attachment == CLAIM


def test_device_without_driver_is_unenforceable(sysfs):
    """S64."""
    sysfs.function(VF)
    assert "has no driver" in discover(sysfs, CLAIM, evolve(LINK, kind="dummy", device="")).unenforceable


def test_vdpa_is_enforced_only_where_the_kernel_uses_it(sysfs):
    """S64."""
    sysfs.function(VF, "mlx5_core", vdpa="vhost_vdpa")
    sysfs.function("0000:01:10.2", "mlx5_core", vdpa="virtio_vdpa")
    link = evolve(LINK, device="")
    assert "vhost-vdpa" in discover(sysfs, CLAIM, link).unenforceable
    found = discover(sysfs, evolve(CLAIM, device="0000:01:10.2"), link)
    assert (found.unenforceable, found.mismatches) == ("", ())


def test_rdma_without_an_interface_is_unenforceable(mlx5):
    """S64."""
    found = discover(mlx5, evolve(CLAIM, device="0000:03:01.0"))
    assert "offers RDMA ('mlx5_9') and no interface in the pod" in found.unenforceable
    assert found.attachment.device == "0000:03:01.0"


def test_rdma_that_the_pod_was_given_is_unenforceable_beside_its_interface(mlx5):
    """S64: and without a word of it in network-status the interface is all that the pod has."""
    claim, link = evolve(CLAIM, device="0000:03:01.0"), evolve(LINK, device="0000:03:01.0")
    assert discover(mlx5, claim, link).unenforceable == ""
    reason = discover(mlx5, evolve(claim, rdma="mlx5_9"), link).unenforceable
    assert "RDMA device 'mlx5_9'" in reason
    assert "only the packets of 'net1' are enforced" in reason


def test_device_that_the_node_does_not_have_is_a_difference(igb):
    found = discover(igb, evolve(CLAIM, device="0000:7f:00.0"), LINK)
    assert found.unenforceable == ""
    assert found.attachment.device == VF
    assert "PCI device '0000:7f:00.0', the node has none" in found.mismatches[0]


def test_interface_of_another_device_is_a_difference_and_the_kernels_counts(igb):
    found = discover(igb, CLAIM, evolve(LINK, device="0000:01:10.2"))
    (mismatch,) = found.mismatches
    assert f"PCI device {VF}, the kernel has it on '0000:01:10.2'" in mismatch
    assert found.attachment.device == "0000:01:10.2"


def test_interface_of_another_name_is_found_by_its_device(igb):
    """S64."""
    found = discover(igb, evolve(CLAIM, mac=""), evolve(LINK, name="mine"))
    assert "'mine' has its device" in found.unenforceable
    assert found.attachment == evolve(CLAIM, mac="")


def test_interface_that_is_no_card_is_a_difference(igb):
    (mismatch,) = discover(igb, CLAIM, evolve(LINK, kind="veth", device="")).mismatches
    assert "CNI type 'sriov', but the kernel has a link of kind 'veth'" in mismatch


def test_infiniband_interface_is_as_expected(igb):
    assert discover(igb, evolve(CLAIM, kind="ib-sriov"), evolve(LINK, kind="ipoib")).mismatches == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(device=st.text(max_size=40), rdma=st.text(max_size=80), found=st.text(max_size=40))
def test_hostile_devices_give_short_printable_sentences(igb, device, rdma, found):
    discovery = discover(igb, evolve(CLAIM, device=device, rdma=rdma), evolve(LINK, device=found))
    texts = (discovery.unenforceable, *discovery.mismatches)
    assert all(text.isprintable() and len(text) < 500 for text in texts)


@pytest.mark.parametrize("cni_type", CNI_TYPES)
def test_plugin_claims_the_cni_types(cni_type):
    """S4."""
    assert isinstance(load_plugins().discoverer(cni_type), SriovDiscoverer)
