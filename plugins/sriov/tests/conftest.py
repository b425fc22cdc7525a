"""Cards as sysfs shows them, laid out in a folder after the kernel's documentation."""

from pathlib import Path

import pytest


class Sysfs:
    """A root of sysfs that grows by functions and interfaces."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "class/net").mkdir(parents=True)
        (root / "bus/pci/devices").mkdir(parents=True)

    def function(self, address, driver="", *, of=None, index=0, rdma=(), vdpa=None):
        """A PCI function; with `of` it is virtual function `index` of that one."""
        real = self.root / "devices/pci0000:00" / address
        (real / "net").mkdir(parents=True)
        (self.root / "bus/pci/devices" / address).symlink_to(real)
        if driver:
            self._bind(real, "pci", driver)
        if of:
            physical = self.root / "devices/pci0000:00" / of
            (real / "physfn").symlink_to(physical)
            (physical / f"virtfn{index}").symlink_to(real)
        for name in rdma:
            (real / "infiniband" / name).mkdir(parents=True)
        if vdpa:
            (real / "vdpa0").mkdir()
            self._bind(real / "vdpa0", "vdpa", vdpa)
        return address

    def interface(self, name, address, *, switch=None, port=None):
        """An interface on the node; without `switch` and `port` the driver refuses to answer."""
        real = self.root / "devices/pci0000:00" / address / "net" / name
        real.mkdir()
        (self.root / "class/net" / name).symlink_to(real)
        for file, text in (("phys_switch_id", switch), ("phys_port_name", port)):
            if text is None:
                (real / file).mkdir()  # to read it is an OSError, as it is on a driver that does not support it
            else:
                (real / file).write_text(f"{text}\n")

    def _bind(self, real, bus, driver):
        folder = self.root / "bus" / bus / "drivers" / driver
        folder.mkdir(parents=True, exist_ok=True)
        (real / "driver").symlink_to(folder)


@pytest.fixture
def sysfs(tmp_path):
    return Sysfs(tmp_path / "sys")


@pytest.fixture
def igb(sysfs):
    """Intel 82576 in legacy mode: physical function 0000:01:00.0, virtual ones 0000:01:10.0 and .2."""
    pf = sysfs.function("0000:01:00.0", "igb")
    sysfs.interface("ens1", pf)
    for number in (0, 1):
        sysfs.function(f"0000:01:10.{2 * number}", "igbvf", of=pf, index=number)
    return sysfs


@pytest.fixture
def mlx5(sysfs):
    """ConnectX in switchdev mode, both ports in one switch, on a DPU: functions .0 and .1 with two VFs each."""
    for number in (0, 1):
        pf = sysfs.function(f"0000:03:00.{number}", "mlx5_core", rdma=[f"mlx5_{number}"])
        for index in (0, 1):
            sysfs.function(f"0000:03:0{number + 1}.{index}", "mlx5_core", of=pf, index=index, rdma=["mlx5_9"])
            sysfs.interface(f"aaa{number}{index}", pf, switch="0a0b", port=f"pf{number}vf{index}")
            sysfs.interface(f"aab{number}{index}", pf, switch="0a0b", port=f"c1pf{number}vf{index}")
            sysfs.interface(f"aac{number}{index}", pf, switch="ffff", port=f"pf{number}vf{index}")
        sysfs.interface(f"ens{number}", pf, switch="0a0b", port=f"p{number}")
    return sysfs
