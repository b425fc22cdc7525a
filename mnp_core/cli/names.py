"""Names of objects as people type them."""

from mnp_core.errors import InputError
from mnp_core.model import ObjectName, ObjectRef

_SHORT_KINDS = {
    "mnp": "MultiNetworkPolicy",
    "nad": "NetworkAttachmentDefinition",
    "ns": "Namespace",
    "po": "Pod",
}


def parse_object_name(text: str) -> ObjectName:
    """Read ``namespace/name``; a bare name is in the namespace ``default``.

    Raises:
        InputError: It is something else.
    """
    namespace, slash, name = text.rpartition("/")
    if not name or "/" in namespace or (slash and not namespace):
        raise InputError(f"{text[:80]!r} is not a name: write namespace/name")
    return ObjectName(namespace or "default", name)


def parse_ref(text: str) -> ObjectRef:
    """Read ``kind/namespace/name``, ``kind/name`` for what is in ``default`` or has no namespace.

    Kinds are taken in any case, in singular or plural, and as ``mnp``, ``nad``, ``ns`` and ``po``.

    Raises:
        InputError: It is something else.
    """
    kind, slash, rest = text.partition("/")
    if not kind or not slash:
        raise InputError(f"{text[:80]!r} is no object: write kind/namespace/name, for example pod/shop/web")
    name = parse_object_name(rest)
    full = _kind(kind)
    return ObjectRef(full, ObjectName("", name.name) if full == "Namespace" else name)


def _kind(text: str) -> str:
    known = _SHORT_KINDS.values()
    plain = text.lower()
    matching = (kind for kind in known if plain in {kind.lower(), f"{kind.lower()}s", f"{kind.lower()[:-1]}ies"})
    return _SHORT_KINDS.get(plain) or next(matching, text)
