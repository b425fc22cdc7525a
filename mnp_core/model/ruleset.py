"""Rulesets and deltas, from renderer to applier: text in a dialect, canonical and printable."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from attrs import evolve, field

from mnp_core.classes import frozen
from mnp_core.model.address import Family


@frozen(kw_only=True)
class Ruleset:
    """Everything of ours in one sandbox, as one transaction that replaces everything of ours there.

    Attributes:
        dialect: The language, for example ``nftables``. Renderer and applier of one dialect understand each other.
        text: The transaction, complete and canonical: `mnp render` prints it, the log shows it, the kernel runs it.
        sets: Membership of every named set in `text`: set name to elements as the dialect writes them. Kept beside
            the text so that membership found in a kernel can be compared without parsing rules.
        digest: Over everything in `text` except membership; it stands in `text` too and so in the kernel, where a
            fresh process finds it (S62).
        structure: What a `DifferenceApplier` has to know of it besides `sets`, to write only what differs later: small,
            as it is kept for each pod. None for other appliers.
    """

    dialect: str
    text: str
    sets: Mapping[str, frozenset[str]] = field(factory=dict)
    digest: str
    structure: object = field(default=None, repr=False, eq=False)


@frozen(kw_only=True)
class Delta:
    """A change of one group's membership, valid in every sandbox whose ruleset uses the group.

    Attributes:
        dialect: The language.
        text: The transaction; empty if nothing changes for this dialect.
        added: Set name to elements that come: the same as in the text, for appliers that have a shorter way.
        removed: Set name to elements that go.
    """

    dialect: str
    text: str
    added: Mapping[str, frozenset[str]] = field(factory=dict)
    removed: Mapping[str, frozenset[str]] = field(factory=dict)


@frozen(kw_only=True)
class KnownRules:
    """The rules in force in a sandbox, as far as a `DifferenceApplier` has to know them.

    Attributes:
        structure: Of the ruleset.
        sets: Membership, as it is now.
    """

    structure: object
    sets: Mapping[str, frozenset[str]]

    def after(self, deltas: Iterable[Delta]) -> "KnownRules":
        """The rules after changes of membership."""
        sets, none = dict(self.sets), frozenset[str]()
        for delta in deltas:
            for name in {*delta.added, *delta.removed}:
                added, removed = delta.added.get(name, none), delta.removed.get(name, none)
                sets[name] = _changed(sets.get(name, none), added, removed)
        return evolve(self, sets=sets)


@lru_cache(maxsize=4)
def _changed(members: frozenset[str], added: frozenset[str], removed: frozenset[str]) -> frozenset[str]:
    """One change comes to many pods one after the other: they share the new members, as they did the old ones."""
    return (members | added) - removed


@frozen(kw_only=True)
class Installed:
    """Our rules in force in a sandbox, read from the kernel.

    Attributes:
        digest: As in `Ruleset`; different, or empty, if the rules were changed (S63).
        sets: Membership as it really is.
        incomplete: Whether the rules are as stamped, but do not hold on every interface yet: one appeared later, in a
            filter that is bound to devices. The ruleset is applied again, which is no drift.
    """

    digest: str
    sets: Mapping[str, frozenset[str]]
    incomplete: bool = False

    def matches(self, ruleset: Ruleset) -> bool:
        """Say whether exactly this ruleset is in force, so that nothing needs to be written (S62)."""
        return self.is_of(ruleset) and not self.incomplete

    def is_of(self, ruleset: Ruleset) -> bool:
        """Say whether rules and membership are those of the ruleset, on whichever interfaces."""
        return self.digest == ruleset.digest and dict(self.sets) == dict(ruleset.sets)


@frozen(kw_only=True)
class RuleCounter:
    """Packets and bytes that one rule of ours has seen.

    Attributes:
        interface: Name in the sandbox; empty for a rule about all of its interfaces together.
        direction: ``Ingress`` or ``Egress``.
        label: Origin of the rule: the text of its `Origin`, or ``established``, ``denied`` and the like.
    """

    interface: str
    direction: str
    label: str
    packets: int
    bytes: int


@frozen(kw_only=True)
class RulePlace:
    """A rule of ours by its place in the kernel, so that it has a name in the kernel's trace of a packet.

    Attributes:
        family: Of the table's packets; None for both.
        bridged: Whether the table is of family ``bridge``.
        table: Name of the table.
        chain: Name of the chain.
        handle: The kernel's number of the rule in nf_tables; 0 in a legacy table.
        position: Of the rule in its chain, from 1.
        interface: Name in the sandbox; empty for a rule that chooses the interface.
        direction: ``Ingress`` or ``Egress``; empty likewise.
        label: As in `RuleCounter`; empty for a rule that decides nothing.
    """

    family: Family | None = None
    bridged: bool = False
    table: str
    chain: str
    handle: int = 0
    position: int = 0
    interface: str = ""
    direction: str = ""
    label: str = ""
