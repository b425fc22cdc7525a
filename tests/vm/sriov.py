"""The emulated card with SR-IOV (Intel 82576: igb makes functions that igbvf drives), and the card at its wire's end.

Devices of hardware are known by PCI address: their interface's name changes from start to start, and whenever one comes
back from a pod.
"""

import fcntl
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

from mnp_core.testing.netns import End
from tests.vm.ip import configure, inside, ip

FUNCTIONS = 4
PATIENCE = 20.0  # seconds
T = TypeVar("T")
_DEVICES = Path("/sys/bus/pci/devices")
_SIOCGIFFLAGS = 0x8913  # <linux/sockios.h>
_IFF_RUNNING = 0x40


@cache
def physical_function() -> str:
    """PCI address of the card that makes functions; its driver is loaded if need be."""
    subprocess.run(["modprobe", "--all", "igb", "igbvf", "virtio_net"], check=True)
    return _until(lambda: next((path.parent.name for path in _DEVICES.glob("*/sriov_totalvfs")), ""))


@cache
def wire() -> str:
    """PCI address of the card at the other end of the wire."""
    physical_function()
    return _until(lambda: next((path.parents[2].name for path in _DEVICES.glob("*/virtio*/net/*")), ""))


@cache
def functions() -> tuple[str, ...]:
    """PCI addresses of the virtual functions, which are made once."""
    card = _DEVICES / physical_function()
    ip(None, f"link set {interface_of(card.name)} up")
    (card / "sriov_numvfs").write_text(str(FUNCTIONS))
    found = tuple((card / f"virtfn{number}").readlink().name for number in range(FUNCTIONS))
    for function in found:
        interface_of(function)
    return found


def interface_of(device: str) -> str:
    """The name of a device's interface in the machine's own namespace; waits until it is there."""
    places = (f"{device}/net/*", f"{device}/virtio*/net/*")
    return _until(lambda: next((path.name for place in places for path in _DEVICES.glob(place)), ""))


@contextmanager
def given_away(function: str) -> Iterator[str]:
    """A function bound to vfio-pci, as a device plugin does for a process that drives it itself."""
    subprocess.run(["modprobe", "vfio-pci"], check=True)
    _bind(function, "vfio-pci")
    try:
        yield function
    finally:
        _bind(function, "")
        interface_of(function)


def _bind(function: str, driver: str) -> None:
    """Bind to that driver, or to the card's own (Documentation/ABI/testing/sysfs-bus-pci)."""
    device = _DEVICES / function
    (device / "driver_override").write_text(f"{driver}\n")
    (device / "driver/unbind").write_text(function)
    Path("/sys/bus/pci/drivers_probe").write_text(function)


def attach_functions(cleanup: ExitStack, pods: Sequence[End], outside: End) -> Sequence[str]:
    """Each pod has a virtual function, outside is the end of the wire; see `tests.vm.devices.Attach`."""
    return _attach(cleanup, (*pods, outside), (*functions()[: len(pods)], wire()))[:-1]


def attach_cards(cleanup: ExitStack, pods: Sequence[End], outside: End) -> Sequence[str]:
    """Pods have the card itself, the card at the end of its wire and a function; outside has another function."""
    first, second = functions()[:2]
    return _attach(cleanup, (*pods, outside), (physical_function(), wire(), first, second))[:-1]


def _attach(cleanup: ExitStack, ends: Sequence[End], devices: Sequence[str]) -> Sequence[str]:
    for end, device in zip(ends, devices, strict=True):
        ip(None, f"link set {interface_of(device)} netns {end.sandbox.path} name {end.name}")
        cleanup.callback(_give_back, end, device)
        configure(end)
    for end in ends:
        inside(end.sandbox, lambda end=end: _until(lambda: _is_running(end.name)))
    return tuple(devices)


def _give_back(end: End, device: str) -> None:
    """A name that is taken at home would be in the way."""
    ip(end.sandbox, f"link set {end.name} down", f"link set {end.name} netns 1 name hw{device.replace(':', '')[-6:]}")
    ip(None, f"link set {interface_of(device)} up")


def _is_running(name: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        request = struct.pack("16sH22x", name.encode(), 0)
        return bool(struct.unpack("16sH22x", fcntl.ioctl(anything, _SIOCGIFFLAGS, request))[1] & _IFF_RUNNING)


def _until(find: Callable[[], T]) -> T:
    """The result, once it is not empty."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := find():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not there after {PATIENCE} s")
