"""The whole: up, down, and each component by itself."""

import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from scripts.testbed import (
    cgroup,
    cni,
    control_plane,
    daemon,
    images,
    keys,
    kind,
    kubelet,
    links,
    multus,
    node,
    place,
    programs,
    runtime,
)
from scripts.testbed.api import Connection
from scripts.testbed.command import run
from scripts.testbed.daemon import Daemon
from scripts.testbed.errors import TestBedError
from scripts.testbed.patience import wait_for

COMPONENTS: dict[str, Callable[[], Daemon]] = {
    "etcd": control_plane.etcd,
    "kube-apiserver": control_plane.apiserver,
    "kube-controller-manager": control_plane.controller_manager,
    "kube-scheduler": control_plane.scheduler,
    "runtime": lambda: runtime.chosen().daemon(),
    "kubelet": kubelet.daemon,
}
"""In the order in which they are started."""
_FAREWELL = 5  # seconds to end; an API server would wait a minute for its watches
_PATIENCE = 120  # seconds for one component; 1 to 10 are usual


def up() -> None:
    """Start the missing components. May be interrupted and called again."""
    for purpose in ("bed", *kind.chosen().packages):
        run(place.SOURCES / "packages", purpose, patience=1200)
    for program in COMPONENTS.keys() - {"runtime"} | {kind.chosen().runtime}:
        programs.find(program)
    place.ROOT.mkdir(parents=True, exist_ok=True)
    kind.settle()
    for name in ("pids", "config"):
        (place.ROOT / name).mkdir(exist_ok=True)
    cgroup.make()
    _check_addresses()
    links.remember_settings()
    links.make()
    keys.make()
    control_plane.write_kubeconfigs()
    node.start()
    wait_for("the node's folders are mounted", node.mounted, patience=20)
    runtime.configure()
    cni.configure()
    kubelet.configure()
    _start_all()


def down() -> None:
    """End and remove all of the bed, of any origin; a missing part is no error."""
    cgroup.kill()
    links.remove()
    links.restore_settings()
    cgroup.remove()
    node.forget_mount_points()
    if place.ROOT.exists():
        shutil.rmtree(place.ROOT)


def start(name: str) -> None:
    """Start one component, and wait until it serves."""
    component = COMPONENTS[name]()
    component.start()
    _await_ready(component)


def stop(name: str, *, by: signal.Signals = signal.SIGTERM) -> None:
    """End one component; its children (containers) run on."""
    daemon.stop(name, by=by, patience=_FAREWELL)


def is_up() -> bool:
    """Whether every component runs."""
    return place.ROOT.exists() and all(daemon.pid_of(name) is not None for name in COMPONENTS)


def compact() -> int:
    """Make etcd forget all but its present revision, which is returned: older resourceVersions are gone (410)."""
    status = _etcd("endpoint", "status", "--write-out=fields")
    revision = int(next(line.split(":")[1] for line in status.splitlines() if line.startswith('"Revision"')))
    _etcd("compact", str(revision))
    return revision


def choose_multus(*, thick: bool) -> None:
    """Choose the Multus of pods that start from now on; a new bed has thin."""
    with Connection(place.KUBECONFIG) as api:
        if thick:
            multus.start_thick(api)
        else:
            multus.stop_thick(api)
            cni.configure()


def kubectl() -> Path:
    """Kubernetes' own client, of the version of the server."""
    return programs.find("kubectl")


def _etcd(*arguments: str) -> str:
    files = (f"--cacert={keys.path('ca.crt')}", f"--cert={keys.path('admin.crt')}", f"--key={keys.path('admin.key')}")
    return run("etcdctl", f"--endpoints={place.ETCD_URL}", *files, *arguments, env={"ETCDCTL_API": "3"}).decode()


def _start_all() -> None:
    """Two things take long, the API server and the node's runtime: they start side by side."""
    for name in ("runtime", "etcd", "kube-apiserver"):
        COMPONENTS[name]().start()
    _await_ready(COMPONENTS["runtime"]())
    images.import_basics()
    for name in COMPONENTS:
        start(name)
    with Connection(place.KUBECONFIG) as api:
        multus.grant(api)
    wait_for("the node is ready", _node_ready, patience=_PATIENCE)
    wait_for("namespaces have ServiceAccounts", lambda: _get("/api/v1/namespaces/default/serviceaccounts/default"))


def _await_ready(component: Daemon) -> None:
    def ready() -> object:
        component.require()
        return _READY.get(component.name, lambda: True)()

    wait_for(f"{component.name} serves", ready, patience=_PATIENCE)


def _etcd_ready() -> bool:
    return "true" in _etcd("endpoint", "health", "--write-out=json")


def _get(path: str) -> dict[str, object]:
    with Connection(place.KUBECONFIG) as api:
        return api.request("GET", path)


def _node_ready() -> bool:
    status = _get(f"/api/v1/nodes/{place.NODE}")["status"]
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in status["conditions"])


_READY: dict[str, Callable[[], object]] = {
    "etcd": _etcd_ready,
    "kube-apiserver": lambda: _get("/readyz"),
    "runtime": lambda: runtime.chosen().ready(),
}


def _check_addresses() -> None:
    """Check that the bed's ports are free: only a listener on all addresses can occupy them.

    Raises:
        TestBedError: There is such a listener.
    """
    wanted = {"kube-apiserver": place.API_URL, "etcd": place.ETCD_URL}
    for name, url in wanted.items():
        if daemon.pid_of(name) is None:
            _check_free(name, urlsplit(url).port or 0)


def _check_free(name: str, port: int) -> None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((place.CONTROL_PLANE, port))
        except OSError as error:
            raise TestBedError(
                f"{name} needs port {port} of {place.CONTROL_PLANE}: {error}; "
                f"what listens on port {port} at every address has to stop, or listen on one address"
            ) from error
