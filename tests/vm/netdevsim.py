"""The kernel's netdevsim: a network device with virtual functions and no hardware, in switchdev mode a switch.

Its functions are on a bus of its own, not on PCI; what hangs on the switch, the uplink and the representors, has the
same files in sysfs as a card's (Documentation/networking/devlink/devlink-port.rst).
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BUS = Path("/sys/bus/netdevsim")


@contextmanager
def switch(number: int, functions: int) -> Iterator[Path]:
    """A device of this number with one port and some virtual functions, in switchdev mode; its folder in sysfs."""
    subprocess.run(["modprobe", "netdevsim"], check=True)
    (_BUS / "new_device").write_text(f"{number} 1")
    try:
        device = _BUS / "devices" / f"netdevsim{number}"
        (device / "sriov_numvfs").write_text(str(functions))
        eswitch = ["devlink", "dev", "eswitch", "set", f"netdevsim/{device.name}", "mode", "switchdev"]
        subprocess.run(eswitch, check=True)
        yield device
    finally:
        (_BUS / "del_device").write_text(str(number))
