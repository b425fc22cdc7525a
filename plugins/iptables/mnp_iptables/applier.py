"""Put rulesets into the kernel of a sandbox, and tell what is there.

Rules of IPv4, rules of IPv6 and each set change in steps of their own; there is no other way with iptables. The steps
are so ordered that each family goes from the old complete state to the new complete state in one of them (S60):

1. Sets that have the right members already stay. Those that have not are made anew, under another name, and filled,
   while no rule knows them (`mnp_iptables.slots`).
2. The rules of one family are replaced in one commit, in one table, ingress and egress together. They take up the
   fresh sets. Then the other family's; no packet belongs to both. If it is refused, the first goes back to what it
   was.
3. Only if the table itself changes (`mnp_iptables.places`) there is a moment in which both judge: what passes then is
   what passes before and after. The rules in the table that is left go in a last commit.
4. Sets that no rule uses any more go.

A change of membership alone (`update`) concerns one set of each family, and an address in it flips once, in the set
that the rules look into.

Two stamps stand in the kernel. The digest is the name of a chain, and so part of the commit of each family: it says
which ruleset this is (S62). The fingerprint follows, as the name of an empty set: it says what the kernel made of the
ruleset, so that any later change is seen by whoever reads the rules next, in whatever process (S63). Without both,
rules count as changed; that is also what a crash between the steps leaves.

Everything happens in the network namespace of the calling thread. An applier has no state: one serves all threads.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from mnp_core.api import Support
from mnp_core.errors import ApplyError, UnsupportedError
from mnp_core.model import Delta, Family, Installed, RuleCounter, Ruleset
from mnp_iptables.found import FoundTable, counters, digest, fingerprint
from mnp_iptables.ipset import Ipset
from mnp_iptables.links import has_vrf
from mnp_iptables.modules import require
from mnp_iptables.places import MANGLE
from mnp_iptables.script import Script, TableScript, parse
from mnp_iptables.slots import Slots

Parameters = ParamSpec("Parameters")
T = TypeVar("T")

_ATTEMPTS = 3
_OLDEST_IPSET = 7


class Rules(Protocol):
    """A way to write tables; `letter` tells its sets from those of other ways, `rank` is for the probe."""

    letter: str
    rank: int

    def probe(self) -> str:
        """Say what is used, or raise UnsupportedError."""

    def replace(self, wanted: Mapping[Family, TableScript], names: Mapping[str, str]) -> tuple[FoundTable, ...] | None:
        """Put tables into force; refused means unchanged. Returns what is ours now, if nobody meddled."""

    def read(self) -> tuple[FoundTable, ...]:
        """Everything of ours."""

    def remove(self) -> None:
        """Take away everything of ours."""

    def state(self) -> bytes:
        """Something that differs after every change."""


def _telling(work: Callable[Parameters, T]) -> Callable[Parameters, T]:
    """Whatever the kernel refuses is told in one way."""

    @wraps(work)
    def told(*args: Parameters.args, **kwargs: Parameters.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        except OSError as error:
            raise ApplyError(f"the kernel refused: {error.strerror}") from error

    return told


class IptablesApplier:
    """Applies rulesets of the dialect ``iptables``; see `mnp_core.api.RuleApplier`."""

    def __init__(self, rules: Rules) -> None:
        """Write rules in this way."""
        self._rules = rules
        self._slots = Slots(rules.letter)

    def probe(self) -> Support:
        """Ask tools and kernel; changes nothing."""
        try:
            _check_ipset()
            detail = self._rules.probe()
        except UnsupportedError as error:
            return Support(usable=False, rank=self._rules.rank, detail=str(error))
        return Support(usable=True, rank=self._rules.rank, detail=f"{detail}, Linux {os.uname().release}")

    @_telling
    def apply(self, ruleset: Ruleset) -> None:
        """Replace everything of ours, in the order that the module's text explains."""
        script = parse(ruleset.text)
        wanted = _choose(script)
        for _ in range(_ATTEMPTS):
            found = self._replace(ruleset, script, wanted)
            if found is not None:
                self._slots.seal(fingerprint(found))
                return
        # Somebody else changed rules each time between ours and the look at them, which may therefore show more than
        # ours. The ruleset is in force; without a stamp it counts as changed, and whoever looks next applies it again.

    @_telling
    def update(self, delta: Delta) -> None:
        """Add and remove members."""
        self._slots.change(delta)

    @_telling
    def installed(self) -> Installed | None:
        """Read stamps and membership."""
        tables = self._rules.read()
        if not tables and not self._slots.names():
            return None
        untouched = self._slots.is_sealed(fingerprint(tables))
        return Installed(digest=digest(tables, vrf=has_vrf()) if untouched else "", sets=self._slots.members())

    @_telling
    def generation(self) -> int:
        """A digest of the state of tables, sets and VRFs, 64 bits."""
        parts = self._rules.state(), self._slots.state(), bytes([has_vrf()])
        return int.from_bytes(hashlib.sha256(b"".join(parts)).digest()[:8], "big")

    @_telling
    def counters(self) -> Sequence[RuleCounter]:
        """The counters of the rules in the chains of interfaces, in the order in which packets meet them."""
        return counters(self._rules.read())

    @_telling
    def remove(self) -> None:
        """Take rules away, then sets."""
        self._rules.remove()
        self._slots.keep(())
        self._slots.seal("")

    def _replace(
        self, ruleset: Ruleset, script: Script, wanted: Mapping[Family, TableScript]
    ) -> tuple[FoundTable, ...] | None:
        before = self._slots.names()
        try:
            names = self._slots.prepare(script.sets, ruleset.sets)
            found = self._rules.replace(wanted, names)
        except (ApplyError, UnsupportedError, OSError):
            self._slots.keep(before)
            raise
        self._slots.keep(names.values())
        return found


def _choose(script: Script) -> dict[Family, TableScript]:
    """The table of each family: the first that is offered, unless it does not see what an interface in a VRF gets."""
    vrf = has_vrf()
    return {
        family: next(table for table in tables if not vrf or table.name == MANGLE.table)
        for family, tables in script.tables.items()
    }


def _check_ipset() -> None:
    require("ip_set")
    try:
        with Ipset() as kernel:
            version = kernel.version()
    except OSError as error:
        raise UnsupportedError(f"this kernel has no ipset for us ({error}): modprobe ip_set, as root") from error
    if version < _OLDEST_IPSET:
        raise UnsupportedError(f"this kernel's ipset speaks protocol {version}, needed is 7: Linux 4.20 or newer")
