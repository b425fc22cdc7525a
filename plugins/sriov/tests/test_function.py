"""PCI functions, read from cards laid out as the kernel documents them."""

import pytest

from mnp_sriov import Function, read_function

VF = "0000:01:10.2"


def test_virtual_function(igb):
    assert read_function(igb.root, VF) == Function(address=VF, driver="igbvf")


def test_physical_function(igb):
    assert read_function(igb.root, "0000:01:00.0") == Function(address="0000:01:00.0", driver="igb")


def test_rdma_device(mlx5):
    assert read_function(mlx5.root, "0000:03:01.0").rdma == ("mlx5_9",)


def test_function_without_driver(sysfs):
    assert read_function(sysfs.root, sysfs.function("0000:05:02.0")) == Function(address="0000:05:02.0")


def test_driver_of_a_vdpa_device(sysfs):
    function = read_function(sysfs.root, sysfs.function("0000:05:02.0", "mlx5_core", vdpa="vhost_vdpa"))
    assert function.vdpa_drivers == ("vhost_vdpa",)


@pytest.mark.parametrize("address", ["", "..", "0000:01:10.9", "0000:01:1f.0", "../devices/0000:01:10.2", f"{VF}\n"])
def test_unknown_address_gives_none(igb, address):
    assert read_function(igb.root, address) is None


def test_missing_sysfs_gives_none(tmp_path):
    assert read_function(tmp_path, VF) is None
