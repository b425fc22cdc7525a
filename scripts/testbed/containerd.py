"""containerd 1 and 2: configuration, how it is started, how images get into it."""

import os
import re
from functools import cache
from pathlib import Path

from scripts.testbed import node, place, programs
from scripts.testbed.command import run
from scripts.testbed.daemon import Daemon

SOCKET = "/run/containerd/containerd.sock"
"""As the node sees it."""
SOCKET_OUTSIDE = place.NODE_FILES / "run-containerd/containerd.sock"

_HEAD = f"""version = {{version}}
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{SOCKET}"
"""
_RUNTIMES = """
[plugins."{section}"]
  restrict_oom_score_adj = true # this machine may not let anybody lower it
  disable_apparmor = true
  netns_mounts_under_state_dir = {under_state}

[plugins."{section}".cni]
  {bin_dir}
  conf_dir = "/etc/cni/net.d"

[plugins."{section}".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  options = {{ BinaryName = "{runc}" }}

[plugins."{section}".containerd.runtimes.slow]
  runtime_type = "io.containerd.runc.v2"
  options = {{ BinaryName = "{slow}" }}
"""
_OLD = """
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  stream_server_address = "127.0.0.1"
"""
_NEW = """
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"

[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
"""


def daemon() -> Daemon:
    """The runtime; its shims are of the same version, so its own folder comes first on PATH."""
    program = programs.find("containerd")
    return Daemon(
        name="runtime",
        command=(program, "--config", _file()),
        prefix=node.inside(),
        environment={"PATH": f"{program.parent}:{os.environ['PATH']}"},
    )


def configure(*, slow: Path, under_state: bool) -> None:
    """Write the configuration.

    Args:
        slow: The replacement for runc in the runtime class ``slow``.
        under_state: Network namespaces are kept under /run/containerd, not in /run/netns.
    """
    new = _major() >= 2
    fields = {
        "section": "io.containerd.cri.v1.runtime" if new else "io.containerd.grpc.v1.cri",
        "under_state": str(under_state).lower(),
        "bin_dir": 'bin_dirs = ["/opt/cni/bin"]' if new else 'bin_dir = "/opt/cni/bin"',
        "runc": programs.find("runc"),
        "slow": slow,
    }
    head = _HEAD.format(version=3 if new else 2) + (_NEW if new else _OLD).format(pause=place.PAUSE_IMAGE)
    runtimes = _RUNTIMES.format(**fields)
    if not new:  # one section may be written only once
        runtimes = runtimes.replace(f'\n[plugins."{fields["section"]}"]\n', "", 1)
    _file().write_text(head + runtimes)


def ready() -> object:
    """It answers."""
    return run(*_ctr("version"))


def images() -> frozenset[str]:
    """The names of those that it has."""
    return frozenset(run(*_ctr("images", "list", "--quiet")).decode().split())


def import_archive(archive: Path, name: str) -> None:
    """Import the images of an archive, in docker's format or OCI's.

    Args:
        archive: The file.
        name: Name of the image, if the archive holds no full one; else empty.
    """
    local = ("--local",) if _major() >= 2 else ()
    named = ("--index-name", name) if name else ()
    run(*_ctr("images", "import", *local, *named, archive), patience=600)


def _ctr(*arguments: object) -> tuple[object, ...]:
    """A command of containerd's own client, in the kubelet's namespace of images and containers."""
    return (programs.find("ctr"), "--address", SOCKET_OUTSIDE, "--namespace", "k8s.io", *arguments)


@cache
def _major() -> int:
    said = run(programs.find("containerd"), "--version").decode()
    match = re.search(r" v?(\d+)\.\d+\.", said)
    return int(match[1]) if match else 2


def _file() -> Path:
    return place.CONFIG / "containerd.toml"
