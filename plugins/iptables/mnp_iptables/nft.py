"""Rules in the tables of iptables-nft, written as messages to nf_tables: both families in one commit.

What the messages say, ``iptables-nft-restore`` and ``ip6tables-nft-restore`` have said elsewhere
(`mnp_iptables.compiler`). A built-in chain of nf_tables is a hook that stays where it is, and a packet leaves it with
either all of the old rules or all of the new ones (see the nftables plugin's renderer for what happens otherwise). So
the jumps to our chains stay if they are the first rules already, and chains are emptied and filled rather than made
anew.
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import frozen

from mnp_core.errors import ApplyError, UnsupportedError
from mnp_core.model import Family
from mnp_iptables import nft_tables
from mnp_iptables.compiler import Compiler, Tables
from mnp_iptables.extensions import INDEX_SIZE, pack_index
from mnp_iptables.hook_points import TABLES
from mnp_iptables.installed import InstalledRule, InstalledTable, WantedTable, has_jumps, is_ours
from mnp_iptables.modules import require
from mnp_iptables.names import odd_interface, placeholder
from mnp_iptables.netlink import KernelError, Message
from mnp_iptables.nft_tables import ACCEPT, TABLE_FLAGS, NftKernel, NftRule, NftTable
from mnp_iptables.persistence import insist
from mnp_iptables.restore_tool import find, run
from mnp_iptables.script import Script
from mnp_iptables.sets import FAMILIES

_TOOL: dict[Family, str] = {4: "iptables-nft", 6: "ip6tables-nft"}
_ATTEMPTS = 10
_REMEDY = "if a process in the pod made it, delete the table or restart the pod"


@frozen(kw_only=True)
class NftWanted:
    """A rule to be written: as in `nft_tables.NftRule`, with the names of its sets."""

    content: bytes
    sets: tuple[str, ...]
    places: tuple[int, ...]
    expressions: bytes
    userdata: bytes

    def bound(self, indices: Mapping[str, int]) -> bytes:
        """The expressions, with the numbers that the sets have in one namespace."""
        bound = bytearray(self.expressions)
        for place, name in zip(self.places, self.sets, strict=True):
            bound[place : place + INDEX_SIZE] = pack_index(indices[name])
        return bytes(bound)


Wanted = Mapping[Family, WantedTable[NftWanted]]


class NftRules:
    """Our chains in the tables of iptables-nft, in the network namespace of the calling thread."""

    suffix = "n"
    rank = 50

    @property
    def compiler(self) -> Compiler[NftWanted]:
        """Translates rulesets, for all that write in this way."""
        return _COMPILER

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

    def replace(self, wanted: Wanted, indices: Mapping[str, int]) -> None:
        """Put tables into force in one commit; then clear away what is left in others.

        Args:
            wanted: For each family, what is to be in one table; nothing of ours stays in the others.
            indices: The kernel's number of each set, by its name in the ruleset.

        Raises:
            ApplyError: Refused; what was in force still is.
        """
        _commit(lambda found: _replacement(wanted, indices, found))
        insist(lambda: _commit(lambda found: _removal([t for t in found if t.name != wanted[t.family].name])))

    def read(self) -> tuple[InstalledTable, ...]:
        """Everything of ours, in one piece."""
        with NftKernel() as kernel:
            return _read(kernel)[0]

    def remove(self) -> None:
        """Take away our chains and jumps, and tables in which nothing else is."""
        ours = self.read()
        _commit(_removal)
        for table in ours:
            with NftKernel() as kernel:
                generation = kernel.generation()
                left = kernel.read(table.family, table.name)
                if left is not None and _is_vacant(kernel, table.family, table.name, left):
                    _try_to_delete(kernel, table, generation)

    def state(self) -> bytes:
        """Something that differs after every change."""
        with NftKernel() as kernel:
            return kernel.generation().to_bytes(4, "big")


# --- reading ------------------------------------------------------------------------------------------------------


def _read(kernel: NftKernel) -> tuple[tuple[InstalledTable, ...], int]:
    """Everything of ours, and the generation that it is of."""
    for _ in range(_ATTEMPTS):
        before = kernel.generation()
        found = tuple(_find_ours(kernel))
        if kernel.generation() == before:
            return found, before
    raise _storm()


def _storm() -> ApplyError:
    return ApplyError("nf_tables: a process in the pod changes its rules all the time: stop it, or restart the pod")


def _find_ours(kernel: NftKernel) -> Iterator[InstalledTable]:
    for family in FAMILIES:
        for name in TABLES:
            table = kernel.read(family, name)
            chains = tuple(filter(is_ours, table.chains)) if table else ()
            if table and (chains or table.rules):
                found = [(is_ours(rule.chain), _found(rule)) for rule in table.rules]
                yield InstalledTable(
                    family=family,
                    name=name,
                    frame=table.frame,
                    chains=chains,
                    rules=tuple(rule for ours, rule in found if ours),
                    jumps=tuple(rule for ours, rule in found if not ours),
                )


def _found(rule: NftRule) -> InstalledRule:
    return InstalledRule(
        chain=rule.chain,
        content=rule.content,
        sets=rule.indices,
        target=rule.target,
        handle=rule.handle,
        first=rule.first,
        comment=rule.comment,
        packets=rule.packets,
        bytes=rule.bytes,
    )


# --- writing ------------------------------------------------------------------------------------------------------


def _commit(changes: Callable[[Sequence[InstalledTable]], Iterator[Message]]) -> None:
    """Run what is to be changed of what is there, again if somebody else has committed meanwhile."""
    with NftKernel() as kernel:
        for _ in range(_ATTEMPTS):
            found, generation = _read(kernel)
            messages = list(changes(found))
            if not messages:
                return
            try:
                kernel.commit(messages, generation)
            except KernelError as error:
                if error.errno != errno.ERESTART:
                    raise ApplyError(f"nf_tables refused the rules: {error.strerror}: {_REMEDY}") from error
            else:
                return
    raise _storm()


def _replacement(wanted: Wanted, indices: Mapping[str, int], found: Sequence[InstalledTable]) -> Iterator[Message]:
    there = {(table.family, table.name): table for table in found}
    for family, table in wanted.items():
        yield from _table(family, table, indices, there.get((family, table.name)))


def _table(
    family: Family, wanted: WantedTable[NftWanted], indices: Mapping[str, int], there: InstalledTable | None
) -> Iterator[Message]:
    name = wanted.name
    yield nft_tables.new_table(family, name)
    for chain, frame in wanted.frame.items():
        if chain != TABLE_FLAGS and (there is None or there.frame.get(chain) != frame):
            yield nft_tables.new_chain(family, name, chain, frame)
    old = there.chains if there else ()
    yield from (nft_tables.new_chain(family, name, chain) for chain in wanted.chains if chain not in old)
    yield from (nft_tables.flush_chain(family, name, chain) for chain in old)
    for chain, rules in wanted.chains.items():
        for rule in rules:
            yield nft_tables.new_rule(family, name, chain, rule.bound(indices), rule.userdata)
    if there is None or not has_jumps(there, wanted):
        yield from _without_jumps(there)
        for chain, rules in wanted.jumps.items():
            for rule in reversed(rules):
                yield nft_tables.new_rule(family, name, chain, rule.bound(indices), rule.userdata, append=False)
    yield from (nft_tables.delete_chain(family, name, chain) for chain in old if chain not in wanted.chains)


def _without_jumps(there: InstalledTable | None) -> Iterator[Message]:
    if there is not None:
        for jump in there.jumps:
            yield nft_tables.delete_rule(there.family, there.name, jump.chain, jump.handle)


def _removal(found: Sequence[InstalledTable]) -> Iterator[Message]:
    for table in found:
        yield from _without_jumps(table)
        yield from (nft_tables.flush_chain(table.family, table.name, chain) for chain in table.chains)
        yield from (nft_tables.delete_chain(table.family, table.name, chain) for chain in table.chains)


def _is_vacant(kernel: NftKernel, family: Family, name: str, table: NftTable) -> bool:
    """Whether it makes no difference that it is there."""
    accepts = all(policy == ACCEPT for policy in table.policies.values())
    return not table.chains and accepts and not kernel.has_rules(family, name)


def _try_to_delete(kernel: NftKernel, table: InstalledTable, generation: int) -> None:
    try:
        kernel.commit([nft_tables.delete_table(table.family, table.name)], generation)
    except KernelError as error:
        if error.errno not in {errno.ERESTART, errno.ENOENT, errno.EBUSY}:
            raise


# --- translating --------------------------------------------------------------------------------------------------


def _translate(script: Script, names: Mapping[int, str]) -> Tables[NftWanted]:
    """Have the programs write the rules where nothing else is, and read what they have become."""
    for family, tables in script.tables.items():
        for text in tables.values():
            run(f"{_TOOL[family]}-restore", "--noflush", text=text)
    with NftKernel() as kernel:
        return {
            family: tuple(_normal_form(kernel, family, name, names) for name in tables)
            for family, tables in script.tables.items()
        }


def _normal_form(kernel: NftKernel, family: Family, name: str, names: Mapping[int, str]) -> WantedTable[NftWanted]:
    table = kernel.read(family, name)
    if table is None:
        raise ApplyError(f"iptables made no table {name}")
    rules: dict[str, list[NftWanted]] = {chain: [] for chain in table.chains}
    for rule in table.rules:
        rules.setdefault(rule.chain, []).append(_wanted(rule, names))
    reached = {chain: tuple(found) for chain, found in rules.items() if not is_ours(chain)}
    return WantedTable(
        name=name,
        frame={part: table.frame[part] for part in (TABLE_FLAGS, *reached)},
        chains={chain: tuple(found) for chain, found in rules.items() if is_ours(chain)},
        jumps=reached,
    )


def _wanted(rule: NftRule, names: Mapping[int, str]) -> NftWanted:
    expressions, content = rule.expressions, rule.content
    if name := odd_interface(rule.chain, rule.target):
        expressions, content = (each.replace(*placeholder(name)) for each in (expressions, content))
    return NftWanted(
        content=content,
        sets=tuple(names[index] for index in rule.indices),
        places=rule.places,
        expressions=expressions,
        userdata=rule.userdata,
    )


_COMPILER = Compiler(_translate)
