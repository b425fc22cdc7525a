"""Stand-ins that behave: a kernel in memory that refuses, forgets and is tampered with on demand.

They keep the contracts of `mnp_core.api`, so a test against them holds for real backends as far as the
contract goes; only packets show the wire.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeVar, cast

from attrs import AttrsInstance, evolve, field, fields, has

from mnp_core.api import Sandbox, Support
from mnp_core.classes import define
from mnp_core.errors import ApplyError, SandboxNotFoundError
from mnp_core.model import (
    BlocksDelta,
    CustomRules,
    Delta,
    Endpoint,
    Group,
    GroupDelta,
    Installed,
    ObjectName,
    Pod,
    RuleCounter,
    Ruleset,
    SandboxPolicy,
)
from mnp_core.testing.lifecycle import with_blocks

T = TypeVar("T")


@define
class FakeNamespace:
    """The rules in force in one sandbox, and their history."""

    ruleset: Ruleset | None = None
    generation: int = 0
    writes: list[str] = field(factory=list)
    refuse: bool = False

    def commit(self, ruleset: Ruleset | None, what: str) -> None:
        """Put a new state in force."""
        if self.refuse:
            raise ApplyError("refused: this fake refuses on purpose")
        self.ruleset = ruleset
        self.generation += 1
        self.writes.append(what)


class FakeKernel:
    """Sandboxes in memory; serves as the agent's pool and its locator too."""

    def __init__(self) -> None:
        """Start without sandboxes."""
        self.namespaces: dict[ObjectName, FakeNamespace] = {}
        self._inside: FakeNamespace | None = None

    def add(self, pod: ObjectName) -> FakeNamespace:
        """Make a sandbox for a pod."""
        return self.namespaces.setdefault(pod, FakeNamespace())

    def locate(self, pod: Pod) -> Sandbox:
        """Find a pod's sandbox, as a `SandboxLocator` does."""
        if pod.name not in self.namespaces:
            raise SandboxNotFoundError(f"pod {pod.name} has no sandbox")
        return Sandbox(path=str(pod.name), device=0, inode=id(self.namespaces[pod.name]))

    def submit(self, sandbox: Sandbox | None, work: Callable[[], T]) -> "Future[T]":
        """Run work inside a sandbox, or outside of any, at once, as a pool with nothing else to do would."""
        future: Future[T] = Future()
        if sandbox is not None and not self.is_there(sandbox):
            future.set_exception(SandboxNotFoundError(f"{sandbox.path}: the sandbox has gone"))
            return future
        self._inside = self.in_sandbox(sandbox) if sandbox is not None else None
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - passed to the waiting caller, as every executor does
            future.set_exception(error)
        finally:
            self._inside = None
        return future

    def is_there(self, sandbox: Sandbox) -> bool:
        """Whether that sandbox has not been replaced by another one of its name."""
        namespace, _, name = sandbox.path.partition("/")
        return id(self.namespaces.get(ObjectName(namespace, name))) == sandbox.inode

    def in_sandbox(self, sandbox: Sandbox) -> FakeNamespace:
        """The state of a sandbox, as a socket that was opened in it reaches it."""
        namespace, _, name = sandbox.path.partition("/")
        return self.namespaces[ObjectName(namespace, name)]

    @property
    def inside(self) -> FakeNamespace:
        """The sandbox that work is running in now.

        Raises:
            AssertionError: Something touched rules outside of a sandbox.
        """
        if self._inside is None:
            raise AssertionError("rules were touched outside of a sandbox")
        return self._inside


class FakeRenderer:
    """Dialect ``fake``: the policy's own representation, sets as text."""

    def render(self, policy: SandboxPolicy) -> Ruleset:
        """Write a policy down."""
        lists = policy.block_lists
        shape = _canonical(evolve(with_blocks(policy, dict.fromkeys(lists, ())), pod=ObjectName("", "any"), groups={}))
        sets = {identity: _elements(group) for identity, group in policy.groups.items()}
        sets |= {identity: frozenset(map(str, blocks)) for identity, blocks in lists.items()}
        return Ruleset(dialect="fake", text=_text(shape, sets), sets=sets, digest=shape)

    def render_delta(self, delta: GroupDelta) -> Delta:
        """Write a change of membership down."""
        return _delta(delta.id, _elements(delta.before), _elements(delta.after))

    def render_blocks_delta(self, delta: BlocksDelta) -> Delta:
        """Write a change of blocks down; there are no other forms of them."""
        return _delta(delta.id, frozenset(map(str, delta.before)), frozenset(map(str, delta.after)))


def _delta(name: str, before: frozenset[str], after: frozenset[str]) -> Delta:
    added, removed = after - before, before - after
    text = f"{name} +{sorted(added)} -{sorted(removed)}" if before != after else ""
    return Delta(dialect="fake", text=text, added={name: added}, removed={name: removed})


def _text(shape: str, sets: Mapping[str, frozenset[str]]) -> str:
    return "\n".join([shape, *(f"{name} {sorted(elements)}" for name, elements in sorted(sets.items()))])


def _canonical(value: object) -> str:
    """A representation that does not depend on the order of rules, peers and ports."""
    if isinstance(value, tuple):
        return f"({', '.join(sorted(map(_canonical, value)))})"
    if has(type(value)) and not isinstance(value, CustomRules):  # lines of those have an order
        parts = (
            f"{each.name}={_canonical(getattr(value, each.name))}"
            for each in fields(cast("type[AttrsInstance]", type(value)))
        )
        return f"{type(value).__name__}({', '.join(parts)})"
    return repr(value)


def _elements(group: Group) -> frozenset[str]:
    return frozenset(_element(member) for member in group.members)


def _element(member: object) -> str:
    if isinstance(member, Endpoint):
        return f"{member.address} . {member.protocol.name} . {member.port}"
    return str(member)


class FakeApplier:
    """Applies to a `FakeKernel`."""

    def __init__(self, kernel: FakeKernel) -> None:
        """Apply to this kernel."""
        self._kernel = kernel

    def probe(self) -> Support:
        """Always usable."""
        return Support(usable=True, detail="a kernel in memory")

    def apply(self, ruleset: Ruleset) -> None:
        """Replace the rules; refused if the text is not that of the digest and the sets."""
        if ruleset.text != _text(ruleset.digest, ruleset.sets):
            raise ApplyError("refused: the text is not what a FakeRenderer writes")
        self._kernel.inside.commit(ruleset, "apply")

    def update(self, delta: Delta) -> None:
        """Change membership; refused if a set is missing or lacks a member to be removed."""
        namespace = self._kernel.inside
        if namespace.ruleset is None:
            raise ApplyError("refused: nothing is in force")
        sets = _changed(namespace.ruleset.sets, delta)
        namespace.commit(evolve(namespace.ruleset, sets=sets), "update")

    def installed(self) -> Installed | None:
        """The rules in force."""
        ruleset = self._kernel.inside.ruleset
        return Installed(digest=ruleset.digest, sets=ruleset.sets) if ruleset is not None else None

    def generation(self) -> int:
        """Counts commits, those of tests that tamper included."""
        return self._kernel.inside.generation

    def counters(self) -> tuple[RuleCounter, ...]:
        """No packet ever passes here."""
        return ()

    def remove(self) -> None:
        """Take everything away."""
        if self._kernel.inside.ruleset is not None:
            self._kernel.inside.commit(None, "remove")


def _changed(sets: Mapping[str, frozenset[str]], delta: Delta) -> dict[str, frozenset[str]]:
    changed = dict(sets)
    for name in {*delta.added, *delta.removed}:
        if name not in changed:
            raise ApplyError(f"refused: there is no set {name}")
        if not delta.removed.get(name, frozenset()) <= changed[name]:
            raise ApplyError(f"refused: set {name} lacks a member to be removed")
        changed[name] = changed[name] - delta.removed.get(name, frozenset()) | delta.added.get(name, frozenset())
    return changed
