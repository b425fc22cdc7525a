"""Finds an SR-IOV attachment: as an interface in the pod, or as a device that packets pass the pod's kernel by.

The device-info in network-status names a PCI function; sysfs has its driver. With the card's network driver it is an
interface in the pod and enforced like any other. With a driver that gives it to a process (vfio, uio), behind
vhost-vdpa, or used as RDMA, its packets never meet the pod's kernel and its rules: it is reported as unenforceable,
even if the pod has an interface of the claimed name (S64).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import evolve

from mnp_core.api import Discovery
from mnp_core.discovery import compare, find_link, quoted
from mnp_core.model import Attachment, Link
from mnp_sriov.function import Function, read_function

CNI_TYPES = ("sriov", "ib-sriov", "accelerated-bridge")
"""CNI plugins that move a virtual function into the pod (github.com/k8snetworkplumbingwg).

`accelerated-bridge` also makes its representor the port of a bridge; `ib-sriov` is sriov for InfiniBand.
"""

KINDS = frozenset({"", "ipoib"})
"""The interface of a card has no kind (IFLA_INFO_KIND), except on InfiniBand."""

_USER_SPACE = re.compile(r"vfio|uio|pci-stub|pciback")
"""Drivers that give the device away: vfio-pci and its variants, uio_pci_generic, igb_uio, or to another machine."""

_REMEDY = "no rule in the pod filters it; have the device plugin hand out functions bound to the card's network driver"


class SriovDiscoverer:
    """An `mnp_core.api.InterfaceDiscoverer` for `CNI_TYPES`."""

    def __init__(self, sysfs: Path = Path("/sys")) -> None:
        """Use another mount point of sysfs than ``/sys``."""
        self._sysfs = sysfs

    def discover(self, claim: Attachment, links: Sequence[Link]) -> Discovery:
        """Find the function and the link, and compare them; see the Protocol."""
        link = find_link(claim, links)
        function = read_function(self._sysfs, claim.device) if claim.device else None
        if bypass := next(_bypasses(claim, function, link), ""):
            return Discovery(attachment=claim, unenforceable=f"{bypass}: {_REMEDY}")
        discovery = compare(claim, links, kinds=KINDS)
        if discovery.unenforceable:
            return discovery
        return evolve(discovery, mismatches=(*discovery.mismatches, *_differences(claim, function, link)))


def _bypasses(claim: Attachment, function: Function | None, link: Link | None) -> Iterator[str]:
    """Every way in which packets pass the pod's kernel by."""
    if function and not function.driver:
        yield f"device {function.address} has no driver, so it is no network interface"
    if function and _USER_SPACE.search(function.driver):
        yield f"device {function.address} is bound to {quoted(function.driver)}, which gives it to a process"
    if function and "vhost_vdpa" in function.vdpa_drivers:
        yield f"device {function.address} is given to a process by vhost-vdpa"
    if function and function.rdma and link is None:
        yield f"device {function.address} offers RDMA ({quoted(function.rdma[0])}) and no interface in the pod"
    if claim.rdma:
        enforced = f", only the packets of {quoted(link.name)} are enforced" if link else ""
        yield f"the pod has the RDMA device {quoted(claim.rdma)} with it, whose packets pass the kernel by{enforced}"


def _differences(claim: Attachment, function: Function | None, link: Link | None) -> Iterator[str]:
    if claim.device and function is None:
        yield f"network-status gives it the PCI device {quoted(claim.device)}, the node has none by that address"
    elif link and function and link.device not in {"", function.address}:
        yield f"network-status gives it the PCI device {function.address}, the kernel has it on {quoted(link.device)}"
