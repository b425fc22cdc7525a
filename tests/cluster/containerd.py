"""A containerd of one's own: its files, its socket, its network. What it needs are Debian's packages of these names:
containerd, runc, containernetworking-plugins, busybox-static.
"""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import grpc

from mnp_core.sandbox._syscalls import unmount
from mnp_core.sandbox.cri.wire import make_messages
from mnp_core.sandbox.netns import run_inside

SERVICE = "runtime.v1.RuntimeService"
POD, NODE = 0, 2  # NamespaceMode
CNI_PLUGINS = Path("/usr/lib/cni")
PAUSE = "pause.example/pause:1"

# From api.proto, all that it takes to run a sandbox as a kubelet does.
MESSAGES = make_messages(
    {
        "PodSandboxMetadata": {
            "name": (1, "string"),
            "uid": (2, "string"),
            "namespace": (3, "string"),
            "attempt": (4, "uint32"),
        },
        "NamespaceOption": {"network": (1, "int32"), "pid": (2, "int32"), "ipc": (3, "int32")},
        "LinuxSandboxSecurityContext": {"namespace_options": (1, "NamespaceOption")},
        "LinuxPodSandboxConfig": {
            "cgroup_parent": (1, "string"),
            "security_context": (2, "LinuxSandboxSecurityContext"),
        },
        "PodSandboxConfig": {
            "metadata": (1, "PodSandboxMetadata"),
            "hostname": (2, "string"),
            "log_directory": (3, "string"),
            "labels": (6, "map"),
            "annotations": (7, "map"),
            "linux": (8, "LinuxPodSandboxConfig"),
        },
        "RunPodSandboxRequest": {"config": (1, "PodSandboxConfig")},
        "RunPodSandboxResponse": {"pod_sandbox_id": (1, "string")},
        "StopPodSandboxRequest": {"pod_sandbox_id": (1, "string")},
        "StopPodSandboxResponse": {},
        "RemovePodSandboxRequest": {"pod_sandbox_id": (1, "string")},
        "RemovePodSandboxResponse": {},
        "VersionRequest": {"version": (1, "string")},
        "VersionResponse": {"runtime_name": (2, "string"), "runtime_version": (3, "string")},
    }
)

_CONFIG = """
version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "{home}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{home}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
"""
_NETWORK = {
    "cniVersion": "0.4.0",
    "name": "default",
    "plugins": [{"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.99.0.0/16"}}],
}


def missing():
    """What a containerd of one's own needs and this machine lacks."""
    tools = [tool for tool in ("containerd", "ctr", "runc", "busybox") if not shutil.which(tool)]
    return [*tools, *([] if (CNI_PLUGINS / "ptp").exists() else [str(CNI_PLUGINS / "ptp")])]


class Containerd:
    """It, in a network namespace that plays the host's."""

    def __init__(self, home, host):
        """Prepare its folder.

        Args:
            home: An empty folder with a short path, as it holds sockets.
            host: The namespace in which it runs and its CNI plugins put the outer ends of pods' links.
        """
        self.home, self.host = home, host
        self.socket = home / "containerd.sock"
        self.cgroup = f"/mnp-test-{os.getpid()}"
        self._attempts = count(1)
        (home / "cni").mkdir()
        ipam = {**_NETWORK["plugins"][0]["ipam"], "dataDir": str(home / "ipam")}
        network = {**_NETWORK, "plugins": [{**_NETWORK["plugins"][0], "ipam": ipam}]}
        (home / "cni" / "10-default.conflist").write_text(json.dumps(network))
        (home / "config.toml").write_text(_CONFIG.format(home=home, pause=PAUSE, plugins=CNI_PLUGINS))
        _write_image(home / "pause.tar")

    def start(self):
        command = ["containerd", "--config", self.home / "config.toml", "--log-level", "warn"]
        with (self.home / "log").open("ab") as log:
            self.process = run_inside(self.host, lambda: subprocess.Popen(command, stdout=log, stderr=log))
        self._channel = grpc.insecure_channel(f"unix:{self.socket}")
        self.call("Version", wait_for_ready=True)

    def stop(self):
        """End it; the sandboxes go on, as they do when it is restarted."""
        self._channel.close()
        self.process.terminate()
        self.process.wait(30)

    def import_pause(self):
        command = [
            "ctr",
            "--address",
            self.socket,
            "--namespace",
            "k8s.io",
            "images",
            "import",
            "--snapshotter",
            "native",
        ]
        subprocess.run([*command, self.home / "pause.tar"], check=True, capture_output=True)

    def call(self, method, *, wait_for_ready=False, **fields):
        request, response = MESSAGES[f"{method}Request"], MESSAGES[f"{method}Response"]
        ask = self._channel.unary_unary(f"/{SERVICE}/{method}", request.SerializeToString, response.FromString)
        return ask(request(**fields), timeout=30, wait_for_ready=wait_for_ready)

    def run(self, pod, *, uid=None, network=POD):
        """Run a sandbox of a pod as a kubelet does; its name."""
        name, namespace, uid = pod.name.name, pod.name.namespace, uid or pod.uid
        labels = {
            "io.kubernetes.pod.name": name,
            "io.kubernetes.pod.namespace": namespace,
            "io.kubernetes.pod.uid": uid,
        }
        config = {
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "attempt": next(self._attempts)},
            "hostname": "" if network == NODE else name,
            "log_directory": str(self.home / "logs"),
            "labels": labels,
            "linux": {
                "cgroup_parent": f"{self.cgroup}/kubepods/besteffort/pod{uid}",
                "security_context": {"namespace_options": {"network": network}},
            },
        }
        return self.call("RunPodSandbox", config=config).pod_sandbox_id

    def pid(self, sandbox):
        """Of its first process, as runc has it."""
        state = self.home / "state" / "io.containerd.runtime.v2.task" / "k8s.io" / sandbox / "init.pid"
        return int(state.read_text())

    def clean_up(self):
        """Leave nothing, whatever has failed: processes, mounts, control groups. The folder itself is the caller's."""
        with suppress(Exception):
            self.stop()
        for pid in [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]:
            if _is_ours(pid, self.socket) or self._is_in_our_cgroup(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for address in self.home.glob("state/io.containerd.runtime.v2.task/*/*/address"):
            Path(address.read_text().removeprefix("unix://")).unlink(
                missing_ok=True
            )  # of a shim, outside of our folder
        for mount in reversed([line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]):
            if mount.startswith(f"{self.home}/"):
                unmount(mount)
        _remove_cgroups(self.cgroup)

    def _is_in_our_cgroup(self, pid):
        try:
            return f":{self.cgroup}/" in Path(f"/proc/{pid}/cgroup").read_text()
        except OSError:
            return False


def _is_ours(pid, socket):
    """Whether it is a shim of that containerd."""
    try:
        return os.fsencode(socket) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:]
    except OSError:
        return False


def _remove_cgroups(name):
    until = time.monotonic() + 10
    for hierarchy in _hierarchies(name):
        for folder, _, _ in os.walk(hierarchy, topdown=False):
            while True:
                try:
                    Path(folder).rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:  # a process is about to end
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.05)


def _hierarchies(name):
    root = Path("/sys/fs/cgroup")
    return [path for path in (root / name[1:], *root.glob(f"*/{name[1:]}")) if path.is_dir()]


def _write_image(path):
    """An image of one layer, as `docker save` writes it, whose process waits for ever."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(shutil.which("busybox"), "bin/busybox")
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Entrypoint": ["/bin/busybox", "sleep", "2147483647"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer.getvalue())}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w") as tar:
        for name, content in {**files, "layer.tar": layer.getvalue()}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def _sha256(content):
    return hashlib.sha256(content).hexdigest()
