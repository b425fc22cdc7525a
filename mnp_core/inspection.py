"""Compares the claims of a pod's annotations with the actual interfaces of its sandbox (S64).

Rules do not wait for this: they go by interface name, so an interface that appears late, or differs from its claim, is
enforced all the same. These functions run on a thread inside of the sandbox.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import evolve, field

from mnp_core.api import Discovery, InterfaceDiscoverer
from mnp_core.classes import frozen
from mnp_core.discovery import compare, find_link, quoted
from mnp_core.errors import MnpError
from mnp_core.model import Attachment, Link, LinkPath, ObjectName, ObjectRef, Reason, Report, Severity
from mnp_core.policy.attachments import Problem

_FIELD = "metadata.annotations[k8s.v1.cni.cncf.io/network-status]"
_DEFAULT_INTERFACE = "eth0"  # unless network-status names another one
_SHOWN = 4


@frozen(kw_only=True)
class Findings:
    """The result of inspecting a pod's attachments.

    Attributes:
        attachments: As the kernel has them, in the order of the claims.
        problems: Differences from the claims.
        readable: Whether the interfaces could be read at all; else a retry is needed.
        outlets: Names of interfaces that lead out of the pod and that no entry claims.
        bindings: By interface, how it is bound to a guest.
    """

    attachments: tuple[Attachment, ...]
    problems: tuple[Problem, ...] = ()
    readable: bool = True
    outlets: frozenset[str] = frozenset()
    bindings: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Claimed:
    """The claims about a pod.

    Attributes:
        pod: The pod.
        attachments: Those that are enforced.
        defaults: Interfaces of its default network, as far as they are known.
        announced: Interfaces named by network-status, enforced or not.
        denies_unclaimed: Whether everything is denied on an interface that no entry claims.
    """

    pod: ObjectName
    attachments: tuple[Attachment, ...]
    defaults: frozenset[str] = frozenset()
    announced: frozenset[str] = frozenset()
    denies_unclaimed: bool = False


def inspect(
    claimed: Claimed,
    read_links: Callable[[], Sequence[Link]],
    discoverers: Mapping[str, InterfaceDiscoverer],
    obstacle: Callable[[LinkPath], str] = lambda path: f"no backend reaches interfaces whose path is {path.value}",
) -> Findings:
    """Look at every interface.

    The interfaces of an unreadable sandbox are unknown, hence unenforceable.

    Args:
        claimed: What is claimed about the pod.
        read_links: Reads its interfaces.
        discoverers: By the CNI type that they claim.
        obstacle: Why no backend enforces on interfaces of a path other than IP; empty if one does.
    """
    try:
        links = read_links()
    except MnpError as error:
        text = f"could not be looked at: {error}"
        problems = tuple(_problem(claim, Reason.UNENFORCEABLE, text) for claim in claimed.attachments)
        return Findings(attachments=claimed.attachments, problems=problems, readable=False)
    found = [(claim, _discover(claim, links, discoverers)) for claim in claimed.attachments]
    strays = _strays(claimed, links, frozenset().union(*(discovery.parts for _, discovery in found)))
    discoveries = [
        (claim, _reached(claim, _unmasked(claim, discovery, links, strays), obstacle)) for claim, discovery in found
    ]
    return Findings(
        attachments=tuple(discovery.attachment for _, discovery in discoveries),
        problems=(*(p for claim, found in discoveries for p in _problems(claim, found)), *_unclaimed(claimed, strays)),
        outlets=frozenset(stray.name for stray in strays if stray.leads_out),
        bindings={claim.interface: found.binding for claim, found in discoveries if found.binding},
    )


def _discover(claim: Attachment, links: Sequence[Link], discoverers: Mapping[str, InterfaceDiscoverer]) -> Discovery:
    """What a discoverer finds; the path that was found before has no say."""
    claim = evolve(claim, path=LinkPath.IP, carrier="") if claim.path is not LinkPath.IP else claim
    discoverer = discoverers.get(claim.kind)
    try:
        discovery = discoverer.discover(claim, links) if discoverer is not None else _ordinary(claim, links)
    except Exception as error:  # noqa: BLE001 - a plugin's failure here must not look like a failure of the rules
        problem = f"could not be looked at: {type(error).__name__} in the plugin for {claim.kind}: {error}"
        return Discovery(attachment=claim, mismatches=(problem,))
    if claim.lost and discovery.attachment.path is LinkPath.IP and find_link(claim, links) is None:
        return Discovery(attachment=claim)  # requested, but missing: no interface is open
    return discovery


def _unmasked(claim: Attachment, discovery: Discovery, links: Sequence[Link], strays: Sequence[Link]) -> Discovery:
    """Unenforceable if it may be a decoy in front of an interface that no entry claims."""
    link = find_link(claim, links)
    outlets = [stray for stray in strays if stray.leads_out]
    is_clear = discovery.unenforceable or discovery.attachment.path is not LinkPath.IP
    if is_clear or link is None or link.leads_out or not outlets:
        return discovery
    names = ", ".join(quoted(outlet.name) for outlet in outlets[:_SHOWN])
    decoy = f"it leads nowhere, and {names} leads out of the pod and is claimed by no entry: that may be the real one"
    return Discovery(attachment=claim, unenforceable=f"{decoy} (virtual machines are bound to a network so)")


def _reached(claim: Attachment, discovery: Discovery, obstacle: Callable[[LinkPath], str]) -> Discovery:
    """Enforceable on another path than IP if a backend reaches it; else a claim like any other, with the reason."""
    if discovery.attachment.path is LinkPath.IP:
        return discovery
    if reason := obstacle(discovery.attachment.path):
        ordinary = evolve(claim, path=LinkPath.IP, carrier="")
        return evolve(discovery, attachment=ordinary, unenforceable=f"{discovery.unenforceable}; {reason}")
    return evolve(discovery, unenforceable="")


def _ordinary(claim: Attachment, links: Sequence[Link]) -> Discovery:
    """Without a plugin: the definition is missing, or a setting enforces it as an ordinary device."""
    return compare(claim, links)


def _problems(claim: Attachment, discovery: Discovery) -> Iterator[Problem]:
    for text in discovery.mismatches:
        yield _problem(claim, Reason.MISMATCH, text)
    if discovery.unenforceable:
        yield _problem(claim, Reason.UNENFORCEABLE, discovery.unenforceable)


def _strays(claimed: Claimed, links: Sequence[Link], parts: frozenset[str]) -> list[Link]:
    """Interfaces that are up, and claimed by neither an entry nor a default network; `parts` belong to an entry's."""
    known = parts | {claim.interface for claim in claimed.attachments} | claimed.announced
    known |= claimed.defaults or {_DEFAULT_INTERFACE}
    return [link for link in links if link.up and not link.loopback and link.name not in known]


def _unclaimed(claimed: Claimed, strays: Sequence[Link]) -> Iterator[Problem]:
    """One report for any number; an interface that leads out of the pod may be an unannounced attachment."""
    effect = "everything is denied" if claimed.denies_unclaimed else "no policy is enforced"
    for severity, meaning in (
        (Severity.PROBLEM, f"lead out of the pod, and {effect} on them"),
        (Severity.HINT, "lead nowhere"),
    ):
        found = [link for link in strays if link.leads_out is (severity is Severity.PROBLEM)]
        if found:
            names = ", ".join(f"{quoted(link.name)} of kind {quoted(link.kind)}" for link in found[:_SHOWN])
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            text = f"interfaces that no entry of network-status claims {meaning}: {names}{more}"
            report = _report(claimed.pod, Reason.UNCLAIMED_INTERFACE, text)
            yield Problem(report=evolve(report, severity=severity))


def _problem(claim: Attachment, reason: Reason, message: str) -> Problem:
    text = f"interface {quoted(claim.interface)} on network {claim.network}: {message.rstrip('.')}"
    return Problem(report=_report(claim.pod, reason, text), attachment=claim)


def _report(pod: ObjectName, reason: Reason, message: str) -> Report:
    return Report(
        about=ObjectRef("Pod", pod),
        field=_FIELD,
        reason=reason,
        message=message,
        remedy="Check the result of the network's CNI plugin in the pod",
    )
