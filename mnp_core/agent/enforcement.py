"""Bringing one sandbox up to date. These functions run on a thread that is inside of it."""

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from mnp_core.api import InterfaceDiscoverer, Result, RuleApplier
from mnp_core.errors import MnpError
from mnp_core.model import Attachment, Delta, Link, ObjectRef, Reason, Report, Ruleset


@frozen(kw_only=True)
class Findings:
    """What was found of a pod's attachments.

    Attributes:
        attachments: As the kernel has them, in the order of the claims.
        reports: What is not as claimed (S64).
    """

    attachments: tuple[Attachment, ...]
    reports: tuple[Report, ...]


@frozen(kw_only=True)
class InForce:
    """What became of one sandbox.

    Attributes:
        result: What had to be done.
        generation: Of the packet filter, right after; a later difference means that somebody changed something.
        findings: What was found of its attachments; None if nobody looked.
        drifted: Whether somebody else had changed our rules (S63).
    """

    result: Result
    generation: int
    findings: Findings | None = None
    drifted: bool = False


def enforce(applier: RuleApplier, ruleset: Ruleset) -> InForce:
    """Make the ruleset be in force; a sandbox that is right already is not written to (S62)."""
    installed = applier.installed()
    if installed is not None and installed.matches(ruleset):
        return InForce(result=Result.UNCHANGED, generation=applier.generation())
    applier.apply(ruleset)
    return InForce(result=Result.APPLIED, generation=applier.generation())


def retire(applier: RuleApplier) -> None:
    """Take away what another backend left, after the one that is chosen now is in force: between the two both hold."""
    if applier.installed() is not None:
        applier.remove()


def update(applier: RuleApplier, delta: Delta) -> InForce:
    """Change membership alone."""
    applier.update(delta)
    return InForce(result=Result.UPDATED, generation=applier.generation())


def remove(applier: RuleApplier) -> InForce:
    """Take everything of ours away."""
    applier.remove()
    return InForce(result=Result.REMOVED, generation=applier.generation())


def inspect(
    claims: Sequence[Attachment],
    read_links: Callable[[], Sequence[Link]],
    discoverers: Mapping[str, InterfaceDiscoverer],
) -> Findings:
    """Compare what network-status claims with what is really there.

    The rules do not wait for this: they go by interface name, so an interface that appears late, or is not what it
    was claimed to be, is policed all the same, and a comparison that fails is a report.
    """
    try:
        links = read_links()
    except MnpError as error:
        problems = [_report(claim, Reason.MISMATCH, f"could not be looked at: {error}") for claim in claims]
        return Findings(attachments=tuple(claims), reports=tuple(problems))
    reports: list[Report] = []
    found = tuple(_find(claim, links, discoverers, reports) for claim in claims)
    return Findings(attachments=found, reports=tuple(reports))


def _find(
    claim: Attachment, links: Sequence[Link], discoverers: Mapping[str, InterfaceDiscoverer], reports: list[Report]
) -> Attachment:
    discoverer = discoverers.get(claim.kind)
    if discoverer is None:  # its definition is not there: reported with the claim, policed by name
        return claim
    try:
        discovery = discoverer.discover(claim, links)
    except Exception as error:  # noqa: BLE001 - a plugin that fails here must not look like rules that failed
        problem = f"could not be looked at: {type(error).__name__} in the plugin for {claim.kind}: {error}"
        reports.append(_report(claim, Reason.MISMATCH, problem))
        return claim
    reports += [_report(claim, Reason.MISMATCH, text) for text in discovery.mismatches]
    if discovery.unenforceable:
        reports.append(_report(claim, Reason.UNENFORCEABLE, discovery.unenforceable))
    return discovery.attachment


def _report(claim: Attachment, reason: Reason, message: str) -> Report:
    return Report(
        about=ObjectRef("Pod", claim.pod),
        field="metadata.annotations[k8s.v1.cni.cncf.io/network-status]",
        reason=reason,
        message=f"interface {claim.interface} on network {claim.network}: {message.rstrip('.')}",
        remedy="Check what the network's CNI plugin did in the pod",
    )
