"""Running virtual machines (kubevirt.io/v1 VirtualMachineInstance): the addresses in their status.

Each interface in the status says where its data are from (`infoSource`): ``domain``, the machine's definition with the
addresses that CNI gave to the pod; ``multus-status``, network-status; ``guest-agent``, a program inside the guest. Once
an agent has spoken, its addresses stand in place of the others (pkg/network/setup/netstat.go of kubevirt/kubevirt), so
an entry that names it is the guest's claim, whatever else it names.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from mnp_core.model.address_record import AddressRecord, RecordedInterface
from mnp_core.model.names import ObjectName
from mnp_core.model.parsing.field import Field
from mnp_core.model.parsing.metadata import open_object, parse_ref
from mnp_core.model.parsing.recorded import (
    MOST_INTERFACES,
    bounded_elements,
    parse_addresses,
    parse_interface,
    parse_mac,
    wrong,
)
from mnp_core.model.parsing.scope import parse_network_name
from mnp_core.model.report import Report

VIRTUAL_MACHINE: Final = "VirtualMachineInstance"

_HOST: Final = frozenset({"domain", "multus-status"})
_GUEST: Final = frozenset({"guest-agent"})


def parse_virtual_machine(raw: Mapping[str, object]) -> tuple[AddressRecord, tuple[Report, ...]]:
    """Read the addresses that do not come from inside the guest.

    Raises:
        InputError: The object has no usable name.
    """
    return _parse(raw, _HOST)


def parse_virtual_machine_and_guest(raw: Mapping[str, object]) -> tuple[AddressRecord, tuple[Report, ...]]:
    """Read those that the guest's agent reports, too.

    Raises:
        InputError: The object has no usable name.
    """
    return _parse(raw, _HOST | _GUEST)


def _parse(raw: Mapping[str, object], believed: frozenset[str]) -> tuple[AddressRecord, tuple[Report, ...]]:
    ref = parse_ref(raw, VIRTUAL_MACHINE)
    root = open_object(raw, ref)
    networks = dict(_networks(root.child("spec").child("networks"), ref.name.namespace))
    interfaces = bounded_elements(root.child("status").child("interfaces"), MOST_INTERFACES) if networks else []
    record = AddressRecord(
        ref=ref,
        uid=root.child("metadata").child("uid").text(wanted="a UID"),
        interfaces=tuple(found for each in interfaces for found in _interface(each, networks, believed)),
    )
    return record, root.findings.reports()


def _networks(field: Field, namespace: str) -> Iterator[tuple[str, ObjectName]]:
    """Secondary networks by the machine's own names for them."""
    for element in bounded_elements(field, MOST_INTERFACES):
        multus, name = element.child("multus"), element.child("name").value
        if not multus.is_mapping or multus.child("default").value is True or not isinstance(name, str):
            continue
        written = multus.child("networkName")
        network = parse_network_name(written.value, namespace) if isinstance(written.value, str) else None
        if network is None:
            wrong(written, f"{written} names no network: no address on it is known by this")
        else:
            yield name, network


def _interface(
    entry: Field, networks: Mapping[str, ObjectName], believed: frozenset[str]
) -> Iterator[RecordedInterface]:
    """An entry on a secondary network; those that the guest made itself have no name."""
    name = entry.child("name").value
    network = networks.get(name) if isinstance(name, str) else None
    if network is None or not _is_believed(entry.child("infoSource").value, believed):
        return
    listed, first = entry.child("ipAddresses"), entry.child("ipAddress")
    if listed.is_missing and first.value not in (None, ""):
        listed = Field([first.value], first.path, first.findings)
    if addresses := parse_addresses(listed):
        yield RecordedInterface(
            network=network,
            interface=parse_interface(entry.child("podInterfaceName")),
            mac=parse_mac(entry.child("mac")),
            addresses=addresses,
        )


def _is_believed(sources: object, believed: frozenset[str]) -> bool:
    """Whether all origins of an entry are believed; one without an origin is not."""
    named = {word.strip() for word in sources.split(",")} if isinstance(sources, str) and len(sources) < 256 else {""}
    return named <= believed
