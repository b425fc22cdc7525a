"""Judges policies before they are stored: errors refuse them, other findings become warnings to the author."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from mnp_core.admission.known_cluster import KnownNetwork, View
from mnp_core.admission.review import Review, Verdict
from mnp_core.classes import frozen
from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.cluster.policy_budget import PolicyBudget
from mnp_core.errors import ApiError, ApiUnreachableError
from mnp_core.model import ObjectName, Policy, Reason, Report
from mnp_core.model.budget import Budgets, Size, over_budget
from mnp_core.policy.lint import Finding, Level, Rule, find_rules, finding_of, lint_policy
from mnp_core.policy.validate import policy_reports
from mnp_core.sources.decode import Decoder

ALONE: Final = (
    Reason.MALFORMED,
    Reason.INVALID_POLICY_FOR,
    Reason.INVALID_POLICY_TYPE,
    Reason.INVALID_SELECTOR,
    Reason.INVALID_PEER,
    Reason.INVALID_BLOCK,
    Reason.INVALID_PORT,
    Reason.INVALID_ENFORCEMENT,
    Reason.OVER_BUDGET,
)
"""Errors of the policy itself: no other object cures them."""

REFUSED: Final = frozenset().union(*(find_rules(reason.value) for reason in (*ALONE, Reason.UNKNOWN_NETWORK)))
"""The rules whose errors refuse a policy, unless the operator chooses others.

Networks exist before the objects that use them, and a policy with a wrong name in policy-for has no effect. Pods come
and go, and should come after the policies that protect them: findings about them are warnings.
"""

_UNKNOWN_NETWORK: Final = find_rules(Reason.UNKNOWN_NETWORK.value)
_MOST_LOOKUPS: Final = 8
_UNSEEN: Final = "mnp: the cluster could not be read ({}): the policy was checked by itself, not with other objects"

Lookup = Callable[[ObjectName], KnownNetwork | None]
"""Reads a network attachment definition from the API server; None if it does not exist. Raises as `ApiServer.get`."""


@frozen
class _Found:
    """Findings of a policy.

    Attributes:
        findings: All of them.
        networks_are_sure: Whether each network that is unknown is certain not to exist.
    """

    findings: tuple[Finding, ...]
    networks_are_sure: bool = True


@frozen(kw_only=True)
class Judge:
    """Judges reviews.

    Attributes:
        decoder: Reads objects.
        claimed: The CNI types that are enforced (S4).
        budgets: Of policies and namespaces.
        refuse: The rules whose errors refuse.
        lookup: Confirms that a network does not exist: watches may lag behind.
    """

    decoder: Decoder
    claimed: Collection[str]
    budgets: Budgets
    refuse: frozenset[Rule]
    lookup: Lookup

    def judge(self, review: Review, view: View | None, unseen: str = "") -> Verdict:
        """Answer a review.

        An update is refused only for errors that it adds: a policy that was stored with an error can be changed.

        Args:
            review: The request.
            view: The cluster; None if it cannot be read.
            unseen: The reason for that.
        """
        if review.object is None or _is_going(review.object) or _means_the_same(review.object, review.old):
            return Verdict()
        found = self._findings(review.object, view)
        refused = self._refused(found)
        if refused and review.old is not None:
            before = self._findings(review.old, view)
            refused = tuple(each for each in refused if each not in before.findings)
        warned = tuple(each for each in found.findings if each not in refused and each.level is not Level.HINT)
        return Verdict(refused=refused, warned=warned, notes=() if view is not None else (_UNSEEN.format(unseen),))

    def _refused(self, found: "_Found") -> tuple[Finding, ...]:
        rules = self.refuse if found.networks_are_sure else self.refuse - _UNKNOWN_NETWORK
        return tuple(each for each in found.findings if each.rule in rules and each.level is Level.ERROR)

    def _findings(self, raw: Mapping[str, Any], view: View | None) -> "_Found":
        change = self.decoder.decode(raw)
        policy = change.object if change is not None else None
        reports = list(change.reports if change is not None else ())
        if not isinstance(policy, Policy):
            return _Found(tuple(map(finding_of, reports)))
        reports += self._oversize(policy, raw, view)
        if view is None or any(each.reason is Reason.OVER_BUDGET for each in reports):
            return _Found(tuple(map(finding_of, reports)))
        view, is_sure = self._looked_up(view, policy)
        bare = [candidate for candidate in view.candidates if candidate.lacks_addresses(())]
        reports += policy_reports(policy, view.definitions, self.claimed, view.candidates, bare)
        doubts = lint_policy(policy, view.snapshot(policy, raw))
        return _Found(tuple(sorted({*map(finding_of, reports), *doubts})), networks_are_sure=is_sure)

    def _oversize(self, policy: Policy, raw: Mapping[str, Any], view: View | None) -> Iterator[Report]:
        """Excesses over the budgets of a policy and of its namespace; nodes check those of pods."""
        most = self.budgets.policy
        size = Size(bytes=len(msgspec.json.encode(raw)))
        if size.bytes > most.bytes:
            yield over_budget(policy.ref, f"it has {size.excess(Size(bytes=most.bytes))}", "budget-per-policy")
        standing = ActiveReports()
        budget = PolicyBudget(self.budgets, standing)
        for ref, other in view.policies.items() if view is not None else ():
            if ref != policy.ref and ref.name.namespace == policy.namespace:
                budget.put(ref, other)
        budget.put(policy.ref, policy)
        budget.flush()
        yield from standing.of([("budget", policy.ref)])

    def _looked_up(self, view: View, policy: Policy) -> tuple[View, bool]:
        """The view with networks newer than it, and whether all other missing ones are certain not to exist."""
        missing = sorted((policy.scope.networks or frozenset()) - view.networks.keys())
        try:
            for name in missing[:_MOST_LOOKUPS]:
                if (known := self.lookup(name)) is not None:
                    view = view.with_network(name, known)
        except (ApiError, ApiUnreachableError):
            return view, False
        return view, len(missing) <= _MOST_LOOKUPS


def _is_going(raw: Mapping[str, Any]) -> bool:
    """Whether the object is being deleted: removing its finalizers is always allowed."""
    metadata = raw.get("metadata")
    return isinstance(metadata, Mapping) and bool(metadata.get("deletionTimestamp"))


def _means_the_same(raw: Mapping[str, Any], old: Mapping[str, Any] | None) -> bool:
    return old is not None and _meaning(raw) == _meaning(old)


def _meaning(raw: Mapping[str, Any]) -> tuple[object, object, object]:
    metadata = raw.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    return raw.get("apiVersion"), raw.get("spec"), annotations
