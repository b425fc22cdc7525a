"""A container runtime of one's own: its files, its socket, its network; and sandboxes in it, run as a kubelet does."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import grpc

from mnp_core.protobuf import make_messages
from mnp_core.sandbox._syscalls import unmount
from mnp_core.sandbox.cri.wire import PACKAGE
from mnp_core.sandbox.netns import run_inside
from tests.cluster.own.image import PAUSE, write_image

SERVICE = "runtime.v1.RuntimeService"
POD, NODE = 0, 2  # NamespaceMode

# From api.proto, all that it takes to run a sandbox as a kubelet does.
MESSAGES = make_messages(
    PACKAGE,
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
        "ImageSpec": {"image": (1, "string"), "user_specified_image": (18, "string")},
        "ContainerMetadata": {"name": (1, "string"), "attempt": (2, "uint32")},
        "ContainerConfig": {
            "metadata": (1, "ContainerMetadata"),
            "image": (2, "ImageSpec"),
            "log_path": (11, "string"),
        },
        "CreateContainerRequest": {
            "pod_sandbox_id": (1, "string"),
            "config": (2, "ContainerConfig"),
            "sandbox_config": (3, "PodSandboxConfig"),
        },
        "CreateContainerResponse": {"container_id": (1, "string")},
        "RunPodSandboxRequest": {"config": (1, "PodSandboxConfig")},
        "RunPodSandboxResponse": {"pod_sandbox_id": (1, "string")},
        "StopPodSandboxRequest": {"pod_sandbox_id": (1, "string")},
        "StopPodSandboxResponse": {},
        "RemovePodSandboxRequest": {"pod_sandbox_id": (1, "string")},
        "RemovePodSandboxResponse": {},
        "VersionRequest": {"version": (1, "string")},
        "VersionResponse": {"runtime_name": (2, "string"), "runtime_version": (3, "string")},
    },
)


class OwnRuntime:
    """A runtime in a network namespace that plays the host's. Subclasses configure and start it."""

    def __init__(self, home, host, *, nri=None):
        """Prepare its folder.

        Args:
            home: An empty folder with a short path, as it holds sockets.
            host: The namespace in which it runs and its CNI plugins put the outer ends of pods' links.
            nri: Names of NRI plugins without which no container is created; None to have NRI switched off.
        """
        self.home, self.host, self.nri = home, host, nri
        self.socket = home / "runtime.sock"
        self.nri_socket = home / "nri/nri.sock"
        self.cgroup = f"/mnp-test-{os.getpid()}"
        self._attempts = count(1)
        (home / "cni").mkdir()
        self.add_network("10-default", "10.99.0.0/16")
        self.configure()
        write_image(home / "pause.tar")

    def add_network(self, name, subnet):
        """Have pods attached to a network, for which the CNI plugin ptp makes the interface."""
        ipam = {"type": "host-local", "subnet": subnet, "dataDir": str(self.home / "ipam")}
        network = {"cniVersion": "0.4.0", "name": name, "plugins": [{"type": "ptp", "ipam": ipam}]}
        (self.home / "cni" / f"{name}.conflist").write_text(json.dumps(network))

    def configure(self):
        raise NotImplementedError

    def command(self):
        """Program and arguments."""
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def import_pause(self):
        """Give it the image."""
        raise NotImplementedError

    def pid(self, sandbox):
        """Of its first process, as runc has it."""
        raise NotImplementedError

    def namespaces(self):
        """The folder in which it keeps network namespaces."""
        raise NotImplementedError

    def start(self):
        with (self.home / "log").open("ab") as log:
            self.process = run_inside(
                self.host,
                lambda: subprocess.Popen(self.command(), stdout=log, stderr=log, env=self.environment()),
            )
        self._channel = grpc.insecure_channel(f"unix:{self.socket}")
        self.call("Version", wait_for_ready=True)

    def stop(self):
        """End it; the sandboxes go on, as they do when it is restarted."""
        self._channel.close()
        self.process.terminate()
        self.process.wait(30)

    def call(self, method, *, wait_for_ready=False, **fields):
        request, response = MESSAGES[f"{method}Request"], MESSAGES[f"{method}Response"]
        ask = self._channel.unary_unary(f"/{SERVICE}/{method}", request.SerializeToString, response.FromString)
        return ask(request(**fields), timeout=30, wait_for_ready=wait_for_ready)

    def run(self, pod, *, uid=None, network=POD, annotations=()):
        """Run a sandbox of a pod as a kubelet does; its name."""
        config = self._config(pod, uid or pod.uid, network, dict(annotations))
        return self.call("RunPodSandbox", config=config).pod_sandbox_id

    def create(self, pod, sandbox, *, annotations=()):
        """Create a container in a sandbox as a kubelet does; its name."""
        config = {
            "metadata": {"name": "main"},
            "image": {"image": PAUSE, "user_specified_image": PAUSE},
            "log_path": "main.log",
        }
        made = self._config(pod, pod.uid, POD, dict(annotations))
        return self.call("CreateContainer", pod_sandbox_id=sandbox, config=config, sandbox_config=made).container_id

    def _config(self, pod, uid, network, annotations):
        name, namespace = pod.name.name, pod.name.namespace
        labels = {
            "io.kubernetes.pod.name": name,
            "io.kubernetes.pod.namespace": namespace,
            "io.kubernetes.pod.uid": uid,
        }
        return {
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "attempt": next(self._attempts)},
            "hostname": "" if network == NODE else name,
            "log_directory": str(self.home / "logs"),
            "labels": labels,
            "annotations": annotations,
            "linux": {
                "cgroup_parent": f"{self.cgroup}/kubepods/besteffort/pod{uid}",
                "security_context": {"namespace_options": {"network": network}},
            },
        }

    def clean_up(self):
        """Remove processes, mounts and control groups, even after failures. The folder itself is the caller's."""
        with suppress(Exception):
            self.stop()
        for pid in [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]:
            if _names(pid, self.home) or self._is_in_our_cgroup(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.forget()
        for mount in reversed([line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]):
            if mount.startswith(f"{self.home}/"):
                unmount(mount)
        _remove_cgroups(self.cgroup)

    def _is_in_our_cgroup(self, pid):
        try:
            return f":{self.cgroup}/" in Path(f"/proc/{pid}/cgroup").read_text()
        except OSError:
            return False

    def forget(self):
        """Remove state outside of its folder."""


def _names(pid, home):
    """Whether its arguments name something in that folder: the runtime itself, or a watcher of its containers."""
    try:
        return os.fsencode(f"{home}/") in Path(f"/proc/{pid}/cmdline").read_bytes()
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
