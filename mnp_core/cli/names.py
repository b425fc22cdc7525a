"""Names of objects as people type them."""

from collections.abc import Collection

from mnp_core.errors import InputError
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.model.kinds import BUILT_IN_KINDS
from mnp_core.model.parsing import DEFAULT_NAMESPACE

_SHORT_KINDS = {kind.short: kind.kind for kind in BUILT_IN_KINDS}


def parse_object_name(text: str, home: str | None = None) -> ObjectName:
    """Read ``namespace/name``; a bare name is in the namespace `home`, ``default`` if that is None.

    Raises:
        InputError: It is something else.
    """
    namespace, slash, name = text.rpartition("/")
    if not name or "/" in namespace or (slash and not namespace):
        raise InputError(f"{text[:80]!r} is not a name: write namespace/name")
    return ObjectName(namespace or home or DEFAULT_NAMESPACE, name)


def parse_ref(text: str, kinds: Collection[str] | None = None, home: str | None = None) -> ObjectRef:
    """Parse ``kind/namespace/name``, or ``kind/name`` for an object in `home` or without a namespace.

    Kinds are taken in any case, in singular or plural, and as ``mnp``, ``nad``, ``ns`` and ``po``.

    Args:
        text: The argument.
        kinds: Further known kinds; None takes any kind as it is.
        home: See `parse_object_name`.

    Raises:
        InputError: The form is wrong, or the kind is unknown.
    """
    kind, slash, rest = text.partition("/")
    if not kind or not slash:
        raise InputError(f"{text[:80]!r} is no object: write kind/namespace/name, for example pod/shop/web")
    name = parse_object_name(rest, home)
    full = _kind(kind, kinds)
    return ObjectRef(full, ObjectName("", name.name) if full == "Namespace" else name)


def _kind(text: str, others: Collection[str] | None) -> str:
    known = {*_SHORT_KINDS.values(), *(others or ())}
    plain = text.lower()
    matching = (kind for kind in sorted(known) if plain in _spellings(kind.lower()))
    found = _SHORT_KINDS.get(plain) or next(matching, None)
    if found is None and others is not None:
        names = ", ".join([*sorted(known), *sorted(_SHORT_KINDS)])
        raise InputError(f"{text[:80]!r} is no kind of object here: {names} are")
    return found or text


def _spellings(kind: str) -> set[str]:
    """Singular and plural."""
    return {kind, f"{kind}s", f"{kind[:-1]}ies"}
