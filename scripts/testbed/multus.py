"""Multus: thin, a program that the runtime calls; or thick, the official DaemonSet, of an image made here."""

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from scripts.testbed import images, keys, place, programs
from scripts.testbed.api import APPLY, Connection
from scripts.testbed.patience import wait_for

IDENTITY: Final = "multus"
"""Its identity at the API server: the user of its own manifests' ServiceAccount, with that one's rights."""
THICK_IMAGE: Final = "ghcr.io/k8snetworkplumbingwg/multus-cni:snapshot-thick"
_KUBECONFIG = place.CONFIG / "multus.kubeconfig"
_FOLDER = place.NODE_FILES / "cni-config"
_THIN = _FOLDER / "00-multus.conf"  # thick writes a file of the same name
_DEFAULT = _FOLDER / "10-testbed.conflist"
_BINARIES = "usr/src/multus-cni/bin"
_DAEMON_SET = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-multus-ds"
_COLLECTIONS = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ServiceAccount": "/api/v1/namespaces/kube-system/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/kube-system/configmaps",
    "DaemonSet": "/apis/apps/v1/namespaces/kube-system/daemonsets",
}
_RIGHTS = frozenset({"ClusterRole", "ClusterRoleBinding", "ServiceAccount"})
_SOCKETS = (
    '"socketDir": "/host/run/multus/"',  # which it makes anew, but here it is a mount (`node.FOLDERS`)
    '"socketDir": "/host/run/multus/socket", "daemonSocketDir": "/run/multus/socket"',
)
_PATIENCE = 120  # seconds


def configure_thin(default: Mapping[str, Any], version: str) -> None:
    """Configure the runtime to call it.

    Args:
        default: Configuration of the pods' default network.
        version: Of CNI.
    """
    keys.write_kubeconfig(_KUBECONFIG, IDENTITY)
    _DEFAULT.write_text(json.dumps(default, indent=1))
    config = {
        "cniVersion": version,
        "name": "multus-cni-network",
        "type": "multus",
        "kubeconfig": str(_KUBECONFIG),
        "logLevel": "verbose",
        "logFile": str(place.LOGS / "multus.log"),
        "logToStderr": False,
        "delegates": [default],
    }
    _THIN.write_text(json.dumps(config, indent=1))


def grant(api: Connection) -> None:
    """Give the thin one the rights that its manifests give it."""
    _apply(api, "multus-daemonset.yml", _RIGHTS)


def start_thick(api: Connection) -> None:
    """Replace the thin one by the official DaemonSet, and wait until the runtime calls its shim."""
    _give_image()
    _THIN.unlink(missing_ok=True)
    _apply(api, "multus-daemonset-thick.yml", frozenset(_COLLECTIONS))
    wait_for("Multus thick has written its configuration", _shim_is_called, patience=_PATIENCE)


def stop_thick(api: Connection) -> None:
    """Delete it if it exists; pods have no network until `configure_thin`."""
    if not _there(api):
        return
    api.request("DELETE", _DAEMON_SET, {"propagationPolicy": "Foreground"})
    wait_for("Multus thick is gone", lambda: not _there(api), patience=_PATIENCE)
    _THIN.unlink(missing_ok=True)


def _there(api: Connection) -> bool:
    found = api.request("GET", _COLLECTIONS["DaemonSet"])["items"]
    return any(item["metadata"]["name"] == "kube-multus-ds" for item in found)


def _shim_is_called() -> bool:
    return _THIN.exists() and json.loads(_THIN.read_text() or "{}").get("type") == "multus-shim"


def _apply(api: Connection, manifest: str, kinds: frozenset[str]) -> None:
    text = (programs.part("multus") / manifest).read_text().replace(*_SOCKETS)
    for wanted in yaml.safe_load_all(text):
        if wanted["kind"] in kinds:
            path = f"{_COLLECTIONS[wanted['kind']]}/{wanted['metadata']['name']}"
            query = {"fieldManager": "testbed", "force": "true"}
            api.request("PATCH", path, wanted, query=query, content_type=APPLY)


def _give_image() -> None:
    archive = place.ROOT / "multus.tar"
    images.write_archive(archive, (THICK_IMAGE,), _add_programs)
    images.import_archive(archive)
    archive.unlink()


def _add_programs(layer: tarfile.TarFile) -> None:
    """Where the manifests look for them."""
    for path in _parents(_BINARIES):
        images.add_folder(layer, path)
    for name in ("multus", "multus-daemon", "multus-shim", "install_multus", "passthru-cni"):
        layer.add(programs.part("multus") / name, f"{_BINARIES}/{name.removesuffix('-cni')}")
    images.add_link(layer, "var/run", "/run")


def _parents(path: str) -> Iterator[str]:
    for folder in (*reversed(Path(path).parents), Path(path)):
        if str(folder) != ".":
            yield str(folder)
