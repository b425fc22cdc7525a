"""Addresses that a pod can have, as annotations and statuses of objects write them."""

from mnp_core.model.address import Address, parse_address


def parse_pod_address(value: object) -> Address | None:
    """An address of a pod, None if no pod can have it; a prefix length is ignored."""
    try:
        address = parse_address(value.partition("/")[0] if isinstance(value, str) else value)
    except ValueError:
        return None
    everybody = address.version == 4 and int(address) == 0xFFFFFFFF
    return None if address.is_multicast or address.is_loopback or address.is_unspecified or everybody else address
