"""Proxies that the environment names: HTTPS_PROXY, HTTP_PROXY, NO_PROXY."""

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def proxy_for(server: str) -> str:
    """The proxy on the way to a server; empty if there is none."""
    url = urlsplit(server)
    host = url.hostname or ""
    proxies = getproxies()
    if proxy_bypass(host) or _inside(host, proxies.get("no", "")):
        return ""
    return proxies.get(url.scheme) or proxies.get("all") or ""


def _inside(host: str, exempt: str) -> bool:
    """Whether NO_PROXY lists a block that the host lies in; clusters list that of services. urllib knows names only."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(_covers(block.strip(), address) for block in exempt.split(",") if "/" in block)


def _covers(block: str, address: object) -> bool:
    try:
        return address in ip_network(block, strict=False)
    except ValueError:
        return False
