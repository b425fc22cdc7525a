"""Applies rulesets to the kernel of a sandbox, and reads them back.

Rules and each set change in separate steps; iptables has no common transaction. The steps are ordered so that each
family goes from the old complete state to the new complete state in one of them (S60):

1. The ruleset is compiled in an empty namespace (`mnp_iptables.restore.compiler`).
2. Sets that have the right members already stay. The others are made anew, under another name, and filled, while no
   rule uses them (`mnp_iptables.sets.versioned_sets`).
3. The rules of a family are replaced in one commit, in one table, ingress and egress together. They take up the fresh
   sets. With nf_tables it is one commit for both families; with legacy tables the other family's follows (no packet
   belongs to both), and if it is refused, the first is rolled back.
4. Only if the table itself changes (`mnp_iptables.render.hook_points`) there is a moment in which both judge: a packet
   then passes if it passes before and after. The rules in the table that is left go in a last commit.
5. Sets that no rule uses any more go.

A change of membership alone (`update`) concerns one set of each family, and an address in it flips once, in the set
that the rules look into.

The name of a chain states the digest: any process in the pod could write that, so it proves nothing (S63). Whether
a ruleset is in force is a comparison of the rules and sets that are there with the compiled ruleset, in any
process (S62).

Everything happens in the network namespace of the calling thread. An applier has no state: one serves all threads.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from attrs import evolve

from mnp_core.api import Support
from mnp_core.errors import ApplyError, InputError, UnsupportedError
from mnp_core.model import (
    CommonRules,
    Delta,
    Family,
    Installed,
    InterfacePolicy,
    Isolated,
    ObjectName,
    RuleCounter,
    RulePlace,
    Ruleset,
    SandboxPolicy,
)
from mnp_core.netfilter.remedies import describe
from mnp_iptables.links import has_vrf
from mnp_iptables.modules import require
from mnp_iptables.persistence import insist
from mnp_iptables.render.hook_points import MANGLE
from mnp_iptables.render.renderer import IptablesRenderer
from mnp_iptables.restore.compiler import Compiled, Compiler
from mnp_iptables.restore.installed import InstalledTable, WantedTable, counters, digest, is_as_wanted, places
from mnp_iptables.sets.ipset import Ipset
from mnp_iptables.sets.versioned_sets import VersionedSets

Parameters = ParamSpec("Parameters")
R = TypeVar("R")

_OLDEST_IPSET = 7


class Rules(Protocol):
    """A variant: `suffix` ends the names of its sets, `rank` is for the probe."""

    suffix: str
    rank: int

    @property
    def compiler(self) -> Compiler:
        """Compiles rulesets for this variant."""

    def probe(self) -> str:
        """The tool or interface in use; raises UnsupportedError if there is none."""

    def replace(self, wanted: Mapping[Family, WantedTable], numbers: Mapping[str, int]) -> None:
        """Put tables into force; refused means unchanged."""

    def read(self) -> tuple[InstalledTable, ...]:
        """Our part of all tables."""

    def remove(self) -> None:
        """Remove our part of all tables."""

    def state(self) -> bytes:
        """Something that differs after every change."""


def _as_apply_error(work: Callable[Parameters, R]) -> Callable[Parameters, R]:
    """Turn errors of the kernel into `ApplyError`, with their remedies."""

    @wraps(work)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        except OSError as error:
            raise ApplyError(f"the kernel refused: {describe(error)}") from error

    return wrapped


class IptablesApplier:
    """Applies rulesets of the dialect ``iptables``; see `mnp_core.api.RuleApplier` and `RuleVerifier`."""

    def __init__(self, rules: Rules) -> None:
        """Write rules in this way."""
        self._rules = rules
        self._sets = VersionedSets(rules.suffix)

    def probe(self) -> Support:
        """Ask tools and kernel; changes nothing."""
        try:
            _check_ipset()
            detail = self._rules.probe()
        except UnsupportedError as error:
            return Support(usable=False, rank=self._rules.rank, detail=str(error))
        return Support(usable=True, rank=self._rules.rank, detail=f"{detail}, Linux {os.uname().release}")

    def check(self, common: CommonRules) -> None:
        """Have iptables read the custom rules; see `mnp_core.api.CustomRuleChecker`."""
        try:
            self._rules.compiler.compile(_trial(evolve(common, custom=())))
        except ApplyError as error:
            raise UnsupportedError(f"custom rules cannot be tried: {error}") from error
        try:
            self._rules.compiler.compile(_trial(common))
        except ApplyError as error:
            raise self._wrong(common) or InputError(str(error), where=common.custom[0].place) from error

    def _wrong(self, common: CommonRules) -> InputError | None:
        """The first line that is refused alone."""
        for custom in common.custom:
            for number, line in enumerate(custom.lines, start=1):
                try:
                    self._rules.compiler.compile(_trial(evolve(common, custom=(evolve(custom, lines=(line,)),))))
                except ApplyError as error:
                    refused = f"{line.strip()!r} is no rule that can follow `iptables -A CHAIN`: {error}"
                    return InputError(refused, where=custom.place, field=f"line {number}")
        return None

    @_as_apply_error
    def apply(self, ruleset: Ruleset) -> None:
        """Replace everything of ours, in the order that the module's text explains."""
        compiled = self._rules.compiler.compile(ruleset)
        wanted = _choose(compiled)
        before = self._sets.names()
        try:
            names = self._sets.prepare(compiled.sets, ruleset.sets)
            self._rules.replace(wanted, self._sets.numbers(names))
        except (ApplyError, UnsupportedError, OSError):
            self._tidy(before)
            raise
        self._tidy(names.values())

    def _tidy(self, names: Iterable[str]) -> None:
        """Delete unused sets. Sets that stay have no effect: the next ruleset tries again."""
        kept = tuple(names)
        with suppress(ApplyError, OSError):
            insist(lambda: self._sets.keep(kept))

    @_as_apply_error
    def is_in_force(self, ruleset: Ruleset) -> bool:
        """Compare rules, sets and members with the ruleset."""
        compiled = self._rules.compiler.compile(ruleset)
        numbers = self._sets.in_force(compiled.sets, ruleset.sets)
        return numbers is not None and _are_as_wanted(self._rules.read(), compiled, numbers)

    @_as_apply_error
    def update(self, delta: Delta) -> None:
        """Add and remove members."""
        self._sets.change(delta)

    @_as_apply_error
    def installed(self) -> Installed | None:
        """Read the digest that the rules claim, and membership; a ruleset that this process knows is compared, too."""
        tables, names = self._rules.read(), self._sets.names()
        if not tables and not names:
            return None
        claimed, members = digest(tables, vrf=has_vrf()), self._sets.members()
        if members is None:
            return Installed(digest="", sets={})
        compiled = self._rules.compiler.known(claimed)
        if compiled is not None:
            numbers = self._sets.in_force(compiled.sets, members)
            claimed = claimed if numbers is not None and _are_as_wanted(tables, compiled, numbers) else ""
        return Installed(digest=claimed, sets=members)

    @_as_apply_error
    def generation(self) -> int:
        """A digest of the state of tables, sets and VRFs, 64 bits."""
        parts = self._rules.state(), self._sets.state(), bytes([has_vrf()])
        return int.from_bytes(hashlib.sha256(b"".join(parts)).digest()[:8], "big")

    @_as_apply_error
    def counters(self) -> Sequence[RuleCounter]:
        """The counters of the rules in our chains, in the order in which packets meet them."""
        return counters(self._rules.read())

    @_as_apply_error
    def places(self) -> Sequence[RulePlace]:
        """All rules in our chains; see `mnp_core.api.RuleLocator`."""
        return places(self._rules.read())

    @_as_apply_error
    def remove(self) -> None:
        """Remove rules, then sets."""
        self._rules.remove()
        self._sets.keep(())


def _trial(common: CommonRules) -> Ruleset:
    """The ruleset of a pod with one isolated interface."""
    interface = InterfacePolicy(interface="net1", ingress=Isolated(allows=()), egress=Isolated(allows=()))
    return IptablesRenderer().render(SandboxPolicy(pod=ObjectName("", "trial"), interfaces=(interface,), common=common))


def _choose(compiled: Compiled) -> dict[Family, WantedTable]:
    """The table of each family: the first that sees all packets, also those of an interface in a VRF."""
    vrf = has_vrf()
    return {
        family: next(table for table in tables if not vrf or table.name == MANGLE.table)
        for family, tables in compiled.tables.items()
    }


def _are_as_wanted(tables: Sequence[InstalledTable], compiled: Compiled, numbers: Mapping[str, int]) -> bool:
    wanted = _choose(compiled)
    return sorted((table.family, table.name) for table in tables) == sorted(
        (family, table.name) for family, table in wanted.items()
    ) and all(is_as_wanted(table, wanted[table.family], numbers) for table in tables)


def _check_ipset() -> None:
    require("ip_set")
    try:
        with Ipset() as kernel:
            version = kernel.version()
    except OSError as error:
        raise UnsupportedError(f"this kernel has no ipset for us ({error}): modprobe ip_set, as root") from error
    if version < _OLDEST_IPSET:
        raise UnsupportedError(f"this kernel's ipset speaks protocol {version}, needed is 7: Linux 4.20 or newer")
