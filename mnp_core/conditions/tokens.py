"""Tokens: a policy with its contents as 64 bits, equal on every node and in the aggregator.

``metadata.generation`` does not count changes of the annotation policy-for, and ``resourceVersion`` counts those of the
status, too: a summary by either would miss a change, or be written anew after each status.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mnp_core.model import ObjectName
from mnp_core.model.parsing.scope import POLICY_FOR

_OUR_ANNOTATIONS: Final = "mnp.k8s.cni.cncf.io/"
_BYTES: Final = 8


class _Metadata(msgspec.Struct):
    annotations: dict[str, Any] | None = None


class _Policy(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: Any = None


_policy = msgspec.json.Decoder(_Policy)  # at import: two threads that decode to a new type at once crash msgspec
_encoder = msgspec.json.Encoder(order="sorted")


def policy_token(name: ObjectName, raw: bytes | msgspec.Raw) -> int:
    """The token of a policy; that of its bytes if it cannot be decoded. Never 0.

    Args:
        name: Namespace and name.
        raw: The object in JSON.
    """
    try:
        found = _policy.decode(raw)
        content = _encoder.encode([found.spec, _meaningful(found.metadata.annotations or {})])
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        content = bytes(raw)
    digest = hashlib.blake2b(f"{name}\0".encode() + content, digest_size=_BYTES).digest()
    return int.from_bytes(digest) or 1


def _meaningful(annotations: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in annotations.items() if key == POLICY_FOR or key.startswith(_OUR_ANNOTATIONS)}


def written(token: int) -> str:
    """Eleven characters of base64 (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(token.to_bytes(_BYTES)).decode().rstrip("=")


def read(text: str) -> int:
    """The token of such a text.

    Raises:
        ValueError: It is none.
    """
    found = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    if len(found) != _BYTES:
        raise ValueError(text)
    return int.from_bytes(found)
