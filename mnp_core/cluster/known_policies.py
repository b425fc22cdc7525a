"""The policies that this node knows, by token, and the fingerprint of all of them."""

from collections.abc import Mapping

from mnp_core.model import ObjectRef
from mnp_core.model.change import MODULUS


class KnownPolicies:
    """Tokens of policies; empty if the source makes none."""

    def __init__(self) -> None:
        self._tokens: dict[ObjectRef, int] = {}
        self.fingerprint = 0

    def put(self, ref: ObjectRef, token: int) -> None:
        """Replace the token of a policy; 0 removes it."""
        before = self._tokens.pop(ref, 0)
        if token:
            self._tokens[ref] = token
        self.fingerprint = (self.fingerprint - before + token) % MODULUS

    def tokens(self) -> Mapping[ObjectRef, int]:
        """A snapshot."""
        return dict(self._tokens)
