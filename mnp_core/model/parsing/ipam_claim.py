"""Claims on addresses that outlive pods (k8s.cni.cncf.io/v1alpha1 IPAMClaim): the addresses in their status."""

from collections.abc import Mapping
from typing import Final

from mnp_core.model.address_record import AddressRecord, RecordedInterface
from mnp_core.model.parsing.metadata import open_object, parse_ref
from mnp_core.model.parsing.recorded import parse_addresses, parse_interface
from mnp_core.model.report import Report

IPAM_CLAIM: Final = "IPAMClaim"


def parse_ipam_claim(raw: Mapping[str, object]) -> tuple[AddressRecord, tuple[Report, ...]]:
    """Read a claim. `spec.network` is CNI's name of the network, and says less than the request that names the claim.

    Raises:
        InputError: It has no usable name.
    """
    ref = parse_ref(raw, IPAM_CLAIM)
    root = open_object(raw, ref)
    addresses = parse_addresses(root.child("status").child("ips"))
    interface = RecordedInterface(interface=parse_interface(root.child("spec").child("interface")), addresses=addresses)
    uid = root.child("metadata").child("uid").text(wanted="a UID")
    record = AddressRecord(ref=ref, uid=uid, interfaces=(interface,) if addresses else ())
    return record, root.findings.reports()
