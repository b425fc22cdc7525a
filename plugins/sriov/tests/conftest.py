"""Cards as sysfs shows them, laid out in a folder after the kernel's documentation."""

from pathlib import Path

import pytest


class Sysfs:
    """A root of sysfs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bus/pci/devices").mkdir(parents=True)

    def function(self, address, driver="", *, rdma=(), vdpa=None):
        """Add a PCI function."""
        real = self.root / "devices/pci0000:00" / address
        real.mkdir(parents=True)
        (self.root / "bus/pci/devices" / address).symlink_to(real)
        if driver:
            self._bind(real, "pci", driver)
        for name in rdma:
            (real / "infiniband" / name).mkdir(parents=True)
        if vdpa:
            (real / "vdpa0").mkdir()
            self._bind(real / "vdpa0", "vdpa", vdpa)
        return address

    def _bind(self, real, bus, driver):
        folder = self.root / "bus" / bus / "drivers" / driver
        folder.mkdir(parents=True, exist_ok=True)
        (real / "driver").symlink_to(folder)


@pytest.fixture
def sysfs(tmp_path):
    return Sysfs(tmp_path / "sys")


@pytest.fixture
def igb(sysfs):
    """Intel 82576: physical function 0000:01:00.0, virtual ones 0000:01:10.0 and .2."""
    sysfs.function("0000:01:00.0", "igb")
    for number in (0, 1):
        sysfs.function(f"0000:01:10.{2 * number}", "igbvf")
    return sysfs


@pytest.fixture
def mlx5(sysfs):
    """ConnectX: physical function 0000:03:00.0, virtual ones 0000:03:01.0 and .1."""
    sysfs.function("0000:03:00.0", "mlx5_core", rdma=["mlx5_0"])
    for index in (0, 1):
        sysfs.function(f"0000:03:01.{index}", "mlx5_core", rdma=["mlx5_9"])
    return sysfs
