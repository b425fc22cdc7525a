"""From decoded objects of any kind to changes of the model; where a kind is looked up, and where its parser is held.

Nothing that a parser does, a plugin's included, harms more than the object that it was given (S6).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mnp_core.api import PolicyKindSpec
from mnp_core.errors import InputError
from mnp_core.model import Change, KubernetesObject, ObjectRef, Reason, Report
from mnp_core.model.parsing import parse_namespace, parse_network, parse_pod, parse_policy, parse_ref
from mnp_core.model.parsing.field import shown

Parser = Callable[[Mapping[str, object]], tuple[KubernetesObject, tuple[Report, ...]]]

_CORE: Final = ""
_NPWG: Final = "k8s.cni.cncf.io"
_BUILT_IN: Final[dict[tuple[str, str], tuple[tuple[str, ...], Parser]]] = {
    (_CORE, "Pod"): (("v1",), parse_pod),
    (_CORE, "Namespace"): (("v1",), parse_namespace),
    (_NPWG, "NetworkAttachmentDefinition"): (("v1",), parse_network),
    (_NPWG, "MultiNetworkPolicy"): (("v1beta2", "v1beta1"), parse_policy),
}
_MISSED = frozenset({"Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob", "ReplicationController"})
"""Kinds whose pods somebody might expect to be looked at; they exist only where controllers run."""


class Decoder:
    """Knows the kinds that are read: pods, namespaces, networks, policies, and what plugins add."""

    def __init__(self, policy_kinds: Sequence[PolicyKindSpec] = ()) -> None:
        """Add the kinds that plugins register to the built-in ones."""
        self._kinds = dict(_BUILT_IN)
        for spec in policy_kinds:
            self._kinds[spec.group, spec.kind] = (spec.versions, spec.parse)

    def decode(self, raw: object) -> Change | None:
        """Read an object; None if it is of a kind that has no meaning here.

        Raises:
            InputError: It is no object, says no kind, or has no usable name.
        """
        group, version, kind = _type_of(raw)
        if (group, kind) not in self._kinds:
            return _missed(raw, kind)
        ref = self.ref(raw)
        versions, parse = self._kinds[group, kind]
        if version not in versions:
            return _dropped(ref, "apiVersion", f"version {shown(version)} is not known", f"Use {' or '.join(versions)}")
        return _parsed(ref, parse, raw if isinstance(raw, Mapping) else {})

    def ref(self, raw: object) -> ObjectRef:
        """Kind and name of an object, whatever its kind.

        Raises:
            InputError: It is no object, says no kind, or has no usable name.
        """
        _, _, kind = _type_of(raw)
        return parse_ref(raw, kind, namespaced=kind != "Namespace")


def _type_of(raw: object) -> tuple[str, str, str]:
    """API group, version and kind."""
    if not isinstance(raw, Mapping):
        raise InputError(f"{shown(raw)} is not an object: a manifest has apiVersion, kind and metadata")
    api_version, kind = raw.get("apiVersion"), raw.get("kind")
    for field, value in (("apiVersion", api_version), ("kind", kind)):
        if not isinstance(value, str) or not value:
            raise InputError(f"{shown(value)} is not a string: every object says its {field}", field=field)
    group, _, version = str(api_version).rpartition("/")
    return group, version, str(kind)


def _parsed(ref: ObjectRef, parse: Parser, raw: Mapping[str, object]) -> Change:
    try:
        value, reports = parse(raw)
    except InputError as error:
        return _dropped(ref, error.field, str(error), "Correct it")
    except Exception as error:  # noqa: BLE001 - a plugin's parser; what it raises concerns this object alone (S6)
        problem = f"the parser of its kind failed, so it is not enforced ({type(error).__name__}: {error})"
        return _dropped(ref, "", problem, "Tell the authors of the plugin that reads this kind")
    return Change(ref=ref, object=value, reports=reports)


def _dropped(ref: ObjectRef, field: str, message: str, remedy: str) -> Change:
    report = Report(about=ref, field=field, reason=Reason.MALFORMED, message=message, remedy=remedy)
    return Change(ref=ref, object=None, reports=(report,))


def _missed(raw: object, kind: str) -> Change | None:
    """Tell whoever expects pods of a workload that there are none."""
    if kind not in _MISSED:
        return None
    ref = parse_ref(raw, kind)
    problem = "it makes no pods here: only where its controller runs does it, and then these pods are read"
    report = Report(about=ref, field="kind", reason=Reason.IGNORED, message=problem, remedy="Write the pods")
    return Change(ref=ref, object=None, reports=(report,))
