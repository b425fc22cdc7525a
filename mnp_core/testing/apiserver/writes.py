"""Writes to served resources: create, merge patch with a precondition, status, delete."""

import copy
from typing import Any, Final

from mnp_core.classes import frozen
from mnp_core.testing.apiserver.store import Object, ServedResource, Store

_NAMESPACED: Final = 3  # parts of namespaces/NAMESPACE/PLURAL


@frozen
class Target:
    """The object of a request.

    Attributes:
        resource: Its resource.
        namespace: Empty for cluster-scoped ones.
        name: Empty for the collection.
        subresource: ``status``, or empty.
    """

    resource: ServedResource
    namespace: str
    name: str
    subresource: str

    @classmethod
    def find(cls, path: str, resources: dict[str, ServedResource]) -> "Target | None":
        """The target of a path; None if nothing serves it."""
        group_version, rest = _split(path)
        namespace = rest[1] if rest[:1] == ["namespaces"] and len(rest) >= _NAMESPACED else ""
        plural, name, subresource = ([*(rest[2:] if namespace else rest), "", "", ""])[:3]
        resource = resources.get(plural)
        group, _, version = group_version.rpartition("/")
        if resource is None or (resource.group, version in resource.versions) != (group, True):
            return None
        if subresource and not (subresource == "status" and resource.status):
            return None
        return cls(resource, namespace, name, subresource)


def write(store: Store, verb: str, target: Target, body: Object) -> tuple[int, Object | str]:
    """Apply a request; the HTTP status, and the object or the reason of the refusal."""
    plural, name = target.resource.plural, target.name or body.get("metadata", {}).get("name", "")
    with store.changed:
        found = store.get(plural, name, target.namespace)
        if verb == "POST":
            if found is not None:
                return 409, "AlreadyExists"
            body = {**body, "metadata": {**body["metadata"], "namespace": target.namespace}}
            return 201, store.put(plural, body)
        if found is None:
            return 404, "NotFound"
        if verb == "DELETE":
            store.delete(plural, name, target.namespace)
            return 200, found
        version = body.get("metadata", {}).get("resourceVersion")
        if version is not None and version != found["metadata"]["resourceVersion"]:
            return 409, "Conflict"
        patched = merged(found, body)
        if target.resource.status:  # one of the two cannot be written with the other
            kept = {"status"} if not target.subresource else patched.keys() - {"status"}
            patched = {key: value for key, value in patched.items() if key not in kept}
            patched |= {key: found[key] for key in kept if key in found}
        return 200, store.put(plural, patched)


def merged(target: Any, patch: Any) -> Any:
    """A merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _split(path: str) -> tuple[str, list[str]]:
    """Group and version, and the rest."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        return parts[1], parts[2:]
    return "/".join(parts[1:3]), parts[3:]
