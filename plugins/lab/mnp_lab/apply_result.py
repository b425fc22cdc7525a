"""The result of a change of the manifests."""

from attrs import frozen

from mnp_core.api import Sync
from mnp_core.model import ObjectName, ObjectRef
from mnp_lab.topology import LabPlan


@frozen(kw_only=True)
class ApplyResult:
    """The result of a change of the manifests.

    Attributes:
        created: Objects that are new.
        changed: Objects that differ from before.
        deleted: Objects that are gone.
        disconnected: Pods that could not be enforced; their links stay down.
        notices: New deviations of the lab from a cluster, and the pods that are left out.
        sync: The agent's result; None in a lab without one.
    """

    created: tuple[ObjectRef, ...]
    changed: tuple[ObjectRef, ...]
    deleted: tuple[ObjectRef, ...]
    disconnected: frozenset[ObjectName]
    notices: tuple[str, ...] = ()
    sync: Sync | None

    @property
    def anything(self) -> bool:
        """Whether any object differs from before."""
        return bool(self.created or self.changed or self.deleted)

    def __str__(self) -> str:
        lines = [f"{ref} {word}" for word in ("created", "changed", "deleted") for ref in getattr(self, word)]
        lines += [
            f"Pod {pod} left disconnected: its policies could not be enforced" for pod in sorted(self.disconnected)
        ]
        return "\n".join(lines) or "nothing has changed"


def compare_plans(
    before: LabPlan, after: LabPlan, disconnected: frozenset[ObjectName], sync: Sync | None
) -> ApplyResult:
    """Compare two plans."""
    old, new = before.objects, after.objects
    return ApplyResult(
        created=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(ref for ref in sorted(old.keys() & new.keys()) if old[ref].raw != new[ref].raw),
        deleted=tuple(sorted(old.keys() - new.keys())),
        disconnected=disconnected,
        notices=tuple(notice for notice in after.notices if notice not in before.notices),
        sync=sync,
    )
