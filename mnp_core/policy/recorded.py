"""Addresses of attachments for which network-status has none, from records of them (S75)."""

from collections.abc import Sequence

from attrs import evolve

from mnp_core.model import AddressRecord, Attachment, Pod, RecordedInterface


def with_recorded(
    pod: Pod, attachments: Sequence[Attachment], records: Sequence[AddressRecord]
) -> Sequence[Attachment]:
    """Attachments of a pod; those without addresses get the ones of the first record that has some.

    A record that does not say which attachment it means adds nothing.

    Args:
        pod: The pod.
        attachments: All of its attachments.
        records: Those about the pod, the most believed first.
    """
    completed = list(attachments)
    for record in records:
        for interface in record.interfaces:
            meant = [place for place, each in enumerate(attachments) if _fits(pod, each, record, interface)]
            if len(meant) == 1 and not completed[meant[0]].addresses:
                completed[meant[0]] = evolve(attachments[meant[0]], addresses=interface.addresses, recorded=True)
    return completed


def _fits(pod: Pod, attachment: Attachment, record: AddressRecord, interface: RecordedInterface) -> bool:
    """Whether a record's interface can be this attachment: by its name, else by its MAC address, on its network."""
    if interface.network is None:
        if not _names_claim(pod, attachment, record.ref.name.name):
            return False
    elif interface.network != attachment.network:
        return False
    if interface.interface:
        return interface.interface == attachment.interface
    return not interface.mac or not attachment.mac or interface.mac == attachment.mac


def _names_claim(pod: Pod, attachment: Attachment, claim: str) -> bool:
    return any(
        request.claim == claim and (request.network, request.interface) == (attachment.network, attachment.interface)
        for request in pod.requests
    )
