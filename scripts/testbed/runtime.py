"""containerd and the kubelet: configuration, and how each is started in the node."""

import json
import shlex
import shutil
import sys
from pathlib import Path

from scripts.testbed import node, place, programs
from scripts.testbed.daemon import Daemon
from scripts.testbed.keys import path

_SOCKET = "/run/containerd/containerd.sock"  # as the node sees it
_STAND_IN = place.CHECKOUT / "tests/cluster/standin"
_META = "mnp-standin"  # the name of the plugin that stands in for a meta-plugin

_CONTAINERD = f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{place.PAUSE_IMAGE}"
  restrict_oom_score_adj = true # this machine may not let anybody lower it
  disable_apparmor = true
  stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"""


def containerd() -> Daemon:
    """The container runtime."""
    config = place.CONFIG / "containerd.toml"
    return Daemon(name="containerd", command=("containerd", "--config", config), prefix=node.inside())


def kubelet() -> Daemon:
    """The kubelet."""
    program = programs.find("kubelet")
    minor = programs.minor_version(program)
    remote = ("--container-runtime=remote", f"--pod-infra-container-image={place.PAUSE_IMAGE}") if minor < 24 else ()
    return Daemon(
        name="kubelet",
        command=(
            program,
            f"--config={place.CONFIG / 'kubelet.json'}",
            f"--kubeconfig={place.CONFIG / 'kubelet.kubeconfig'}",
            f"--hostname-override={place.NODE}",
            f"--node-ip={place.NODE_ADDRESS}",
            f"--container-runtime-endpoint=unix://{_SOCKET}",
            *remote,
        ),
        prefix=node.inside(),
    )


def ctr(*arguments: object) -> tuple[object, ...]:
    """A command of containerd's own client, in the kubelet's namespace of images and containers."""
    return ("ctr", "--address", place.CONTAINERD_SOCKET, "--namespace", "k8s.io", *arguments)


def configure() -> None:
    """Write all configuration, and put the CNI plugins where the runtime looks for them."""
    place.CONFIG.mkdir(parents=True, exist_ok=True)
    (place.CONFIG / "containerd.toml").write_text(_CONTAINERD)
    (place.CONFIG / "kubelet.json").write_text(json.dumps(_kubelet_config(), indent=1))
    (place.NODE_FILES / "cni-config/00-testbed.conflist").write_text(json.dumps(_network_config(), indent=1))
    bin_dir = place.NODE_FILES / "cni-bin"
    for plugin in place.CNI_PLUGINS.iterdir():
        (bin_dir / plugin.name).unlink(missing_ok=True)
        (bin_dir / plugin.name).symlink_to(plugin)
    _install_stand_in()


def _install_stand_in() -> None:
    """A copy, so that the cluster works on when the checkout is changed or gone."""
    library = place.CONFIG / "standin"
    shutil.rmtree(library, ignore_errors=True)
    shutil.copytree(_STAND_IN, library / "standin", ignore=shutil.ignore_patterns("__pycache__", "test_*"))
    script = place.NODE_FILES / "cni-bin" / _META
    python = Path(sys.executable).resolve()  # not that of .venv, which goes with the checkout
    command = shlex.join((f"PYTHONPATH={library}", str(python), "-m", "standin"))
    script.write_text(f"#!/bin/sh\nexec env {command}\n")
    script.chmod(0o755)


def _network_config() -> dict[str, object]:
    """The stand-in, which calls the plugin of the default network and then those of the secondary ones."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": place.POD_NETWORK, "gateway": place.NODE_ADDRESS}]]}
    bridge = {"name": "testbed", "cniVersion": "0.4.0", "type": "bridge", "bridge": place.BRIDGE, "ipam": addresses}
    api = {
        "server": place.API_URL,
        "ca": str(path("ca.crt")),
        "cert": str(path("admin.crt")),
        "key": str(path("admin.key")),
    }
    meta = {"type": _META, "api": api, "delegate": bridge, "state": "/var/lib/cni/standin"}
    return {"cniVersion": "0.4.0", "name": "testbed", "plugins": [meta]}


def _kubelet_config() -> dict[str, object]:
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": place.NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(path("ca.crt"))},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{place.CGROUP}",
        "clusterDomain": "cluster.local",
        "resolvConf": "/dev/null",
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,  # nothing could be pulled again
        "healthzPort": 0,
        "makeIPTablesUtilChains": False,  # this machine's filters are its own
        "maxPods": 500,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "eventRecordQPS": 50,
        "registryPullQPS": 0,
        "volumeStatsAggPeriod": "10m",
    }
