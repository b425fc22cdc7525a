"""The node's view of the file system: a mount namespace of its own.

In it the usual places (/run/containerd, /var/lib/kubelet, /etc/cni/net.d ...) are the bed's folders, so manifests made
for ordinary nodes fit, a container runtime or kubelet that this machine has for itself is not touched, and all mounts
are gone with the last process. From outside the node's files are seen through /proc/PID/root.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from scripts.testbed import place
from scripts.testbed.daemon import Daemon, pid_of
from scripts.testbed.errors import TestBedError

FOLDERS = {
    "run-containerd": "/run/containerd",
    "containerd": "/var/lib/containerd",
    "kubelet": "/var/lib/kubelet",
    "pod-logs": "/var/log/pods",
    "container-logs": "/var/log/containers",
    "cni-config": "/etc/cni/net.d",
    "cni-bin": "/opt/cni/bin",
    "cni-state": "/var/lib/cni",
    "netns": "/run/netns",
    "run-multus": "/run/multus",
    "run-cncf": "/run/k8s.cni.cncf.io",
    "multus-config": "/etc/cni/multus/net.d",
    "run-nri": "/run/nri",
    "run-mnp": "/run/mnp",
    "run-crio": "/run/crio",
    "crio": "/var/lib/crio",
    "crio-logs": "/var/log/crio",
    "containers": "/var/lib/containers",
    "run-containers": "/run/containers",
}
"""The bed's folder, and where it is in the node."""
_HOLDER = "node"
_MADE = place.ROOT / "mount-points"  # names of folders that were made on this machine to mount on

_MOUNT_ALL = """
set -e
root=$1
shift
while [ $# -gt 0 ]; do
    mount --bind "$root/$1" "$2"
    shift 2
done
mount --make-rshared / # so that what is mounted later is seen in containers that ask for it
exec sleep infinity
"""


def start() -> None:
    """Make the namespace, held open by a process that does nothing else."""
    for folder, target in FOLDERS.items():
        (place.NODE_FILES / folder).mkdir(parents=True, exist_ok=True)
        _make_mount_point(Path(target))
    pairs = [word for pair in FOLDERS.items() for word in pair]
    unshare = ("unshare", "--mount", "--propagation", "private")
    holder = Daemon(name=_HOLDER, command=("sh", "-c", _MOUNT_ALL, "sh", place.NODE_FILES, *pairs), prefix=unshare)
    holder.start()


def inside() -> Sequence[str]:
    """The prefix of a command that runs in the node."""
    return ("nsenter", f"--mount=/proc/{_holder()}/ns/mnt", "--")


def prefix() -> Path:
    """The node's root, seen from outside its mount namespace: ``--host-prefix`` of an agent that runs there."""
    return Path(f"/proc/{_holder()}/root")


def mounted() -> bool:
    """Whether the holder has mounted everything and only sleeps."""
    return Path(f"/proc/{_holder()}/comm").read_text().strip() == "sleep"


def forget_mount_points() -> None:
    """Remove the folders made as mount points, unless they are in use by now."""
    if _MADE.exists():
        for made in reversed(_MADE.read_text().splitlines()):
            try:
                os.rmdir(made)  # noqa: PTH106 - only if it is empty
            except OSError:
                continue


def _holder() -> int:
    pid = pid_of(_HOLDER)
    if pid is None:
        raise TestBedError("the test bed is not up: make testbed-up")
    return pid


def _make_mount_point(target: Path) -> None:
    for folder in (*reversed(target.parents), target):
        if not folder.exists():
            with _MADE.open("a") as made:
                made.write(f"{folder}\n")
            folder.mkdir()
