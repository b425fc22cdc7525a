"""The CNI plugins of the node, and how Multus is called."""

import json

from scripts.testbed import place, programs

_VERSION = "0.4.0"  # what the oldest plugins here speak


def configure() -> None:
    """Put the plugins where the runtime looks for them, and write the configuration of the pods' network."""
    folder = place.NODE_FILES / "cni-bin"
    for plugin in programs.cni_plugins():
        (folder / plugin.name).unlink(missing_ok=True)
        (folder / plugin.name).symlink_to(plugin)
    (place.NODE_FILES / "cni-config/00-multus.conf").write_text(json.dumps(_multus(), indent=1))
    whereabouts = place.NODE_FILES / "cni-config/whereabouts.d"
    whereabouts.mkdir(exist_ok=True)
    settings = {"datastore": "kubernetes", "kubernetes": {"kubeconfig": str(place.KUBECONFIG)}}
    (whereabouts / "whereabouts.conf").write_text(json.dumps(settings, indent=1))


def _multus() -> dict[str, object]:
    """Multus as a program that the runtime calls; it asks the API server as its administrator."""
    return {
        "cniVersion": _VERSION,
        "name": "multus-cni-network",
        "type": "multus",
        "kubeconfig": str(place.KUBECONFIG),
        "logLevel": "verbose",
        "logFile": str(place.LOGS / "multus.log"),
        "logToStderr": False,
        "delegates": [_default()],
    }


def _default() -> dict[str, object]:
    """The default network: a bridge of the node."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": place.POD_NETWORK, "gateway": place.NODE_ADDRESS}]]}
    bridge = {"type": "bridge", "bridge": place.BRIDGE, "ipam": addresses}
    return {"cniVersion": _VERSION, "name": "testbed", "plugins": [bridge]}
