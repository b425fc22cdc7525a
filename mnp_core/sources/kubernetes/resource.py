"""The resources that are followed, and how they are asked for."""

from collections.abc import Mapping, Sequence

from attrs import field

from mnp_core.api import AddressSourceSpec, PolicyKindSpec
from mnp_core.classes import frozen
from mnp_core.model.kinds import BUILT_IN_KINDS, POD, ApiType, Kind


@frozen(kw_only=True)
class Resource(ApiType):
    """The objects of a type in all namespaces.

    Attributes:
        params: Selectors that narrow them, which every API server knows.
        narrower: Likewise, for servers that know more fields; empty for none.
    """

    params: Mapping[str, str] = field(factory=dict)
    narrower: Mapping[str, str] = field(factory=dict)

    def api_version(self, version: str) -> str:
        """As objects carry it."""
        return f"{self.group}/{version}" if self.group else version

    def path(self, version: str) -> str:
        """Where it is listed and watched."""
        return f"/{'apis' if self.group else 'api'}/{self.api_version(version)}/{self.plural}"


# Finished pods are neither targets nor peers (S5): the server leaves them out, and reports them as deleted.
_UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"

# Nor are pods on the host's network, and those without a node (S5). Servers before 1.28 cannot leave out the former.
_RELEVANT = f"{_UNFINISHED},spec.hostNetwork!=true,spec.nodeName!="


def resources(
    policy_kinds: Sequence[PolicyKindSpec], address_sources: Sequence[AddressSourceSpec] = ()
) -> tuple[Resource, ...]:
    """All that are followed: the built-in ones, the kinds of policy that plugins add, and address sources in use."""
    return *map(_resource, BUILT_IN_KINDS), *map(_resource, policy_kinds), *map(_resource, address_sources)


def _resource(kind: Kind | PolicyKindSpec | AddressSourceSpec) -> Resource:
    return Resource(
        kind=kind.kind,
        group=kind.group,
        versions=kind.versions,
        plural=kind.plural,
        params={"fieldSelector": _UNFINISHED} if kind is POD else {},
        narrower={"fieldSelector": _RELEVANT} if kind is POD else {},
    )
