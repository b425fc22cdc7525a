"""Rules through ``iptables-nft-restore`` and ``ip6tables-nft-restore``: one call, and one commit, for each family.

A built-in chain of nf_tables is a hook that stays where it is, and a packet leaves it with either all of the old
rules or all of the new ones (see the nftables plugin's renderer for what happens otherwise). So the jumps to our
chains stay if they are the first rules already, and chains are emptied and filled rather than made anew.
"""

from collections.abc import Iterator, Mapping, Sequence

from mnp_core.errors import ApplyError, UnsupportedError
from mnp_core.model import Family
from mnp_iptables.found import FoundTable, find_table, is_ours
from mnp_iptables.modules import require
from mnp_iptables.nft_tables import NftKernel
from mnp_iptables.places import TABLES
from mnp_iptables.script import TableScript, with_set_names
from mnp_iptables.sets import FAMILIES
from mnp_iptables.tools import find, run

_TOOL: dict[Family, str] = {4: "iptables-nft", 6: "ip6tables-nft"}
_ATTEMPTS = 10
_GENERATIONS = 2**32


class NftRules:
    """Our chains in the tables of iptables-nft, in the network namespace of the calling thread."""

    letter = "n"
    rank = 50

    def probe(self) -> str:
        """Say what is used, without changing anything.

        Raises:
            UnsupportedError: A tool is missing, or the kernel has no nf_tables.
        """
        tools = [find(f"{tool}-restore") for tool in _TOOL.values()]
        require("nf_tables")
        try:
            with NftKernel() as kernel:
                kernel.generation()
        except OSError as error:
            raise UnsupportedError(
                f"this kernel has no nf_tables for us ({error}): modprobe nf_tables, as root"
            ) from error
        return tools[0]

    def replace(self, wanted: Mapping[Family, TableScript], names: Mapping[str, str]) -> tuple[FoundTable, ...] | None:
        """Put tables into force, one family after the other; if the second is refused, the first goes back.

        Args:
            wanted: For each family, what is to be in one table; nothing of ours stays in the others.
            names: The sets to use in place of those that rules name.

        Returns:
            Everything of ours, as it is now; None if somebody else changed something meanwhile.

        Raises:
            ApplyError: Refused, with the words of the tool; what was in force still is.
        """
        first, second = FAMILIES
        before, started = self._read()
        saved = _save(first, wanted[first].name)
        commits = _write(first, wanted[first], before, names)
        try:
            commits += _write(second, wanted[second], before, names)
        except ApplyError:
            _write(first, saved, self.read(), {})
            raise
        for table in before:
            if table.name != wanted[table.family].name:
                commits += _write(table.family, TableScript(name=table.name), before, {})
        found, generation = self._read()
        return found if generation == _later(started, commits) else None

    def read(self) -> tuple[FoundTable, ...]:
        """Everything of ours, in one piece."""
        return self._read()[0]

    def _read(self) -> tuple[tuple[FoundTable, ...], int]:
        """Everything of ours, and the generation that it is of."""
        with NftKernel() as kernel:
            for _ in range(_ATTEMPTS):
                before = kernel.generation()
                found = tuple(_find_ours(kernel))
                if kernel.generation() == before:
                    return found, before
        raise ApplyError("nf_tables cannot be read: somebody changes it all the time")

    def remove(self) -> None:
        """Take away our chains and jumps, and tables in which nothing else is."""
        for table in self.read():
            _write(table.family, TableScript(name=table.name), (table,), {})
            with NftKernel() as kernel:
                generation = kernel.generation()
                if kernel.read(table.family, table.name).is_vacant:
                    kernel.delete(table.family, table.name, generation=generation)

    def state(self) -> bytes:
        """Something that differs after every change."""
        with NftKernel() as kernel:
            return kernel.generation().to_bytes(4, "big")


def _later(generation: int, commits: int) -> int:
    """The number after some commits: 32 bits, and the kernel leaves 0 out."""
    later = generation + commits
    return later if later < _GENERATIONS else later - _GENERATIONS + 1


def _find_ours(kernel: NftKernel) -> Iterator[FoundTable]:
    for family in FAMILIES:
        for name in TABLES:
            table = kernel.read(family, name)
            hooks = {chain.name for chain in table.chains if chain.built_in}
            ours = find_table(
                family,
                name,
                chains=(chain.name for chain in table.chains),
                rules=table.rules,
                built_in=(rule for rule in table.rules if rule.chain in hooks),
            )
            if ours:
                yield ours


def _write(family: Family, script: TableScript, found: Sequence[FoundTable], names: Mapping[str, str]) -> int:
    """Replace what of ours is in one table, in one commit; returns how many it took."""
    there = next((table for table in found if (table.family, table.name) == (family, script.name)), None)
    lines = [f"*{script.name}", *_commands(script, there, names), "COMMIT", ""]
    if len(lines) == 3:
        return 0
    run(_TOOL[family] + "-restore", "--noflush", text="\n".join(lines))
    return 1


def _commands(script: TableScript, there: FoundTable | None, names: Mapping[str, str]) -> Iterator[str]:
    yield from (f":{chain} - [0:0]" for chain in script.chains)
    for chain, rules in script.chains.items():
        yield from (f"-A {chain} {with_set_names(rule, names)}" for rule in rules)
    if there is None or not there.has_jumps(script.jumps):
        yield from (f"-D {hook} {number}" for hook, number in (there.jump_numbers() if there else ()))
        for hook, chains in script.jumps.items():
            yield from (f"-I {hook} -j {chain}" for chain in reversed(chains))
    stale = [chain for chain in (there.chains if there else ()) if chain not in script.chains]
    yield from (f"-F {chain}" for chain in stale)
    yield from (f"-X {chain}" for chain in stale)


def _save(family: Family, table: str) -> TableScript:
    """What of ours is in a table, as it can be written again."""
    script = TableScript(name=table)
    for line in run(_TOOL[family] + "-save", "-t", table).splitlines():
        words = line.split(" ")
        if (line.startswith(":") and is_ours(words[0][1:])) or (line.startswith("-A ") and is_ours(words[1])):
            script.take(line)
        elif words[0] == "-A" and words[2:3] == ["-j"] and is_ours(words[-1]):
            script.jumps.setdefault(words[1], []).append(words[-1])
    return script
