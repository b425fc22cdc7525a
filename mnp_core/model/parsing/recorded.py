"""Addresses in objects that the setting ``guest-addresses`` names: common to their parsers.

Who may write such an object may write anything into it: what cannot be an address of a pod is left out, and reported.
"""

from collections.abc import Iterator

from mnp_core.model.address import Address
from mnp_core.model.parsing.field import Field
from mnp_core.model.parsing.names import is_interface_name, is_mac
from mnp_core.model.parsing.pod_address import parse_pod_address
from mnp_core.model.parsing.shared import shared_text
from mnp_core.model.report import Reason

MOST_INTERFACES = 64
"""As many attachments of an object count; a machine has fewer slots for cards."""

MOST_ADDRESSES = 16
"""As many addresses of each: a guest that invents some must not use up the budget of a policy's members."""

_REMEDY = "Find the writer of this object"


def bounded_elements(field: Field, most: int) -> list[Field]:
    """The first elements of a list; anything else is reported, and more of them."""
    elements = field.elements()
    if elements is None:
        wrong(field, f"{field} is not a list: it gives no addresses")
    elif len(elements) > most:
        wrong(field, f"there are {len(elements)} of them, only the first {most} count")
    return (elements or [])[:most]


def parse_addresses(field: Field) -> tuple[Address, ...]:
    """The addresses in a list, in its order. Link-local ones are left out: no IPAM gives them, and no report is due."""
    return tuple(dict.fromkeys(_addresses(field)))


def _addresses(field: Field) -> Iterator[Address]:
    for element in bounded_elements(field, MOST_ADDRESSES):
        address = parse_pod_address(element.value)
        if address is None:
            wrong(element, f"{element} is not an address that a pod can have: it is left out")
        elif not address.is_link_local:
            yield address


def parse_interface(field: Field) -> str:
    """The name of a pod's interface; empty if there is none."""
    if field.value in (None, ""):
        return ""
    if is_interface_name(field.value):
        return shared_text(str(field.value))
    wrong(field, f"{field} is not the name of an interface: it is left out")
    return ""


def parse_mac(field: Field) -> str:
    """A MAC address, lower case; empty if there is none."""
    mac = field.value.lower() if isinstance(field.value, str) else ""
    if is_mac(mac):
        return mac
    if field.value not in (None, ""):
        wrong(field, f"{field} is not a MAC address: it is left out")
    return ""


def wrong(field: Field, problem: str) -> None:
    """Report a value that does not count."""
    field.report(Reason.INVALID_GUEST_ADDRESS, problem, _REMEDY)
