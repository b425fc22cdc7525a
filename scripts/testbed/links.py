"""Links of the node: a bridge for the default network, and a wire that secondary networks are put on."""

from pathlib import Path

from scripts.testbed import place
from scripts.testbed.command import attempt, run

_PARENTS = place.ROOT / "parents"  # names, one a line, of the links that `add_parent` made
_SYSTEM = Path("/sys/class/net")
_SETTINGS = place.ROOT / "sysctl"
CHANGED = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/ipv4/ip_forward",
)
"""Settings of the kernel that a kubelet or CNI plugins change for the whole machine."""


def make() -> None:
    """Make the missing links."""
    if not (_SYSTEM / place.BRIDGE).exists():
        run("ip", "link", "add", place.BRIDGE, "type", "bridge")
    run("ip", "address", "replace", f"{place.NODE_ADDRESS}/{place.NODE_PREFIX}", "dev", place.BRIDGE)
    run("ip", "link", "set", "dev", place.BRIDGE, "address", place.BRIDGE_ADDRESS, "up")
    add_parent(place.PARENT)


def add_parent(name: str) -> None:
    """Make a parent for macvlan interfaces: one end of a veth with an unused peer."""
    if not (_SYSTEM / name).exists():
        with _PARENTS.open("a") as parents:
            parents.write(f"{name}\n")
        run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    for end in (name, f"{name}p"):
        run("ip", "link", "set", end, "up")


def remove() -> None:
    """Remove all links, and with them the interfaces on them."""
    for name in _PARENTS.read_text().split() if _PARENTS.exists() else ():
        attempt("ip", "link", "delete", name)
    attempt("ip", "link", "delete", place.BRIDGE)


def remember_settings() -> None:
    """Note the kernel's settings that are going to be changed."""
    if not _SETTINGS.exists():
        lines = [f"{name} {_setting(name).read_text().strip()}\n" for name in CHANGED if _setting(name).exists()]
        _SETTINGS.write_text("".join(lines))


def restore_settings() -> None:
    """Restore them."""
    for line in _SETTINGS.read_text().splitlines() if _SETTINGS.exists() else ():
        name, value = line.split()
        if _setting(name).read_text().strip() != value:
            _setting(name).write_text(value)


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name
