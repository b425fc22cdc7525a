"""Addresses of pods from the objects beside them (setting ``guest-addresses``), put where network-status has none."""

from collections.abc import Mapping, Sequence

from attrs import evolve

from mnp_core.cluster.address_records import AddressRecords
from mnp_core.model import AddressRecord, Change, NetworkStatus, Pod
from mnp_core.policy.attachments import announced
from mnp_core.policy.recorded import with_recorded


def complete(changes: Sequence[Change], labels: Mapping[str, str]) -> tuple[Change, ...]:
    """The objects, with the addresses of pods that records among them have.

    Args:
        changes: Each object.
        labels: Kinds of record, see `AddressRecords`.
    """
    records = AddressRecords(labels)
    for change in changes:
        if isinstance(change.object, AddressRecord):
            records.put(change.ref, change.object)
    return tuple(_completed(change, records) for change in changes)


def _completed(change: Change, records: AddressRecords) -> Change:
    pod = change.object
    if not isinstance(pod, Pod):
        return change
    records.put_pod(pod.name, pod)
    found = records.of(pod.name)
    return evolve(change, object=evolve(pod, statuses=_addressed(pod, found))) if found else change


def _addressed(pod: Pod, records: Sequence[AddressRecord]) -> tuple[NetworkStatus, ...]:
    attachments = with_recorded(pod, tuple(announced(pod, {}, ())), records)
    pairs = zip(pod.statuses, attachments, strict=True)
    return tuple(evolve(status, addresses=attachment.addresses) for status, attachment in pairs)
