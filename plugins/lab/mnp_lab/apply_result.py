"""What a change of the manifests came to."""

from attrs import frozen

from mnp_core.api import Sync
from mnp_core.model import ObjectName, ObjectRef
from mnp_lab.topology import LabPlan


@frozen(kw_only=True)
class ApplyResult:
    """What a change of the manifests came to.

    Attributes:
        created: Objects that are new.
        changed: Objects that differ from before.
        deleted: Objects that are gone.
        disconnected: Pods that could not be enforced, and so were left without a link that is up.
        notices: What the lab does otherwise than a cluster would, as far as that is new; and which pods are left out.
        sync: What the agent says; None in a lab without one.
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
    """Tell two plans apart."""
    old, new = before.objects, after.objects
    return ApplyResult(
        created=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(ref for ref in sorted(old.keys() & new.keys()) if old[ref].raw != new[ref].raw),
        deleted=tuple(sorted(old.keys() - new.keys())),
        disconnected=disconnected,
        notices=tuple(notice for notice in after.notices if notice not in before.notices),
        sync=sync,
    )
