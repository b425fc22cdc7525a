"""The state of one pod as the agent knows it: a frozen value, taken on its thread."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum

from mnp_core.agent.pod_state import PodState
from mnp_core.agent.results import History, Past
from mnp_core.api import Outcome
from mnp_core.classes import frozen
from mnp_core.cluster import ClusterState
from mnp_core.model import Attachment, Direction, Policy, Report

_LONGEST_ERROR = 2000  # characters: a kernel's words, or a plugin's
_MOST_REPORTS = 100  # of one pod


class PodCondition(StrEnum):
    """Whether the rules in a pod are those that policy wants."""

    IN_FORCE = "InForce"
    UPDATING = "Updating"  # a change is under way, or waits for its turn; the rules before are in force
    FAILED = "Failed"  # the rules before are in force, if there were any
    AWAITING_SANDBOX = "AwaitingSandbox"  # the runtime has not made its network namespace yet
    NO_RULES = "NoRules"  # it has no interface to enforce policy on


@frozen(kw_only=True)
class InterfaceStatus:
    """One enforced interface, and the policies that select each direction; without enforced ones it is open.

    `binding`: how it is bound to a guest, in words.
    """

    attachment: Attachment
    policies: Mapping[Direction, tuple[Policy, ...]]
    binding: str = ""

    def as_json(self) -> dict[str, object]:
        """For JSON."""
        attachment = self.attachment
        return {
            "interface": attachment.interface,
            "network": str(attachment.network),
            "kind": attachment.kind,
            "path": attachment.path.value,
            "carrier": attachment.carrier,
            "binding": self.binding,
            "addresses": [str(address) for address in attachment.addresses],
            **{direction.value.lower(): _direction_json(policies) for direction, policies in self.policies.items()},
        }


def _direction_json(policies: tuple[Policy, ...]) -> dict[str, object]:
    enforced = [str(policy.ref) for policy in policies if not policy.is_audited]
    audited = [str(policy.ref) for policy in policies if policy.is_audited]
    return {"isolated": bool(enforced), "policies": enforced, "audit-policies": audited}


@frozen(kw_only=True)
class PodStatus:
    """One local pod.

    Attributes:
        namespace: Of the pod.
        name: Of the pod.
        uid: Of the pod.
        condition: Whether its rules are the wanted ones.
        backend: Empty until it is chosen.
        dialect: The backend's.
        digest: Of the rules in force; empty if they are not known.
        lines: The approximate number of lines of its rules.
        netns: The path of its network namespace; empty until it is found.
        error: Why the last try failed; empty if it did not.
        history: The last results.
        interfaces: Those on which policy is enforced.
        denied: Interfaces that nothing claims and on which everything is denied.
        groups: The number of members of each address group in its rules.
        reports: Its problems.
        omitted_reports: The number of problems left out.
    """

    namespace: str
    name: str
    uid: str
    condition: PodCondition
    backend: str
    dialect: str
    digest: str
    lines: int
    netns: str
    error: str
    history: History
    interfaces: tuple[InterfaceStatus, ...]
    groups: Mapping[str, int]
    reports: tuple[Report, ...]
    omitted_reports: int

    def as_json(self, at: Callable[[float], datetime]) -> dict[str, object]:
        """For JSON.

        Args:
            at: Turns times of the agent's clock into those of calendars.
        """
        since = self.history.in_force_since if self.digest else None
        return {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "condition": self.condition.value,
            "backend": self.backend,
            "dialect": self.dialect,
            "digest": self.digest,
            "in-force-since": _time(at(since)) if since is not None else None,
            "last-change": _past_json(self.history.change, at, _change_json),
            "last-failure": _past_json(self.history.failure, at, _failure_json),
            "error": self.error,
            "lines": self.lines,
            "netns": self.netns,
            "interfaces": [each.as_json() for each in self.interfaces],
            "groups": [{"id": identity, "members": size} for identity, size in self.groups.items()],
            "problems": [{**report.as_json(), "exposed": report.exposed} for report in self.reports],
            "omitted-problems": self.omitted_reports,
        }


def pod_status(cluster: ClusterState, state: PodState, dialects: Mapping[str, str]) -> PodStatus:
    """Take the state of one pod; writes nothing. `dialects` are those of the backends."""
    pod, backend, reports = cluster.pod(state.name), state.backend, cluster.reports_of(state.name)
    return PodStatus(
        namespace=state.name.namespace,
        name=state.name.name,
        uid=pod.uid if pod is not None else "",
        condition=_condition(cluster, state),
        backend=backend.name if backend is not None else "",
        dialect="+".join(dialects.get(name, "") for name in backend.names) if backend is not None else "",
        digest=state.stamp.digest if state.stamp is not None else "",
        lines=cluster.weight(state.name),
        netns=state.sandbox.path if state.sandbox is not None else "",
        error=state.retries.error[:_LONGEST_ERROR],
        history=state.history,
        interfaces=_interfaces(cluster, state),
        groups=cluster.groups_of(state.name),
        reports=reports[:_MOST_REPORTS],
        omitted_reports=max(len(reports) - _MOST_REPORTS, 0),
    )


def _condition(cluster: ClusterState, state: PodState) -> PodCondition:
    if state.retries.awaiting_sandbox:
        return PodCondition.AWAITING_SANDBOX
    if state.retries.failure is not None:
        return PodCondition.FAILED
    if not cluster.needs_rules(state.name):
        return PodCondition.NO_RULES
    return PodCondition.IN_FORCE if state.in_force and state.stamp is not None else PodCondition.UPDATING


def _interfaces(cluster: ClusterState, state: PodState) -> tuple[InterfaceStatus, ...]:
    isolation = cluster.isolation(state.name)
    bindings = state.findings.bindings if state.findings is not None else {}
    return tuple(
        InterfaceStatus(
            attachment=claim,
            binding=bindings.get(claim.interface, ""),
            policies={
                direction: tuple(isolation.get(((claim.network, claim.interface), direction), ()))
                for direction in Direction
            },
        )
        for claim in cluster.claims(state.name)
    )


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _past_json(
    past: Past | None, at: Callable[[float], datetime], as_json: Callable[[Outcome], dict[str, object]]
) -> dict[str, object] | None:
    return {"at": _time(at(past.at)), **as_json(past.outcome)} if past is not None else None


def _change_json(outcome: Outcome) -> dict[str, object]:
    latency = round(outcome.latency, 6) if outcome.latency is not None else None
    return {
        "result": outcome.result.value,
        "seconds": round(outcome.seconds, 6),
        "latency": latency,
        "drifted": outcome.drifted,
    }


def _failure_json(outcome: Outcome) -> dict[str, object]:
    return {
        "reason": outcome.failure.value if outcome.failure is not None else "",
        "message": outcome.error[:_LONGEST_ERROR],
        "seconds": round(outcome.seconds, 6),
    }
