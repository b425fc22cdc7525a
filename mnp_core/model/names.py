"""How Kubernetes objects are called."""

from attrs import frozen


@frozen(order=True, cache_hash=True)
class ObjectName:
    """Namespace and name of a namespaced object; printed and ordered as ``namespace/name``."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@frozen(order=True, cache_hash=True)
class ObjectRef:
    """An object with its kind, for reports and origins. Cluster-scoped kinds have an empty namespace."""

    kind: str
    name: ObjectName

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
