"""A gate's description of a pod's attachments outranks the pod's annotations, which many may write."""

from collections.abc import Iterator, Mapping

from attrs import evolve

from mnp_core.model import (
    NetworkRequest,
    NetworkStatus,
    ObjectName,
    ObjectRef,
    Pod,
    Reason,
    Report,
)
from mnp_core.model.gated import Gated, GatedInterface
from mnp_core.model.parsing.field import shown

DEFAULT_INTERFACE = "eth0"
"""The interface of the default network: container runtimes give CNI this name, and nothing else gets it."""

_FIELD = "metadata.annotations[k8s.v1.cni.cncf.io/network-status]"


def outranked(pod: Pod, gated: Gated) -> tuple[Pod, tuple[Report, ...]]:
    """The pod as a gate describes it.

    An interface from a CNI result counts as it is there. One that the pod asked for is on the network that it asked
    for. No annotation makes either the default network's.

    Returns:
        The pod with corrected annotations, and a report of each difference.
    """
    asked = _by_interface(gated.requests if gated.requests is not None else pod.requests)
    expected = dict(_expected(pod, gated, asked))
    statuses = tuple(_corrected(status, expected) for status in pod.statuses)
    present = {status.interface for status in statuses}
    made = {interface.name for interface in gated.interfaces}
    missing = tuple(status for name, status in expected.items() if name in made and name not in present)
    secondary = frozenset(expected) - {DEFAULT_INTERFACE}
    return (
        evolve(
            pod,
            statuses=(*statuses, *missing),
            default_interfaces=pod.default_interfaces - secondary,
            requests=tuple(asked.values()),
        ),
        tuple(_differences(pod, statuses, missing, secondary)),
    )


def _by_interface(requests: tuple[NetworkRequest, ...]) -> dict[str, NetworkRequest]:
    return {request.interface: request for request in requests}


def _expected(pod: Pod, gated: Gated, asked: Mapping[str, NetworkRequest]) -> Iterator[tuple[str, NetworkStatus]]:
    """The attachment of each interface that the gate knows; without addresses where it knows none."""
    made = {interface.name: interface for interface in gated.interfaces}
    announced = {status.interface: status.network for status in pod.statuses}
    for name, interface in made.items():
        network = asked[name].network if name in asked else interface.network or announced.get(name)
        if network is not None and (name != DEFAULT_INTERFACE or name in asked):
            yield name, _status(network, interface)
    if gated.requests is not None:
        for name in asked.keys() - made.keys():
            yield name, NetworkStatus(network=asked[name].network, interface=name)


def _status(network: ObjectName, interface: GatedInterface) -> NetworkStatus:
    return NetworkStatus(
        network=network, interface=interface.name, addresses=interface.addresses, mac=interface.mac.lower()
    )


def _corrected(status: NetworkStatus, expected: Mapping[str, NetworkStatus]) -> NetworkStatus:
    known = expected.get(status.interface)
    if known is None:
        return status
    return evolve(
        status,
        network=known.network,
        addresses=known.addresses or status.addresses,
        mac=known.mac or status.mac,
    )


def _differences(
    pod: Pod, statuses: tuple[NetworkStatus, ...], missing: tuple[NetworkStatus, ...], secondary: frozenset[str]
) -> Iterator[Report]:
    for before, now in zip(pod.statuses, statuses, strict=True):
        if before.network != now.network or {*before.addresses} != {*now.addresses}:
            yield _report(pod, now, f"says {_described(before)}, the runtime says {_described(now)}")
    for status in missing if pod.attached else ():
        yield _report(pod, status, f"does not list it, the runtime says {_described(status)}")
    for name in sorted(pod.default_interfaces & secondary):
        yield _mismatch(
            pod, f"{shown(name)} is a secondary interface, not the default network's as network-status says"
        )


def _described(status: NetworkStatus) -> str:
    addresses = ", ".join(sorted(map(str, status.addresses))[:4]) or "no address"
    return f"{status.network} with {addresses}"


def _report(pod: Pod, status: NetworkStatus, difference: str) -> Report:
    return _mismatch(pod, f"interface {shown(status.interface)}: network-status {difference}, which is enforced")


def _mismatch(pod: Pod, message: str) -> Report:
    return Report(
        about=ObjectRef("Pod", pod.name),
        field=_FIELD,
        reason=Reason.MISMATCH,
        message=message,
        remedy="Find the writer of network-status, or create the pod again",
    )
