"""The kubelet: configuration, and how it is started in the node."""

import json
from pathlib import Path

from scripts.testbed import node, place, programs, runtime
from scripts.testbed.daemon import Daemon
from scripts.testbed.keys import path


def daemon() -> Daemon:
    """The kubelet."""
    program = programs.find("kubelet")
    minor = programs.minor_version(program)
    remote = ("--container-runtime=remote", f"--pod-infra-container-image={place.PAUSE_IMAGE}") if minor < 24 else ()
    return Daemon(
        name="kubelet",
        command=(
            program,
            f"--config={_file()}",
            f"--kubeconfig={place.CONFIG / 'kubelet.kubeconfig'}",
            f"--hostname-override={place.NODE}",
            f"--node-ip={place.NODE_ADDRESS}",
            f"--container-runtime-endpoint=unix://{runtime.chosen().SOCKET}",
            *remote,
        ),
        prefix=node.inside(),
    )


def configure() -> None:
    """Write the configuration."""
    version = programs.minor_version(programs.find("kubelet"))
    either = {"failCgroupV1": False} if version >= 31 else {}  # both versions of control groups will do
    _file().write_text(json.dumps(_config() | either, indent=1))


def _file() -> Path:
    return place.CONFIG / "kubelet.json"


def _config() -> dict[str, object]:
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
