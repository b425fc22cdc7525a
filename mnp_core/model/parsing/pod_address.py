"""Addresses that a pod can have, as annotations and statuses of objects write them."""

from ipaddress import IPv4Address

from mnp_core.model.address import Address, parse_address


def parse_pod_address(value: object) -> Address | None:
    """An address of a pod, None if no pod can have it; a prefix length is ignored."""
    try:
        address = parse_address(value.partition("/")[0] if isinstance(value, str) else value)
    except ValueError:
        return None
    return address if _is_possible(address) else None


def _is_possible(address: Address) -> bool:
    """Whether it is neither multicast nor loopback nor unspecified nor everybody's.

    By numbers: each property of `ipaddress` compares with a network, and a start asks for thousands of addresses.
    """
    if isinstance(address, IPv4Address):
        number = int(address)
        first = number >> 24
        return number not in {0, 0xFFFFFFFF} and first != 127 and not 224 <= first <= 239
    return not (address.is_multicast or address.is_loopback or address.is_unspecified)
