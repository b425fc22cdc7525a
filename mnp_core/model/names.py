"""How Kubernetes objects are called."""

from functools import total_ordering

from mnp_core.classes import frozen


@total_ordering
@frozen(cache_hash=True)
class ObjectName:
    """Namespace and name of a namespaced object; printed and ordered as ``namespace/name``."""

    namespace: str
    name: str

    def __lt__(self, other: "ObjectName") -> bool:
        """By hand, as the method that attrs makes is slower by far, and a start sorts thousands of them."""
        return (self.namespace, self.name) < (other.namespace, other.name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@total_ordering
@frozen(cache_hash=True)
class ObjectRef:
    """An object with its kind, for reports and origins. Cluster-scoped kinds have an empty namespace."""

    kind: str
    name: ObjectName

    def __lt__(self, other: "ObjectRef") -> bool:
        """Likewise."""
        return (self.kind, self.name) < (other.kind, other.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
