"""From decoded objects of any kind to changes of the model.

Nothing that a parser does, a plugin's included, harms more than the object that it was given (S6).
"""

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import evolve

from mnp_core.api import AddressSourceSpec, PolicyKindSpec
from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import (
    AddressRecord,
    Change,
    KubernetesObject,
    Namespace,
    Network,
    ObjectName,
    ObjectRef,
    Pod,
    Policy,
    Reason,
    Report,
    Severity,
)
from mnp_core.model.kinds import NAMESPACE, NETWORK, POD, POLICY, Kind
from mnp_core.model.parsing import parse_namespace, parse_network, parse_pod, parse_policy, parse_ref
from mnp_core.model.parsing.field import shown

UNNAMED = "(unnamed)"
"""Stands in reports for the name of an object that has none."""


@frozen
class _Readable:
    """A kind of object that is read.

    Attributes:
        kind: Its names in the API.
        gives: The type of its parsed objects.
        parse: Its parser.
    """

    kind: Kind | PolicyKindSpec | AddressSourceSpec
    gives: type[KubernetesObject]
    parse: Callable[[Mapping[str, object]], tuple[KubernetesObject, tuple[Report, ...]]]

    @property
    def api_versions(self) -> str:
        """The possible apiVersions of this kind, for a message."""
        return " or ".join(f"{self.kind.group}/{version}".lstrip("/") for version in self.kind.versions)


_BUILT_IN = (
    _Readable(POD, Pod, parse_pod),
    _Readable(NAMESPACE, Namespace, parse_namespace),
    _Readable(NETWORK, Network, parse_network),
    _Readable(POLICY, Policy, parse_policy),
)

_WORKLOAD = "its pods are made by a controller, there is none here", "Write the pods themselves, as kind Pod"
_IGNORED = {
    **dict.fromkeys(("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"), _WORKLOAD),
    **dict.fromkeys(("Job", "CronJob", "ReplicationController"), _WORKLOAD),
    "NetworkPolicy": (
        "it is about the default network, which is not enforced here",
        "Write a MultiNetworkPolicy for secondary networks",
    ),
}
"""Kinds that authors may expect to work here: why they do not, and the alternative."""


class Decoder:
    """The readable kinds: pods, namespaces, networks, policies, and those of plugins."""

    def __init__(
        self, policy_kinds: Sequence[PolicyKindSpec] = (), address_sources: Sequence[AddressSourceSpec] = ()
    ) -> None:
        """Add the kinds that plugins register to the built-in ones; of address sources those in use."""
        policies = (_Readable(spec, Policy, spec.parse) for spec in policy_kinds)
        records = (_Readable(spec, AddressRecord, spec.parse) for spec in address_sources)
        self._readable = {(each.kind.group, each.kind.kind): each for each in (*_BUILT_IN, *policies, *records)}

    def decode(self, raw: Mapping[str, object]) -> Change | None:
        """Read an object, as it is now; None if it is of a kind that has no meaning here.

        Never raises: an unreadable object is a change without an object, with the reason in its reports.
        """
        group, version, name = _type_of(raw)
        readable = self._readable.get((group, name))
        try:
            ref = self.ref(raw)
        except InputError as error:
            ref = ObjectRef(name, ObjectName("", UNNAMED))
            return None if readable is None else _dropped(ref, error)
        if readable is None:
            return self._ignored(ref, group, raw)
        if version not in readable.kind.versions:
            wrong = f"{shown(version)} is not a version that is known, the object does not count"
            return Change(
                ref=ref, object=None, reports=(_report(ref, "apiVersion", wrong, f"Use {readable.api_versions}"),)
            )
        return _parsed(ref, readable, raw)

    def decode_all(self, raws: Iterable[Mapping[str, object]]) -> tuple[Change, ...]:
        """Read objects, each once: of those with the same name the last counts, with a report."""
        return last_of_each(change for change in map(self.decode, raws) if change is not None)

    def ref(self, raw: Mapping[str, object]) -> ObjectRef:
        """Kind and name of an object.

        Raises:
            InputError: It has no usable name.
        """
        _, _, kind = _type_of(raw)
        return parse_ref(raw, kind, namespaced=kind != "Namespace")

    def _ignored(self, ref: ObjectRef, group: str, raw: Mapping[str, object]) -> Change | None:
        """Reports of an object that is not read: none, unless an effect may be expected of it.

        Workloads from a cluster have their pods beside them, so nothing is missing.
        """
        elsewhere = next((each for each in self._readable.values() if each.kind.kind == ref.kind), None)
        if elsewhere is not None:
            wrong = "this kind is not read in this API group, the object does not count"
            remedy = f"Use {elsewhere.api_versions}"
            ref = ObjectRef(f"{ref.kind}.{group or 'core'}", ref.name)  # another than the one of this kind that is read
            return Change(ref=ref, object=None, reports=(_report(ref, "apiVersion", wrong, remedy, Reason.IGNORED),))
        if ref.kind not in _IGNORED or _is_from_a_cluster(raw):
            return None
        wrong, remedy = _IGNORED[ref.kind]
        hint = evolve(_report(ref, "", wrong, remedy, Reason.IGNORED), severity=Severity.HINT)
        return Change(ref=ref, object=None, reports=(hint,))


def last_of_each(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Changes, one for each object: the last, with a report. Objects without a name are all different."""
    last: dict[tuple[ObjectRef, int], Change] = {}
    for number, change in enumerate(changes):
        key = change.ref, number if change.ref.name.name == UNNAMED else 0
        last[key] = _with_duplicate(change) if key in last else change
    return tuple(last.values())


def _type_of(raw: Mapping[str, object]) -> tuple[str, str, str]:
    """API group, version and kind; empty where they are not text."""
    api_version, kind = raw.get("apiVersion"), raw.get("kind")
    group, _, version = api_version.rpartition("/") if isinstance(api_version, str) else ("", "", "")
    return group, version, kind if isinstance(kind, str) else ""


def _is_from_a_cluster(raw: Mapping[str, object]) -> bool:
    metadata = raw.get("metadata")
    return isinstance(metadata, Mapping) and bool(metadata.get("uid"))


def _parsed(ref: ObjectRef, readable: _Readable, raw: Mapping[str, object]) -> Change:
    try:
        value, reports = readable.parse(raw)
        if not isinstance(value, readable.gives) or (isinstance(value, Policy | AddressRecord) and value.ref != ref):
            raise TypeError(f"it gave {type(value).__name__} for {ref}")  # noqa: TRY301 # treated as all its faults
        return Change(ref=ref, object=value, reports=tuple(reports))
    except InputError as error:
        return _dropped(ref, error)
    except Exception as error:  # noqa: BLE001 # a plugin may raise anything; it concerns this object alone (S6)
        raised = traceback.format_exception_only(error)[-1].strip()  # safe even if its text cannot be had
        wrong = f"the plugin that reads this kind failed, the object does not count ({raised:.200})"
        return Change(ref=ref, object=None, reports=(_report(ref, "", wrong, "Report it to the plugin's authors"),))


def _dropped(ref: ObjectRef, error: InputError) -> Change:
    wrong, _, remedy = error.message.partition(": ")
    told = _report(ref, error.field, f"{wrong}, the object does not count", (remedy or "Correct it").capitalize())
    return Change(ref=ref, object=None, reports=(told,))


def _with_duplicate(change: Change) -> Change:
    wrong = "it is there more than once, the last one counts"
    return evolve(
        change,
        reports=(*change.reports, _report(change.ref, "metadata.name", wrong, "Remove the others", Reason.DUPLICATE)),
    )


def _report(ref: ObjectRef, field: str, message: str, remedy: str, reason: Reason = Reason.MALFORMED) -> Report:
    return Report(about=ref, field=field, reason=reason, message=message, remedy=remedy)
