"""The program `ip`, run inside of a sandbox: tests of devices read best in its words."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mnp_core.api import Sandbox
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End

T = TypeVar("T")
Where = Sandbox | None
"""A sandbox, or the machine's own namespace, into which the project itself never goes."""


def inside(where: Where, work: Callable[[], T]) -> T:
    return run_inside(where, work) if where else work()


def ip(where: Where, *commands: str) -> None:
    """Run commands (without the word ``ip``), all in one process."""

    def work() -> None:
        text = "".join(f"{command}\n" for command in commands)
        done = subprocess.run(["ip", "-batch", "-"], input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"ip: {done.stderr or done.stdout}\n{text}")

    inside(where, work)


def configure(end: End) -> None:
    """Raise an interface that is there, then give it its addresses, usable at once."""
    addresses = (f"addr add {a} dev {end.name}{' nodad' if ':' in a else ''}" for a in end.addresses)
    ip(end.sandbox, f"link set {end.name} up", *addresses)


def forward(where: Where) -> None:
    """Make a router of a namespace."""

    def work() -> None:
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")

    inside(where, work)
