"""The annotation in which a pod selects its secondary networks."""

import json
import re
from dataclasses import dataclass, field

from .failure import Failure

NETWORKS = "k8s.v1.cni.cncf.io/networks"
_SHORT = re.compile(r"(?:(?P<namespace>[a-z0-9.-]+)/)?(?P<name>[a-z0-9.-]+)(?:@(?P<interface>[^\s/:@]{1,15}))?")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """One element of the annotation."""

    namespace: str
    name: str
    interface: str
    ips: list = field(default_factory=list)
    mac: str = ""
    cni_args: dict = field(default_factory=dict)


def parse(annotation, namespace):
    """The selections of a pod in a namespace, in order; interfaces without a name are net1, net2, ... by position."""
    text = annotation.strip()
    if not text:
        return []
    elements = _from_json(text) if text.startswith("[") else [_from_short(part) for part in text.split(",")]
    return [_selection(element, namespace, position) for position, element in enumerate(elements, 1)]


def _from_json(text):
    try:
        elements = json.loads(text)
    except ValueError as error:
        raise Failure(f"annotation {NETWORKS}: no JSON: {error}") from error
    if not all(isinstance(element, dict) and element.get("name") for element in elements):
        raise Failure(f"annotation {NETWORKS}: each element has to be an object with a name")
    return elements


def _from_short(part):
    match = _SHORT.fullmatch(part.strip())
    if match is None:
        raise Failure(f"annotation {NETWORKS}: {part!r} is not namespace/name@interface")
    return match.groupdict()


def _selection(element, namespace, position):
    return Selection(
        namespace=element.get("namespace") or namespace,
        name=element["name"],
        interface=element.get("interface") or f"net{position}",
        ips=element.get("ips") or [],
        mac=element.get("mac") or "",
        cni_args=element.get("cni-args") or {},
    )
