"""CRI-O: configuration, how it is started, how images get into it."""

import json
import tarfile
from pathlib import Path

from scripts.testbed import node, place, programs
from scripts.testbed.command import run
from scripts.testbed.daemon import Daemon

SOCKET = "/run/crio/crio.sock"
"""As the node sees it."""
SOCKET_OUTSIDE = place.NODE_FILES / "run-crio/crio.sock"
_STORAGE = "containers-storage:[overlay@/var/lib/containers/storage+/run/containers/storage]"

_CONFIG = """
[crio]
root = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
storage_driver = "overlay"
log_dir = "/var/log/crio/pods"
version_file = "/run/crio/version"
version_file_persist = ""
clean_shutdown_file = ""

[crio.api]
listen = "{socket}"
stream_address = "127.0.0.1"
stream_port = "0"

[crio.runtime]
default_runtime = "runc"
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
pinns_path = "{pinns}"
apparmor_profile = "unconfined"
hooks_dir = []

[crio.runtime.runtimes.runc]
runtime_path = "{runc}"
monitor_path = "/usr/bin/conmon"
monitor_cgroup = "pod"

[crio.runtime.runtimes.slow]
runtime_path = "{slow}"
monitor_path = "/usr/bin/conmon"
monitor_cgroup = "pod"

[crio.image]
pause_image = "{pause}"
pause_command = ""
signature_policy = "{policy}"

[crio.network]
network_dir = "/etc/cni/net.d/"
plugin_dirs = ["/opt/cni/bin/"]

[crio.nri]
enable_nri = true
nri_listen = "/run/nri/nri.sock"
"""
# CRI-O has no counterpart of containerd's restrict_oom_score_adj and disable_hugetlb_controller, and gives a privileged
# container all capabilities there are, where containerd gives it those that itself has: of virtual machines without
# CAP_SYS_RESOURCE that one is missing.
_MODEST_RUNC = """#!/bin/sh
previous=
for word in "$@"; do
    case $previous in -b | --bundle)
        sed -zi -E -e 's/("oomScoreAdj":[[:space:]]*)-[0-9]+/\\10/' \\
            -e 's/("hugepageLimits":)[^]]*]/\\1[]/' \\
            -e 's/"CAP_SYS_RESOURCE",[[:space:]]*//g; s/,[[:space:]]*"CAP_SYS_RESOURCE"//g' "$word/config.json" ;;
    esac
    previous=$word
done
exec {program} "$@"
"""
_ANYTHING = {"default": [{"type": "insecureAcceptAnything"}]}  # only images that were made here are there


def daemon() -> Daemon:
    """The runtime."""
    command = (programs.find("crio"), "--config", _file(), "--config-dir", "")
    return Daemon(name="runtime", command=command, prefix=node.inside())


def configure(*, slow: Path, under_state: bool) -> None:
    """Write the configuration.

    Args:
        slow: The replacement for runc in the runtime class ``slow``.
        under_state: Means nothing here: its namespaces are always in /run/netns.
    """
    del under_state
    policy = place.CONFIG / "signature-policy.json"
    policy.write_text(json.dumps(_ANYTHING))
    modest, also_slow = place.CONFIG / "modest-runc", place.CONFIG / "modest-slow-runc"
    write_modest_runc(modest, programs.find("runc"))
    write_modest_runc(also_slow, slow)
    fields = {"runc": modest, "pinns": programs.find("pinns"), "slow": also_slow}
    _file().write_text(_CONFIG.format(socket=SOCKET, pause=place.PAUSE_IMAGE, policy=policy, **fields))


def write_modest_runc(target: Path, program: Path) -> None:
    """A program for `program`, in the way that runc is called, that sets nothing which this machine may forbid."""
    target.write_text(_MODEST_RUNC.format(program=program))
    target.chmod(0o755)


def ready() -> object:
    """It listens."""
    return SOCKET_OUTSIDE.exists()


def images() -> frozenset[str]:
    """The names of those that it has."""
    folder = place.NODE_FILES / "containers/storage/overlay-images/images.json"
    known = json.loads(folder.read_text()) if folder.exists() else []
    return frozenset(name for image in known for name in image.get("names", ()))


def import_archive(archive: Path, name: str) -> None:
    """Import the images of an archive, in docker's format or OCI's.

    Args:
        archive: The file.
        name: Name of the image, if the archive holds no full one; else empty.
    """
    names = (name,) if name else _names(archive)
    kind = "oci" if _is_oci(archive) else "docker"
    for each in names:
        source = f"{kind}-archive:{archive}:{each}" if not name else f"{kind}-archive:{archive}"
        command = ("skopeo", "--insecure-policy", "copy", source, f"{_STORAGE}{each}")
        run(*node.inside(), *command, patience=600)


def _is_oci(archive: Path) -> bool:
    with tarfile.open(archive) as tar:
        return "oci-layout" in {name.removeprefix("./") for name in tar.getnames()}


def _names(archive: Path) -> tuple[str, ...]:
    with tarfile.open(archive) as tar:
        files = {member.name.removeprefix("./"): member for member in tar.getmembers()}
        if "oci-layout" in files:
            index = json.load(tar.extractfile(files["index.json"]))  # type: ignore[arg-type]
            return tuple(each["annotations"]["org.opencontainers.image.ref.name"] for each in index["manifests"])
        manifests = json.load(tar.extractfile(files["manifest.json"]))  # type: ignore[arg-type]
        return tuple(name for each in manifests for name in each["RepoTags"])


def _file() -> Path:
    return place.CONFIG / "crio.conf"
