"""The CNI plugins of the node, and how Multus is called."""

import json
import shutil
from pathlib import Path

from scripts.testbed import multus, place, programs

_VERSION = "0.4.0"  # the version of the oldest plugins here


def configure() -> None:
    """Put the plugins where the runtime looks for them, and write the configuration of the pods' network."""
    folder = place.NODE_FILES / "cni-bin"
    for plugin in programs.cni_plugins():
        _put(plugin, folder / plugin.name)
    multus.configure_thin(_default(), _VERSION)
    whereabouts = place.NODE_FILES / "cni-config/whereabouts.d"
    whereabouts.mkdir(exist_ok=True)
    settings = {"datastore": "kubernetes", "kubernetes": {"kubeconfig": str(place.KUBECONFIG)}}
    (whereabouts / "whereabouts.conf").write_text(json.dumps(settings, indent=1))


def _put(plugin: Path, target: Path) -> None:
    """As a file, no symbolic link: containers to which the folder is mounted (Multus thick) do not see the cache."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(plugin.resolve())
    except OSError:  # another file system
        shutil.copy2(plugin, target)


def _default() -> dict[str, object]:
    """The default network: a bridge of the node."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": place.POD_NETWORK, "gateway": place.NODE_ADDRESS}]]}
    bridge = {"type": "bridge", "bridge": place.BRIDGE, "ipam": addresses}
    return {"cniVersion": _VERSION, "name": "testbed", "plugins": [bridge]}
