"""A containerd of one's own, of the version that the bed has."""

import json
import os
import subprocess
from pathlib import Path

from scripts.testbed.kind import chosen
from scripts.testbed.programs import find, plugin_folder
from tests.cluster.own.image import PAUSE
from tests.cluster.own.runtime import OwnRuntime

_SHARED = """
root = "{home}/root"
state = "{home}/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
  {without_nri}
]
[grpc]
  address = "{socket}"
"""
_NRI = """
[plugins."io.containerd.nri.v1.nri"]
  socket_path = "{socket}"
  plugin_path = "{home}/nri/plugins"
  plugin_config_path = "{home}/nri/conf.d"
  [plugins."io.containerd.nri.v1.nri".default_validator]
    enable = true
    required_plugins = {required}
    tolerate_missing_plugins_annotation = "{tolerate}"
"""
TOLERATE = "mnp-not-required.example.com"
"""The annotation of pods that start without a required plugin."""

_ONE = """version = 2
{shared}
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
_TWO = """version = 3
{shared}
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "native"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{plugins}"]
    conf_dir = "{home}/cni"
    max_conf_num = 2 # eth0, and eth1 where a test adds a network
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    options = {{ BinaryName = "{runc}" }}
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_port = "0"
"""


class OwnContainerd(OwnRuntime):
    """It keeps network namespaces in its own state (netns_mounts_under_state_dir)."""

    def configure(self):
        form = _ONE if chosen().packaged else _TWO
        fields = {
            "home": self.home,
            "socket": self.socket,
            "pause": PAUSE,
            "plugins": plugin_folder(),
            "without_nri": "" if self.nri is not None else '"io.containerd.nri.v1.nri"',
        }
        content = form.format(shared=_SHARED.format(**fields), runc=find("runc"), **fields)
        if self.nri is not None:
            content += _NRI.format(
                home=self.home, socket=self.nri_socket, required=json.dumps(self.nri), tolerate=TOLERATE
            )
        (self.home / "config.toml").write_text(content)

    def command(self):
        return [find("containerd"), "--config", self.home / "config.toml", "--log-level", "warn"]

    def environment(self):
        return {**os.environ, "PATH": f"{find('containerd').parent}:{os.environ['PATH']}"}  # a shim of its own version

    def import_pause(self):
        client = [find("ctr"), "--address", self.socket, "--namespace", "k8s.io", "images", "import"]
        local = [] if chosen().packaged else ["--local"]
        subprocess.run([*client, *local, "--snapshotter", "native", self.home / "pause.tar"], check=True, timeout=60)

    def pid(self, sandbox):
        return int((self._tasks() / "k8s.io" / sandbox / "init.pid").read_text())

    def namespaces(self):
        return self.home / "state"

    def forget(self):
        for address in self._tasks().glob("*/*/address"):  # sockets of shims
            Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)

    def _tasks(self):
        return self.home / "state/io.containerd.runtime.v2.task"
