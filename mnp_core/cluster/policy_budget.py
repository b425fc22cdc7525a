"""The budgets of each policy and of each namespace: a policy over budget is enforced without its rules.

Within a namespace policies are admitted in the order of their names, those in audit mode last, so that the result
depends on the present policies alone, not on the order of their arrival, and no audit changes what is enforced.
"""

from bisect import bisect_left, insort
from collections import defaultdict

from attrs import field

from mnp_core.classes import define
from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.model import ObjectName, ObjectRef, Policy
from mnp_core.model.budget import Budgets, Size, closed, over_budget, size_of

_Place = tuple[bool, str, str, str]
"""An object's name, as it sorts; those in audit mode come last."""


def _place(policy: Policy) -> _Place:
    return policy.is_audited, policy.ref.kind, policy.ref.name.namespace, policy.ref.name.name


def _ref(place: _Place) -> ObjectRef:
    _, kind, namespace, name = place
    return ObjectRef(kind, ObjectName(namespace, name))


@define
class _Namespace:
    """The policies of one namespace that are within the budget of a policy.

    Attributes:
        sizes: The size of each.
        places: The place of each in `order`.
        order: Their names, sorted.
        admitted_before: The sum of the admitted sizes before each of `order`, up to the first change.
        total: The sum of `sizes`.
        admitted: Policies within the budget of the namespace.
        parked: Policies over it, packed.
    """

    sizes: dict[ObjectRef, Size] = field(factory=dict)
    places: dict[ObjectRef, _Place] = field(factory=dict)
    order: list[_Place] = field(factory=list)
    admitted_before: list[Size] = field(factory=list)
    total: Size = field(factory=Size)
    admitted: dict[ObjectRef, Policy] = field(factory=dict)
    parked: dict[ObjectRef, bytes] = field(factory=dict)

    def put(self, ref: ObjectRef, policy: Policy, size: Size) -> None:
        """Add a policy; it is admitted for now."""
        self.sizes[ref], self.admitted[ref] = size, policy
        self.total = self.total + size
        place = self.places[ref] = _place(policy)
        insort(self.order, place)
        del self.admitted_before[bisect_left(self.order, place) :]

    def remove(self, ref: ObjectRef) -> None:
        """Remove a policy."""
        size = self.sizes.pop(ref, None)
        if size is not None:
            self.total = self.total - size
            index = bisect_left(self.order, self.places.pop(ref))
            del self.order[index], self.admitted_before[index:]
        self.admitted.pop(ref, None)
        self.parked.pop(ref, None)


class PolicyBudget:
    """Turns policies as written into policies as enforced."""

    def __init__(self, budgets: Budgets, standing: ActiveReports) -> None:
        """Start without policies; reports go to `standing`."""
        self._budgets = budgets
        self._standing = standing
        self._namespaces: defaultdict[str, _Namespace] = defaultdict(_Namespace)
        self._dirty: set[str] = set()
        self._changed: dict[ObjectRef, Policy | None] = {}

    def put(self, ref: ObjectRef, policy: Policy | None) -> None:
        """Replace a policy; None removes it."""
        space = self._namespaces[ref.name.namespace]
        space.remove(ref)
        self._standing.put(("budget", ref), ())
        self._changed[ref] = policy
        self._dirty.add(ref.name.namespace)
        if policy is not None:
            size = size_of(policy)
            if size.fits(self._budgets.policy):
                space.put(ref, policy, size)
            else:
                self._changed[ref] = closed(policy)
                excess = size.excess(self._budgets.policy)
                self._standing.put(("budget", ref), [over_budget(ref, f"it has {excess}", "budget-per-policy")])

    def flush(self) -> dict[ObjectRef, Policy | None]:
        """Return the policies whose enforced state has changed since the last call; None for a policy that is gone."""
        changed, self._changed = self._changed, {}
        for namespace in self._dirty:
            space = self._namespaces[namespace]
            changed |= self._readmit(space)
            if not space.sizes:
                del self._namespaces[namespace]
        self._dirty.clear()
        return changed

    def _readmit(self, space: _Namespace) -> dict[ObjectRef, Policy]:
        """Admit policies by name as far as the budget allows; return the policies admitted or parked by that."""
        most, changed = self._budgets.namespace, dict[ObjectRef, Policy]()
        if space.total.fits(most):
            for ref in tuple(space.parked):
                changed[ref] = self._admit(space, ref)
            space.admitted_before.clear()
            return changed
        first = max(0, len(space.admitted_before) - 1)
        total = space.admitted_before.pop() if space.admitted_before else Size()
        for place in space.order[first:]:
            space.admitted_before.append(total)
            ref = _ref(place)
            with_it = total + space.sizes[ref]
            if with_it.fits(most):
                total = with_it
                if ref in space.parked:
                    changed[ref] = self._admit(space, ref)
            elif ref in space.admitted:
                changed[ref] = self._park(space, ref)
        return changed

    def _park(self, space: _Namespace, ref: ObjectRef) -> Policy:
        policy = space.admitted.pop(ref)
        space.parked[ref] = _pack(policy)
        wrong = "the policies of its namespace together are over their budget, and it is among the last by name"
        self._standing.put(("budget", ref), [over_budget(ref, wrong, "budget-per-namespace")])
        return closed(policy)

    def _admit(self, space: _Namespace, ref: ObjectRef) -> Policy:
        policy = _unpack(space.parked.pop(ref))
        space.admitted[ref] = policy
        self._standing.put(("budget", ref), ())
        return policy


def _pack(policy: Policy) -> bytes:
    import pickle  # noqa: PLC0415 # slow to import, and few policies are over a budget
    import zlib  # noqa: PLC0415 # likewise

    return zlib.compress(pickle.dumps(policy))


def _unpack(packed: bytes) -> Policy:
    import pickle  # noqa: PLC0415 # see above
    import zlib  # noqa: PLC0415 # see above

    policy: Policy = pickle.loads(zlib.decompress(packed))  # noqa: S301 # packed here, not read
    return policy
