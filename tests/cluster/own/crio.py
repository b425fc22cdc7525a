"""A CRI-O of one's own."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

from scripts.testbed.crio import write_modest_runc
from scripts.testbed.programs import find, plugin_folder
from tests.cluster.own.image import PAUSE
from tests.cluster.own.runtime import OwnRuntime

_CONFIG = """
[crio]
root = "{home}/root"
runroot = "{home}/run"
storage_driver = "vfs"
log_dir = "{home}/logs"
version_file = "{home}/version"
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
namespaces_dir = "{home}/ns"
drop_infra_ctr = false
container_exits_dir = "{home}/exits"
container_attach_socket_dir = "{home}/attach"
irqbalance_config_restore_file = "disable"
apparmor_profile = "unconfined"
hooks_dir = []
[crio.runtime.runtimes.runc]
runtime_path = "{runc}"
runtime_root = "{home}/runc"
monitor_path = "/usr/bin/conmon"
monitor_cgroup = "pod"
[crio.image]
pause_image = "{pause}"
pause_command = ""
signature_policy = "{home}/policy.json"
[crio.network]
network_dir = "{home}/cni"
plugin_dirs = ["{plugins}"]
[crio.nri]
enable_nri = {nri}
nri_listen = "{nri_socket}"
nri_plugin_dir = "{home}/nri/plugins"
nri_plugin_config_dir = "{home}/nri/conf.d"
"""


class OwnCrio(OwnRuntime):
    """Its sandboxes have a first process, as those with a shared process namespace have."""

    def configure(self):
        (self.home / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
        write_modest_runc(self.home / "modest-runc", find("runc"))
        fields = {"pinns": find("pinns"), "runc": self.home / "modest-runc", "plugins": plugin_folder(), "pause": PAUSE}
        nri = {"nri": str(self.nri is not None).lower(), "nri_socket": self.nri_socket}
        (self.home / "crio.conf").write_text(_CONFIG.format(home=self.home, socket=self.socket, **nri, **fields))

    def command(self):
        return [find("crio"), "--config", self.home / "crio.conf", "--config-dir", ""]

    def import_pause(self):
        target = f"containers-storage:[vfs@{self.home}/root+{self.home}/run]{PAUSE}"
        source = f"docker-archive:{self.home}/pause.tar:{PAUSE}"
        subprocess.run(["skopeo", "--insecure-policy", "copy", source, target], check=True, timeout=60)

    def run(self, pod, **rest):
        """As `OwnRuntime.run`, and its first process would end at SIGTERM by now: CRI-O sends it once."""
        sandbox = super().run(pod, **rest)
        until = time.monotonic() + 30
        while not _ends_at_sigterm(Path(f"/proc/{self.pid(sandbox)}/status").read_text()):
            assert time.monotonic() < until
            time.sleep(0.01)
        return sandbox

    def pid(self, sandbox):
        return int((self.home / "run/vfs-containers" / sandbox / "userdata/pidfile").read_text())

    def namespaces(self):
        return self.home / "ns"


def _ends_at_sigterm(status):
    """Whether the image's program has its handler. Before it, runc is there, which catches all signals, being in Go."""
    caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
    return not status.startswith("Name:\trunc") and bool(caught >> (signal.SIGTERM - 1) & 1)
