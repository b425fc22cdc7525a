"""The kinds of object that the core reads: the one table of them. Plugins add kinds of policy."""

from mnp_core.classes import frozen


@frozen(kw_only=True)
class ApiType:
    """A type of object in the API.

    Attributes:
        kind: ``kind`` of its objects.
        group: API group; empty for the core.
        versions: Versions that are understood, preferred first.
        plural: Name of the resource in the API.
    """

    kind: str
    group: str
    versions: tuple[str, ...]
    plural: str


@frozen(kw_only=True)
class Kind(ApiType):
    """A kind that the core reads; `short` is its short name, as kubectl takes it."""

    short: str


_CNI_GROUP = "k8s.cni.cncf.io"

NAMESPACE = Kind(kind="Namespace", group="", versions=("v1",), plural="namespaces", short="ns")
POD = Kind(kind="Pod", group="", versions=("v1",), plural="pods", short="po")
NETWORK = Kind(
    kind="NetworkAttachmentDefinition",
    group=_CNI_GROUP,
    versions=("v1",),
    plural="network-attachment-definitions",
    short="nad",
)
POLICY = Kind(
    kind="MultiNetworkPolicy",
    group=_CNI_GROUP,
    versions=("v1beta2", "v1beta1"),
    plural="multi-networkpolicies",
    short="mnp",
)

BUILT_IN_KINDS = (NAMESPACE, POD, NETWORK, POLICY)
