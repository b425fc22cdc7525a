"""Rule application: ways into the kernel."""

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

from mnp_core.api.sandboxes import Sandbox
from mnp_core.classes import frozen
from mnp_core.model import CommonRules, Delta, Installed, KnownRules, LinkPath, RuleCounter, RulePlace, Ruleset


@frozen(kw_only=True)
class Support:
    """The result of a probe.

    Attributes:
        usable: Whether the applier works on this kernel.
        rank: Any integer. Among the usable ones the highest is taken; equal ranks at the top are an error that asks
            for a setting. Of this project's, nftables ranks at 100, iptables-nft at 50 and iptables-legacy at 30: above
            100 a backend is taken wherever it is usable, below 0 only where none of these is, and one that should
            never be taken without being named ranks at -100. Given also if it is not usable: offline commands choose
            a dialect by it.
        detail: The reason and remedy if not usable; else the findings.
    """

    usable: bool
    rank: int = 0
    detail: str = ""


class RuleApplier(Protocol):
    """The way of one dialect into the kernel. Every call but `probe` happens inside the sandbox.

    Safe to be called on many threads at once, each in another sandbox. All raise `mnp_core.errors.ApplyError` with
    the kernel's words if something is refused.
    """

    def probe(self) -> Support:
        """Say whether this machine can do it, without changing anything. Never raises."""

    def apply(self, ruleset: Ruleset) -> None:
        """Replace everything of ours by the ruleset, in one atomic step; refused means unchanged (S60)."""

    def update(self, delta: Delta) -> bool | None:
        """Change membership. Refused if the sets are not there, or not as expected.

        For each set the step is atomic; between sets it may stop half-way, if the filter has no transaction over all of
        them: then it raises `ApplyError`, `installed` returns the rules there, and the agent applies everything.

        Returns:
            False if the change is made, but a foreign commit may have come during it: the agent checks the rules then.
            True if none came. An applier that cannot detect foreign commits returns None, which counts as True.
        """

    def installed(self) -> Installed | None:
        """Read our rules in force; None if there are none."""

    def generation(self) -> int:
        """A number that differs whenever anything in this namespace's packet filter was changed (S63).

        Not negative. Where `Installed.incomplete` is possible, new interfaces change it too. Read after each write, and
        every second where the applier is neither a `RuleWatcher` nor has a `QuickGeneration`: cheap then.
        """

    def counters(self) -> Sequence[RuleCounter]:
        """Read the counters of our rules."""

    def remove(self) -> None:
        """Take everything of ours away and nothing else; nothing there is no error."""


@runtime_checkable
class TwoPhaseApplier(Protocol):
    """Optional two-phase apply: every pod gets its new rules before any pod's bookkeeping is done."""

    def commit(self, ruleset: Ruleset) -> Callable[[], None]:
        """Do the part of `RuleApplier.apply` that packets see, in one atomic step; refused means unchanged (S60).

        Returns:
            Does the rest. It is called once, in the same sandbox and after nothing else of ours, on whichever thread;
            or never, if another ruleset comes first or the process ends. Until then `RuleApplier.installed` must not
            give the digest, unless the rest would change nothing: a fresh process has to write again.

        Raises:
            ApplyError: As `RuleApplier.apply`; the returned callable raises it, too.
        """


@runtime_checkable
class DifferenceApplier(Protocol):
    """Optional writes of what differs alone, of an applier whose filter makes a commit depend on the generation.

    Both methods take what this process knows to be in force, and the generation since which it is. If the filter is in
    any other generation, its commit is refused, so nothing has to be read before, and a foreign commit is never
    taken for ours. Then, or where the rules do not allow it, they change nothing and return None: the agent goes the
    long way.

    They are called on any thread, outside of the sandbox, many pods one after the other: what they do in the thread's
    own network namespace would happen on the host. They reach the sandbox by a socket that was opened in it
    (`mnp_core.netfilter.kept.socket_in` has one since the first replacement), or return None.
    """

    def commit_difference(self, sandbox: Sandbox, before: KnownRules, ruleset: Ruleset, generation: int) -> int | None:
        """Make the ruleset out of the rules in force, leftovers included, in one atomic step (S60).

        Returns:
            The generation of the commit; None if nothing is known to have changed.

        Raises:
            ApplyError: The ruleset is not one of this backend.
        """

    def commit_members(
        self, sandbox: Sandbox, before: KnownRules, deltas: Sequence[Delta], generation: int
    ) -> int | None:
        """Make all changes of membership in one atomic step; otherwise as `commit_difference`."""


@runtime_checkable
class RuleVerifier(Protocol):
    """Optional comparison with the kernel: no trust in stamps that a process in the pod can rewrite (S63)."""

    def is_in_force(self, ruleset: Ruleset) -> bool:
        """Compare rules and membership in the sandbox with the ruleset itself, whichever process applied it.

        Without this method the digest and the sets of `RuleApplier.installed` decide.

        Raises:
            ApplyError: The sandbox cannot be read.
        """


@runtime_checkable
class RuleWatcher(Protocol):
    """Optional notification of commits: replaces polling for changed rules (S63)."""

    def watch(self) -> socket.socket:
        """Open a socket that can be read whenever anything in this namespace's packet filter has changed.

        Called inside the sandbox. The socket is non-blocking and owned by the caller; its messages are looked at by a
        `CommitAnnouncer` alone, so they may be lost where they come too fast. Without this method an applier's
        `generation` is asked every second.

        Raises:
            ApplyError: The kernel refuses.
        """


@runtime_checkable
class CommitAnnouncer(Protocol):
    """Optional ability of a `RuleWatcher` whose messages carry the generation: own commits cost the agent no check.

    There is a message for each commit, and each commit has a generation of its own.
    """

    def announced_generation(self, message: bytes) -> int | None:
        """The generation, as `RuleApplier.generation` gives it, that a message on the socket of `listen` announces.

        Called outside of the sandbox, on another thread. Never raises: a process in the pod may send any bytes.

        Returns:
            None if the message does not tell: then the rules are checked.
        """


@runtime_checkable
class CustomRuleChecker(Protocol):
    """Optional check of custom rules at start, so that an error in a file does not surface pod by pod."""

    def check(self, common: CommonRules) -> None:
        """Try the custom rules in an empty network namespace, which the applier makes for this and lets go of.

        Called once before anything starts, not inside a sandbox, and only if there are custom rules.

        Raises:
            InputError: A line is wrong: names the file (`CustomRules.source`), the line, and the kernel's or the tool's
                words for it.
            UnsupportedError: They cannot be tried: a right or a tool is missing.
        """


@runtime_checkable
class RuleLocator(Protocol):
    """Optional names for the rules in the kernel's trace of a packet (`mnp trace`): without it they have none."""

    def places(self) -> Sequence[RulePlace]:
        """Read where in the kernel our rules are. Called inside the sandbox.

        Raises:
            ApplyError: The sandbox cannot be read.
        """


@runtime_checkable
class QuickGeneration(Protocol):
    """Optional ability of an applier whose `generation` is costly and that cannot listen, e.g. reads whole maps."""

    def quick_generation(self) -> int:
        """A number that reflects most changes, cheap enough for every second: handles and identities, no contents.

        It changes only if `generation` does. The agent reads it every second, and `generation` every 30 seconds.
        """


@runtime_checkable
class ConnectionTracker(Protocol):
    """Optional ability of an applier that tracks connections itself, apart from the kernel's conntrack."""

    def forget_connections(self) -> None:
        """Forget every connection of this namespace: the next packet of each is judged as a first packet.

        Called before the first container of a pod starts, and by the kit between bursts of packets; never later (S42).
        """


@runtime_checkable
class EvictionCounter(Protocol):
    """Optional ability of a `ConnectionTracker` whose table can be full."""

    def evictions(self) -> Mapping[str, int]:
        """Connections of this namespace that lost their place in the table to others, since there are rules.

        Returns:
            By kind, a word or two of the backend's; ``established`` for those in use. A connection that is forgotten
            passes again if the rules allow its packets, and only then.

        Raises:
            ApplyError: They cannot be read.
        """


@runtime_checkable
class NodeState(Protocol):
    """Optional ability of an applier that keeps state outside of network namespaces: pins, files, a daemon.

    Both methods are called outside of any sandbox, one at a time, by the agent's own thread: they must return soon.
    Exceptions are logged, and a sweep follows a minute later.
    """

    def forget(self, sandbox: Sandbox) -> None:
        """Remove the state of a network namespace that is gone; no state is no error.

        A later namespace may have the same device and inode: the agent does not call this for one that is in use.
        """

    def sweep(self, known: Collection[Sandbox]) -> None:
        """Remove the state of all network namespaces but these.

        Called when a node's agent has started, with the sandboxes of all its pods and every other namespace of the
        machine that has a name or a process; and by `mnp cleanup`, with none.
        """


@runtime_checkable
class PathApplier(Protocol):
    """Optional reach beyond the IP layer, of an applier whose spec names more than one path.

    Its renderer gets interfaces of other paths (`InterfacePolicy.path`, `carrier`), and writes rules where their
    packets are. It gets all interfaces of a sandbox, or, beside another backend, only those of its own paths.
    """

    def obstacle(self, path: LinkPath) -> str:
        """Why this kernel cannot enforce on a path of the spec, with a remedy; empty if it can.

        Called once per path, outside of any sandbox, when the first such interface is found. Must return soon; may
        load a module of the kernel. Never raises.
        """

    def installed_paths(self) -> frozenset[LinkPath]:
        """The paths other than IP for which there are rules of ours in the sandbox, whichever process wrote them.

        Asked inside the sandbox before the first write there: a fresh process has not seen its interfaces yet, and must
        not take away rules that it does not know it needs (S62). So it must be cheap where there are none.
        """


@frozen(kw_only=True)
class RuleApplierSpec:
    """Registers a `RuleApplier` for one dialect.

    Attributes:
        name: The name in settings.
        dialect: Of the rulesets that it applies.
        factory: Makes it.
        rank: The rank of its `Support`, if that is always the same: offline commands then choose a dialect without
            making the applier. None if only the probe knows.
        paths: How packets of an interface may travel to be within its reach. More than `LinkPath.IP` needs a
            `PathApplier`. A backend enforces in a sandbox by the settings or by its rank; where its reach ends, another
            one enforces beside it, on the interfaces concerned.
    """

    name: str
    dialect: str
    factory: Callable[[], RuleApplier]
    rank: int | None = None
    paths: frozenset[LinkPath] = frozenset({LinkPath.IP})
