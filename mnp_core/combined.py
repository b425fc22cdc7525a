"""Several backends in one sandbox, as one: each enforces where its reach is.

The main one has every interface, by name. Beside it, another has those whose packets travel where the main one does not
reach (`mnp_core.model.LinkPath`). So an interface whose path changes is in the hands of the main one before and after,
and nothing opens when another joins or leaves. Each interface changes in one atomic step (S60): no interface of one
sandbox depends on another's.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from attrs import evolve, field

from mnp_core.api import (
    ConnectionTracker,
    EvictionCounter,
    PathApplier,
    PolicyRenderer,
    QuickGeneration,
    RuleApplier,
    RuleVerifier,
    SandboxDeltaRenderer,
    Support,
    TwoPhaseApplier,
)
from mnp_core.classes import frozen
from mnp_core.errors import ApplyError
from mnp_core.model import Delta, GroupDelta, Installed, LinkPath, RuleCounter, Ruleset, SandboxPolicy

_GENERATION_BITS = 64


@frozen(kw_only=True)
class CombinedRuleset(Ruleset):
    """The rulesets of all parts, in their order."""

    parts: tuple[Ruleset, ...] = field(repr=False)


@frozen(kw_only=True)
class CombinedDelta(Delta):
    """The deltas of all parts, in their order."""

    parts: tuple[Delta, ...] = field(repr=False)


@frozen(kw_only=True)
class Part:
    """A backend's renderer and applier, and its share of the interfaces.

    Attributes:
        name: The applier's.
        renderer: Of its dialect.
        applier: Of its dialect.
        paths: Of the interfaces that it is there for.
        is_main: Whether it has every interface: those of other paths by name.
    """

    name: str
    renderer: PolicyRenderer
    applier: RuleApplier
    paths: frozenset[LinkPath]
    is_main: bool = False

    def share(self, policy: SandboxPolicy) -> SandboxPolicy:
        """Its interfaces. It gets all groups, so that a change of membership is good for every sandbox."""
        mine = tuple(each for each in policy.interfaces if each.path in self.paths)
        if self.is_main:
            others = (each for each in policy.interfaces if each.path not in self.paths)
            mine += tuple(evolve(each, path=LinkPath.IP, carrier="") for each in others)
        return evolve(policy, interfaces=mine)


@frozen
class CombinedRenderer:
    """An `mnp_core.api.PolicyRenderer` for several dialects."""

    parts: tuple[Part, ...]

    def render(self, policy: SandboxPolicy) -> CombinedRuleset:
        """Write the share of each part; errors as those of the parts."""
        rulesets = tuple(part.renderer.render(part.share(policy)) for part in self.parts)
        return CombinedRuleset(
            dialect=_joined(ruleset.dialect for ruleset in rulesets),
            text="\n".join(ruleset.text for ruleset in rulesets),
            sets=self._sets(ruleset.sets for ruleset in rulesets),
            digest=_digest(ruleset.digest for ruleset in rulesets),
            parts=rulesets,
        )

    def render_delta(self, delta: GroupDelta) -> CombinedDelta:
        """Write a change of membership for each part."""
        return self._delta(part.renderer.render_delta(delta) for part in self.parts)

    def render_sandbox_delta(self, deltas: Sequence[GroupDelta], policy: SandboxPolicy) -> CombinedDelta | None:
        """Write the changes of sets that belong to no single group, for the parts that have such."""
        found = [_own_delta(part.renderer, deltas, part.share(policy)) for part in self.parts]
        if not any(each.text for each in found):
            return None
        return self._delta(found)

    def _delta(self, deltas: Iterable[Delta]) -> CombinedDelta:
        parts = tuple(deltas)
        return CombinedDelta(
            dialect=_joined(each.dialect for each in parts),
            text="\n".join(each.text for each in parts),
            added=self._sets(each.added for each in parts),
            removed=self._sets(each.removed for each in parts),
            parts=parts,
        )

    def _sets(self, found: Iterable[Mapping[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
        return _named_apart(zip((part.name for part in self.parts), found, strict=True))


@frozen
class CombinedApplier:
    """An `mnp_core.api.RuleApplier` of several; it announces no commits, so the agent asks for the generation."""

    parts: tuple[Part, ...]

    def probe(self) -> Support:
        """The parts have been probed."""
        return Support(usable=True, detail=_joined(part.name for part in self.parts))

    def apply(self, ruleset: Ruleset) -> None:
        """Replace the rules of each part."""
        self.commit(ruleset)()

    def commit(self, ruleset: Ruleset) -> Callable[[], None]:
        """Replace the rules of each part; the returned function does what some have left for later.

        One that was alone before gives up interfaces, and does so only when the other has them in force: the main one
        is the last, unless it joins those that are there. If one is refused, the rest stays as it was.
        """
        rests = [_commit(part.applier, each) for part, each in self._in_turn(ruleset)]

        def finish() -> None:
            for rest in rests:
                rest()

        return finish

    def update(self, delta: Delta) -> bool | None:
        """Change membership in each part."""
        if not isinstance(delta, CombinedDelta) or len(delta.parts) != len(self.parts):
            raise ApplyError("the change was not rendered for these backends: render it again")
        done = [part.applier.update(each) for part, each in zip(self.parts, delta.parts, strict=True) if each.text]
        return all(each is not False for each in done)

    def is_in_force(self, ruleset: Ruleset) -> bool:
        """Whether each part has exactly its ruleset."""
        return all(_is_in_force(part.applier, each) for part, each in self._zipped(ruleset))

    def installed(self) -> Installed | None:
        """The rules of all parts; None if no part has any."""
        found = [part.applier.installed() for part in self.parts]
        if all(each is None for each in found):
            return None
        return Installed(
            digest=_digest(each.digest if each is not None else "" for each in found),
            sets=_named_apart(
                (part.name, each.sets if each is not None else {}) for part, each in zip(self.parts, found, strict=True)
            ),
            incomplete=any(each is not None and each.incomplete for each in found),
        )

    def generation(self) -> int:
        """The generations of all parts in one number."""
        return _packed(part.applier.generation() for part in self.parts)

    def quick_generation(self) -> int:
        """The same, from the cheaper query where a part has one."""
        return _packed(_quick(part.applier) for part in self.parts)

    def counters(self) -> Sequence[RuleCounter]:
        """The counters of all parts."""
        return [counter for part in self.parts for counter in part.applier.counters()]

    def remove(self) -> None:
        """Remove the rules of each part."""
        for part in self.parts:
            part.applier.remove()

    def forget_connections(self) -> None:
        """Forget connections where a part tracks them itself."""
        for part in self.parts:
            if isinstance(part.applier, ConnectionTracker):
                part.applier.forget_connections()

    def evictions(self) -> Mapping[str, int]:
        """The sums over the parts that track connections themselves."""
        counts = (part.applier.evictions() for part in self.parts if isinstance(part.applier, EvictionCounter))
        return dict(sum(map(Counter, counts), Counter[str]()))

    def obstacle(self, _: LinkPath) -> str:
        """None: the parts are chosen by it."""
        return ""

    def installed_paths(self) -> frozenset[LinkPath]:
        """The paths of all parts."""
        found = (part.applier.installed_paths() for part in self.parts if isinstance(part.applier, PathApplier))
        return frozenset().union(*found)

    def _in_turn(self, ruleset: Ruleset) -> Iterator[tuple[Part, Ruleset]]:
        """The main part and its ruleset come first only where it has nothing in force."""
        zipped = self._zipped(ruleset)
        joins = {part.name: part.is_main and part.applier.installed() is None for part in self.parts}
        yield from sorted(zipped, key=lambda each: (not joins[each[0].name], each[0].is_main))

    def _zipped(self, ruleset: Ruleset) -> Sequence[tuple[Part, Ruleset]]:
        if not isinstance(ruleset, CombinedRuleset) or len(ruleset.parts) != len(self.parts):
            raise ApplyError("the rules were not rendered for these backends: render them again")
        return list(zip(self.parts, ruleset.parts, strict=True))


def _own_delta(renderer: PolicyRenderer, deltas: Sequence[GroupDelta], policy: SandboxPolicy) -> Delta:
    """A part without such sets has nothing to write."""
    found = renderer.render_sandbox_delta(deltas, policy) if isinstance(renderer, SandboxDeltaRenderer) else None
    return found or Delta(dialect="", text="")


def _commit(applier: RuleApplier, ruleset: Ruleset) -> Callable[[], None]:
    if isinstance(applier, TwoPhaseApplier):
        return applier.commit(ruleset)
    applier.apply(ruleset)
    return lambda: None


def _is_in_force(applier: RuleApplier, ruleset: Ruleset) -> bool:
    if isinstance(applier, RuleVerifier):
        return applier.is_in_force(ruleset)
    installed = applier.installed()
    return installed is not None and installed.matches(ruleset)


def _quick(applier: RuleApplier) -> int:
    return applier.quick_generation() if isinstance(applier, QuickGeneration) else applier.generation()


def _packed(numbers: Iterable[int]) -> int:
    packed = 0
    for number in numbers:
        packed = packed << _GENERATION_BITS | number
    return packed


def _digest(digests: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _joined(names: Iterable[str]) -> str:
    return "+".join(names)


def _named_apart(found: Iterable[tuple[str, Mapping[str, frozenset[str]]]]) -> dict[str, frozenset[str]]:
    return {f"{name}/{each}": members for name, sets in found for each, members in sets.items()}
