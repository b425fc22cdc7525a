"""A cluster that lives through states: from one list of manifests to the next, as changes of objects."""

from collections.abc import Iterable
from functools import cache

from mnp_core.model import Change
from mnp_core.plugins import load_plugins
from mnp_core.sources.decode import Decoder

Manifest = dict


@cache
def make_decoder() -> Decoder:
    """Reads objects as an installation with all plugins of this repository does."""
    return Decoder([*load_plugins().policy_kinds.values()])


class Living:
    """Remembers the manifests of the present state, and derives the changes to another."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._present: dict[object, Manifest] = {}

    def become(self, objects: Iterable[Manifest]) -> list[Change]:
        """The changes, deletions first; an object that stays as it is makes none."""
        wanted = {self._decoder.ref(manifest): manifest for manifest in objects}
        changes = [Change(ref=ref, object=None) for ref in self._present if ref not in wanted]
        for ref, manifest in wanted.items():
            if self._present.get(ref) != manifest:
                changes.append(self._decoder.decode(manifest))
        self._present = wanted
        return changes
