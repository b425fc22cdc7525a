"""What is read of a PCI function, on cards that are laid out as the kernel documents them."""

import pytest

from mnp_sriov import Function, read_function

VF = "0000:01:10.2"


def test_virtual_function_in_legacy_mode(igb):
    assert read_function(igb.root, VF) == Function(
        address=VF, driver="igbvf", physical="0000:01:00.0", index=1, uplink="ens1"
    )


def test_physical_function_is_none_of_another(igb):
    assert read_function(igb.root, "0000:01:00.0") == Function(address="0000:01:00.0", driver="igb")


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("index", [0, 1])
def test_representor_is_found_by_switch_port_and_function(mlx5, number, index):
    """Not the one of another switch, of the other physical function, or of another host behind the same card."""
    function = read_function(mlx5.root, f"0000:03:0{number + 1}.{index}")
    assert (function.uplink, function.index, function.representor) == (f"ens{number}", index, f"aaa{number}{index}")
    assert function.rdma == ("mlx5_9",)


@pytest.mark.parametrize("port", ["", "p0", "p1", "p7"])
def test_the_number_of_the_uplinks_port_says_nothing_about_functions(sysfs, port):
    """As on netdevsim, whose first port is p1 and whose representors are pf0vf0 and so on."""
    pf = sysfs.function("0000:05:00.1", "ice")
    vf = sysfs.function("0000:05:01.0", "iavf", of=pf)
    sysfs.interface("ens5", pf, switch="01", port=port)
    sysfs.interface("rep0", pf, switch="01", port="pf0vf0")
    assert read_function(sysfs.root, vf).representor == ""
    sysfs.interface("rep1", pf, switch="01", port="pf1vf0")
    assert read_function(sysfs.root, vf).representor == "rep1"


def test_uplink_that_has_been_moved_away_leaves_nothing_to_look_for(sysfs):
    pf = sysfs.function("0000:05:00.0", "i40e")
    vf = sysfs.function("0000:05:02.0", "iavf", of=pf)
    assert read_function(sysfs.root, vf) == Function(address=vf, driver="iavf", physical=pf, index=0)


def test_function_without_driver(sysfs):
    assert read_function(sysfs.root, sysfs.function("0000:05:02.0")) == Function(address="0000:05:02.0")


def test_driver_of_a_vdpa_device(sysfs):
    function = read_function(sysfs.root, sysfs.function("0000:05:02.0", "mlx5_core", vdpa="vhost_vdpa"))
    assert function.vdpa_drivers == ("vhost_vdpa",)


@pytest.mark.parametrize("address", ["", "..", "0000:01:10.9", "0000:01:1f.0", "../devices/0000:01:10.2", f"{VF}\n"])
def test_what_is_no_function_here_is_none(igb, address):
    assert read_function(igb.root, address) is None


def test_no_sysfs_at_all(tmp_path):
    assert read_function(tmp_path, VF) is None
