"""PCI network functions, read from sysfs.

The kernel's documented files, under a root that is a parameter:

* ``bus/pci/devices/ADDRESS/driver`` (Documentation/ABI/testing/sysfs-bus-pci)
* ``.../infiniband/NAME``: the RDMA devices of the driver
* ``.../vdpaN/driver`` (Documentation/ABI/testing/sysfs-bus-vdpa)

Devices come and go meanwhile, and drivers refuse to answer (EOPNOTSUPP): an unreadable file counts as absent.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import frozen

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_VDPA = re.compile(r"vdpa\d+")


@frozen(kw_only=True)
class Function:
    """A PCI function, virtual or physical.

    Attributes:
        address: Its PCI address.
        driver: The driver that it is bound to; empty if none.
        rdma: The RDMA devices that it offers.
        vdpa_drivers: The drivers of the vDPA devices that it offers.
    """

    address: str
    driver: str = ""
    rdma: tuple[str, ...] = ()
    vdpa_drivers: tuple[str, ...] = ()


def read_function(sysfs: Path, address: str) -> Function | None:
    """Look up a PCI function.

    Args:
        sysfs: Where sysfs is mounted.
        address: Such as ``0000:18:02.5``.

    Returns:
        None if the node has no such function.
    """
    folder = sysfs / "bus/pci/devices" / address
    if not _ADDRESS.fullmatch(address) or not folder.is_dir():  # anything else may be a path to elsewhere
        return None
    return Function(
        address=address,
        driver=_target(folder / "driver"),
        rdma=tuple(_names(folder / "infiniband")),
        vdpa_drivers=tuple(_target(folder / name / "driver") for name in _names(folder) if _VDPA.fullmatch(name)),
    )


def _names(folder: Path) -> Iterator[str]:
    try:
        yield from sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return


def _target(link: Path) -> str:
    """The last part of where a symbolic link leads; empty if there is none."""
    with suppress(OSError):
        return link.readlink().name
    return ""
