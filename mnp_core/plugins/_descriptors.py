"""Validation of descriptors, and the names that each claims exclusively."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from attrs import fields

from mnp_core.api import (
    AddressSourceSpec,
    CommandSpec,
    GateSpec,
    InterfaceDiscovererSpec,
    Named,
    PolicyKindSpec,
    PolicyRendererSpec,
    RuleApplierSpec,
    SandboxLocatorSpec,
)
from mnp_core.classes import frozen
from mnp_core.model import Feature, LinkPath
from mnp_core.model.kinds import BUILT_IN_KINDS
from mnp_core.model.parsing import IPAM_CLAIM, VIRTUAL_MACHINE
from mnp_core.plugins._faults import InvalidPluginError

D = TypeVar("D", bound=Named)

REGISTRATIONS: Mapping[str, type[Named]] = {
    "mnp_register_interface_discoverers": InterfaceDiscovererSpec,
    "mnp_register_policy_renderers": PolicyRendererSpec,
    "mnp_register_rule_appliers": RuleApplierSpec,
    "mnp_register_sandbox_locators": SandboxLocatorSpec,
    "mnp_register_gates": GateSpec,
    "mnp_register_policy_kinds": PolicyKindSpec,
    "mnp_register_address_sources": AddressSourceSpec,
    "mnp_register_commands": CommandSpec,
}
NOUNS: Mapping[type[Named], str] = {
    InterfaceDiscovererSpec: "discoverer",
    PolicyRendererSpec: "renderer",
    RuleApplierSpec: "applier",
    SandboxLocatorSpec: "locator",
    GateSpec: "gate",
    PolicyKindSpec: "policy kind",
    AddressSourceSpec: "address source",
    CommandSpec: "command",
}
CNI_TYPE = "CNI type"
DIALECT = "dialect"
API_KIND = "API kind"
API_RESOURCE = "API resource"

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_CNI_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")  # the file name of a CNI plugin
_GROUP = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_VERSION = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")
_POD_LABEL = re.compile(r"([a-z0-9][a-z0-9.-]{0,252}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")

_OURS = frozenset({*(kind.kind for kind in BUILT_IN_KINDS), VIRTUAL_MACHINE, IPAM_CLAIM})
"""Kinds that the core reads. A kind is taken in any group: objects are identified by kind and name alone."""


@frozen
class ExclusiveName:
    """Something that one plugin alone can have: a name, a CNI type, a dialect to render."""

    what: str
    value: str

    def __str__(self) -> str:
        return f"{self.what} {self.value!r}"


def exclusive_name(kind: type[Named], name: str) -> ExclusiveName:
    """The claim of every descriptor of this kind to its name."""
    return ExclusiveName(NOUNS[kind], name)


def exclusive_names(descriptor: Named) -> tuple[ExclusiveName, ...]:
    """Everything that the descriptor must not share with another one of its kind; its name comes first."""
    own = exclusive_name(type(descriptor), descriptor.name)
    match descriptor:
        case InterfaceDiscovererSpec():
            return own, *(ExclusiveName(CNI_TYPE, cni_type) for cni_type in sorted(descriptor.cni_types))
        case PolicyRendererSpec():
            return own, ExclusiveName(DIALECT, descriptor.dialect)
        case PolicyKindSpec(group=group):
            return (
                own,
                ExclusiveName(API_KIND, descriptor.kind),  # `ObjectRef` has no group
                ExclusiveName(API_RESOURCE, f"{descriptor.plural}.{group}"),
            )
        case _:
            return (own,)


def describe_offer(descriptor: Named) -> str:
    """A short description, for a list."""
    text = f"{NOUNS[type(descriptor)]} {descriptor.name}"
    match descriptor:
        case InterfaceDiscovererSpec():
            return f"{text} ({', '.join(sorted(descriptor.cni_types))})"
        case PolicyRendererSpec(refuses=refuses) if refuses:
            dialect = f" ({descriptor.dialect})" if descriptor.dialect != descriptor.name else ""
            return f"{text}{dialect}, refuses {', '.join(sorted(refuses))}"
        case PolicyRendererSpec() | RuleApplierSpec() if descriptor.dialect != descriptor.name:
            return f"{text} ({descriptor.dialect})"
        case _:
            return text


def _matches(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _many(container: type[Collection[object]], pattern: re.Pattern[str]) -> Callable[[object], bool]:
    item = _matches(pattern)
    return lambda value: isinstance(value, container) and len(value) > 0 and all(map(item, value))


def _are_features(value: object) -> bool:
    return isinstance(value, frozenset) and all(isinstance(each, Feature) for each in value)


def _are_paths(value: object) -> bool:
    return isinstance(value, frozenset) and len(value) > 0 and all(isinstance(each, LinkPath) for each in value)


_LABEL = "lower case letters, digits and hyphens, at most 63, a letter first"
_FIELDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "name": (_matches(NAME), _LABEL),
    "dialect": (_matches(NAME), _LABEL),
    "plural": (_matches(NAME), _LABEL),
    "cni_types": (_many(frozenset, _CNI_TYPE), "a frozenset of names of CNI plugins, at least one"),
    "rank": (lambda value: value is None or isinstance(value, int), "an integer, or None"),
    "paths": (_are_paths, "a frozenset of mnp_core.model.LinkPath, at least one"),
    "refuses": (_are_features, "a frozenset of mnp_core.model.Feature"),
    "group": (_matches(_GROUP), "an API group such as 'k8s.cni.cncf.io'"),
    "versions": (_many(tuple, _VERSION), "a tuple of versions such as 'v1beta1', at least one"),
    "kind": (_matches(_KIND), "a kind such as 'MultiNetworkPolicy'"),
    "pod_label": (lambda value: value == "" or _matches(_POD_LABEL)(value), "the name of a label, or empty"),
    "factory": (callable, "something that can be called"),
    "parse": (callable, "something that can be called"),
}


def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def check_descriptor(descriptor: object, expected: type[D]) -> D:
    """Check the type of a descriptor and of each of its fields.

    Raises:
        InvalidPluginError: With the field, its value and the valid ones.
    """
    if not isinstance(descriptor, expected) or type(descriptor) not in NOUNS:
        raise InvalidPluginError(f"it offers {descriptor!r:.80}, which is not a {expected.__name__}")
    noun = NOUNS[expected]
    for field in _fields(expected):
        accepts, requirement = _FIELDS[field]
        if not accepts(value := getattr(descriptor, field)):
            raise InvalidPluginError(f"{noun} {descriptor.name!r}: {field} is {value!r:.80}, but must be {requirement}")
    if isinstance(descriptor, PolicyKindSpec) and descriptor.kind in _OURS:
        raise InvalidPluginError(f"{noun} {descriptor.name!r}: {descriptor.kind} is read by the core itself")
    return descriptor
