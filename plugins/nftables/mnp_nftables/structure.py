"""A ruleset without its text and messages: what is kept of it to tell later what another one has in common with it."""

from collections.abc import Mapping

from attrs import evolve, field, frozen

from mnp_core.model import CustomRules


@frozen(kw_only=True, eq=False)
class Structure:
    """A table.

    Attributes:
        chains: Name to a digest of its rules; custom chains apart.
        sets: Name to all that the kernel knows of the set but its members.
        custom: Custom rules.
        frames: The table for bridged interfaces; None without one.
    """

    chains: Mapping[str, bytes]
    sets: Mapping[str, bytes]
    custom: tuple[CustomRules, ...] = field(factory=tuple)
    frames: "Structure | None" = None

    def with_frames(self, frames: "Structure") -> "Structure":
        """The structure of both tables."""
        return evolve(self, frames=frames)
