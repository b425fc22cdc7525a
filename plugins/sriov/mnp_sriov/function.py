"""What sysfs tells of a PCI network function.

Read from the kernel's documented files, under a root that is a parameter:

* ``bus/pci/devices/ADDRESS/{physfn,virtfnN,driver}`` (Documentation/ABI/testing/sysfs-bus-pci)
* ``.../net/NAME``, ``.../infiniband/NAME``: what the driver offers. The interfaces of a network namespace show only in
  a sysfs that was mounted there, so a function whose interface is in a pod has none here.
* ``.../vdpaN/driver`` (Documentation/ABI/testing/sysfs-bus-vdpa)
* ``class/net/NAME/{phys_switch_id,phys_port_name}`` (Documentation/ABI/testing/sysfs-class-net). In switchdev mode all
  ports of a card's switch have one switch id; the uplink on the card's port N is named ``pN``, the representor of
  virtual function V of physical function P ``pfPvfV``; a prefix ``cC`` means another host's
  (Documentation/networking/devlink/devlink-port.rst). P is the function in the PCI address, and not N: cards, and
  netdevsim, count ports as they like.

Devices come and go while one looks, and drivers refuse to answer (EOPNOTSUPP): what cannot be read is not there.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import frozen

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_VIRTFN = re.compile(r"virtfn(\d+)")
_UPLINK = re.compile(r"p(\d+)(s\d+)?")
_REPRESENTOR = re.compile(r"pf\d+vf\d+")
_VDPA = re.compile(r"vdpa\d+")


@frozen(kw_only=True)
class Function:
    """A PCI function, virtual or physical.

    Attributes:
        address: Its PCI address.
        driver: The driver that it is bound to; empty if none.
        physical: PCI address of the physical function it belongs to; empty if it is none's virtual function.
        index: Its number among those of the physical function, from 0; None if it is no virtual function.
        uplink: The physical function's interface on the node; empty if there is none to be seen.
        representor: Its port on the card's switch, an interface on the node; empty without switchdev mode.
        rdma: The RDMA devices that it offers.
        vdpa_drivers: The drivers of the vDPA devices that it offers.
    """

    address: str
    driver: str = ""
    physical: str = ""
    index: int | None = None
    uplink: str = ""
    representor: str = ""
    rdma: tuple[str, ...] = ()
    vdpa_drivers: tuple[str, ...] = ()


def read_function(sysfs: Path, address: str) -> Function | None:
    """Look a PCI function up.

    Args:
        sysfs: Where sysfs is mounted.
        address: Such as ``0000:18:02.5``.

    Returns:
        None if the node has no such function.
    """
    folder = sysfs / "bus/pci/devices" / address
    if not _ADDRESS.fullmatch(address) or not folder.is_dir():  # what is no address may be a path to elsewhere
        return None
    physical = _target(folder / "physfn")
    index = _index(folder / "physfn", address) if physical else None
    uplink = _uplink(sysfs, folder / "physfn") if physical else ""
    return Function(
        address=address,
        driver=_target(folder / "driver"),
        physical=physical,
        index=index,
        uplink=uplink,
        representor=_representor(sysfs, uplink, physical, index) if uplink and index is not None else "",
        rdma=tuple(_names(folder / "infiniband")),
        vdpa_drivers=tuple(_target(folder / name / "driver") for name in _names(folder) if _VDPA.fullmatch(name)),
    )


def _index(physical: Path, address: str) -> int | None:
    """The N of the virtfnN that leads back to the function."""
    for name in _names(physical):
        match = _VIRTFN.fullmatch(name)
        if match and _target(physical / name) == address:
            return int(match[1])
    return None


def _uplink(sysfs: Path, physical: Path) -> str:
    """The interface of a physical function. In switchdev mode representors may hang on it as well."""
    interfaces = {name: _port_name(sysfs, name) for name in _names(physical / "net")}
    others = [name for name, port in interfaces.items() if not _UPLINK.fullmatch(port)]
    named = [name for name in interfaces if name not in others]
    candidates = named or [name for name in others if not _REPRESENTOR.search(interfaces[name])]
    return candidates[0] if candidates else ""


def _representor(sysfs: Path, uplink: str, physical: str, index: int) -> str:
    switch = _text(sysfs / "class/net" / uplink / "phys_switch_id")
    wanted = f"pf{physical.rpartition('.')[2]}vf{index}"
    names = _names(sysfs / "class/net") if switch else ()
    ports = (name for name in names if _text(sysfs / "class/net" / name / "phys_switch_id") == switch)
    return next((name for name in ports if _port_name(sysfs, name) == wanted), "")


def _port_name(sysfs: Path, interface: str) -> str:
    return _text(sysfs / "class/net" / interface / "phys_port_name")


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


def _text(file: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text().strip()
    return ""
