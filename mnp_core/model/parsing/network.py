"""Network attachment definitions (k8s.cni.cncf.io/v1): of which kind their attachments are (S4)."""

from collections.abc import Mapping

from mnp_core.model.network import Network
from mnp_core.model.parsing.field import Field, accepted
from mnp_core.model.parsing.jsontext import decode_json
from mnp_core.model.parsing.metadata import open_object, parse_ref
from mnp_core.model.parsing.names import is_cni_type
from mnp_core.model.report import Reason, Report

_EFFECT = "the kind of attachment is not known by it"
_REMEDY = 'Write a CNI configuration as JSON, such as {"type": "macvlan", "master": "eth1"}'


def parse_network(raw: Mapping[str, object]) -> tuple[Network, tuple[Report, ...]]:
    """Read a network attachment definition.

    Raises:
        InputError: It has no usable name.
    """
    ref = parse_ref(raw, "NetworkAttachmentDefinition")
    root = open_object(raw, ref)
    return Network(name=ref.name, cni_types=_cni_types(root.child("spec").child("config"))), root.findings.reports()


def _cni_types(config: Field) -> tuple[str, ...]:
    if config.is_missing or config.value == "":
        problem = "there is no configuration, it may lie in a file on the nodes: the kind of attachment is not known"
        config.report(Reason.UNKNOWN_NETWORK, problem, "Put the configuration into the definition")
        return ()
    found = accepted(_plugins, config, _EFFECT) or []
    types = (accepted(_cni_type, plugin.child("type"), _EFFECT) for plugin in found)
    return tuple(cni_type for cni_type in types if cni_type is not None)


def _plugins(config: Field) -> list[Field]:
    """The plugins of a list of configurations, or the only one."""
    decoded = _decoded(config)
    plugins = decoded.child("plugins")
    if plugins.is_missing:
        return [decoded]
    elements = plugins.elements()
    if not elements:
        raise plugins.refusal(Reason.MALFORMED, "a list of plugins is needed", _REMEDY)
    return elements


def _decoded(config: Field) -> Field:
    if not isinstance(config.value, str):
        raise config.refusal(Reason.MALFORMED, f"{config} is not text that holds JSON", _REMEDY)
    try:
        decoded = Field(decode_json(config.value), config.path, config.findings)
    except ValueError as error:
        raise config.refusal(Reason.MALFORMED, f"it is not JSON ({error})", _REMEDY) from None
    if not decoded.is_mapping:
        raise decoded.refusal(Reason.MALFORMED, f"{decoded} is not a CNI configuration", _REMEDY)
    return decoded


def _cni_type(field: Field) -> str:
    if isinstance(field.value, str) and is_cni_type(field.value):
        return field.value
    problem = "there is no type" if field.is_missing else f"{field} is not the name of a CNI plugin"
    raise field.refusal(Reason.MALFORMED, problem, _REMEDY)
