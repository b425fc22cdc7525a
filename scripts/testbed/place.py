"""Where the test bed is: its folders, its addresses, the names that it takes on this machine. One bed a machine."""

import os
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
CHECKOUT = SOURCES.parents[1]

ROOT = Path(os.environ.get("MNP_TESTBED_DIR") or "/var/lib/mnp-testbed").absolute()
"""Everything that a running bed keeps; gone when it is down."""
CACHE = Path(
    os.environ.get("MNP_TESTBED_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnp-testbed"
).absolute()
"""The cache of expensive builds; it stays."""

KEYS = ROOT / "keys"
LOGS = ROOT / "logs"
CONFIG = ROOT / "config"
NODE_FILES = ROOT / "node"
KUBECONFIG = ROOT / "kubeconfig"
OWN_CLUSTER = os.environ.get("KUBECONFIG") if os.environ.get("KUBECONFIG") != str(KUBECONFIG) else None
"""The kubeconfig of a cluster that the user brings along, if any: the bed starts nothing then."""

NODE = "testbed"
CGROUP = "mnp-testbed"
BRIDGE = "testbed0"
BRIDGE_ADDRESS = "02:00:c6:12:00:01"
"""Fixed, or the bridge takes the lowest address of its ports, and the CNI plugin's CHECK fails for pods made before.
CRI-O asks CHECK at each pod's start and, for all pods, at its own. A pod whose CHECK fails then has no address from
there on, and the next kubelet to start makes its sandbox anew."""
PARENT = "testbed1"

SERVICES = "127.96.0.0/16"
"""Addresses of Services. On loopback, because then the first of them, which is that of the Service `kubernetes`, can be
the API server's own: pods on the host's network find it without a proxy, and no other programs are on it."""
CONTROL_PLANE = "127.96.0.1"
API_PORT = 443
API_URL = f"https://{CONTROL_PLANE}:{API_PORT}"
ETCD_URL = f"https://{CONTROL_PLANE}:2379"
ETCD_PEER_URL = f"https://{CONTROL_PLANE}:2380"

POD_NETWORK = "198.18.0.0/22"
"""The pods' default network: a part of RFC 2544's test range, so that no network in use is hidden."""
NODE_ADDRESS = "198.18.0.1"
NODE_PREFIX = 22

PAUSE_IMAGE = "localhost/testbed/pause:1"
WORKLOAD_IMAGE = "localhost/testbed/workload:1"
