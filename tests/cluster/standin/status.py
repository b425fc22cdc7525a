"""The annotation that tells which interfaces a pod has."""

STATUS = "k8s.v1.cni.cncf.io/network-status"


def entry(name, interface, result, *, default):
    """One element, from what the network's plugins returned."""
    inside = [number for number, link in enumerate(result.get("interfaces", ())) if link.get("sandbox")]
    mac = next((result["interfaces"][n]["mac"] for n in inside if result["interfaces"][n]["name"] == interface), "")
    ips = [
        ip["address"].partition("/")[0] for ip in result.get("ips", ()) if ip.get("interface", None) in (None, *inside)
    ]
    return {
        "name": name,
        "interface": interface,
        "ips": ips,
        "mac": mac,
        "default": default,
        "dns": result.get("dns", {}),
    }
