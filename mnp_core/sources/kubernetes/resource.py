"""The resources that are followed, and how they are asked for."""

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from mnp_core.api import PolicyKindSpec

CNI_GROUP = "k8s.cni.cncf.io"


@frozen(kw_only=True)
class Resource:
    """A kind of object, in all namespaces.

    Attributes:
        kind: ``kind`` of its objects.
        group: API group; empty for the core.
        versions: Versions that are understood, preferred first.
        plural: Name of the resource in the API.
        params: Selectors that narrow it.
    """

    kind: str
    group: str
    versions: tuple[str, ...]
    plural: str
    params: Mapping[str, str] = field(factory=dict)

    def api_version(self, version: str) -> str:
        """As objects carry it."""
        return f"{self.group}/{version}" if self.group else version

    def path(self, version: str) -> str:
        """Where it is listed and watched."""
        return f"/{'apis' if self.group else 'api'}/{self.api_version(version)}/{self.plural}"


# Finished pods are neither targets nor peers (S5): the server leaves them out, and reports them as deleted.
_UNFINISHED = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}

_BUILT_IN = (
    Resource(kind="Namespace", group="", versions=("v1",), plural="namespaces"),
    Resource(kind="Pod", group="", versions=("v1",), plural="pods", params=_UNFINISHED),
    Resource(
        kind="NetworkAttachmentDefinition", group=CNI_GROUP, versions=("v1",), plural="network-attachment-definitions"
    ),
    Resource(
        kind="MultiNetworkPolicy", group=CNI_GROUP, versions=("v1beta2", "v1beta1"), plural="multi-networkpolicies"
    ),
)


def resources(policy_kinds: Sequence[PolicyKindSpec]) -> tuple[Resource, ...]:
    """All that are followed: the built-in ones, and the kinds of policy that plugins add."""
    added = (
        Resource(kind=spec.kind, group=spec.group, versions=spec.versions, plural=spec.plural) for spec in policy_kinds
    )
    return (*_BUILT_IN, *added)
