"""Rules in the tables of iptables-nft, written as messages to nf_tables: both families in one commit.

A built-in chain of nf_tables is a hook that stays, and a packet leaves it with either all of the old rules or all of
the new ones (see the nftables plugin's renderer for the alternative). So the jumps to our chains stay if they are the
first rules already, and chains are flushed and filled instead of replaced.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from mnp_core.errors import ApplyError, UnsupportedError
from mnp_core.model import Family
from mnp_core.netfilter.batch import Batch, BatchWriter
from mnp_core.netfilter.nf_tables import generation, read_settled
from mnp_core.netfilter.nfnetlink import Nfnetlink, RefusedError, SupersededError, UnansweredError, UnsettledError
from mnp_iptables.modules import require
from mnp_iptables.persistence import insist
from mnp_iptables.render.hook_points import TABLES
from mnp_iptables.restore.compiler import Compiler
from mnp_iptables.restore.installed import FLAGS, InstalledTable, Wanted, WantedTable, has_jumps
from mnp_iptables.restore.nft_tables import TableWriter, is_vacant, read
from mnp_iptables.restore.restore_tool import find
from mnp_iptables.sets.set_types import FAMILIES

_TOOLS: dict[Family, str] = {4: "iptables-nft-restore", 6: "ip6tables-nft-restore"}
_ATTEMPTS = 10
_REMEDY = "if a process in the pod made it, delete the table or restart the pod"


class NftRules:
    """Our chains in the tables of iptables-nft, in the network namespace of the calling thread."""

    suffix = "n"
    rank = 50

    @property
    def compiler(self) -> Compiler:
        """Compiles rulesets for this variant."""
        return _COMPILER

    def probe(self) -> str:
        """The tool in use; changes nothing.

        Raises:
            UnsupportedError: A tool is missing, or the kernel has no nf_tables.
        """
        tools = [find(tool) for tool in _TOOLS.values()]
        require("nf_tables")
        try:
            generation()
        except OSError as error:
            raise UnsupportedError(
                f"this kernel has no nf_tables for us ({error}): modprobe nf_tables, as root"
            ) from error
        return tools[0]

    def replace(self, wanted: Wanted, numbers: Mapping[str, int]) -> None:
        """Put tables into force in one commit; then remove ours from all others.

        Args:
            wanted: Our part of one table for each family.
            numbers: The kernel's number of each ipset, by its name in the ruleset.

        Raises:
            ApplyError: Refused; the old tables are in force.
        """
        _commit(lambda found: _replacement(wanted, numbers, found))
        insist(lambda: _commit(lambda found: _removal(t for t in found if t.name != wanted[t.family].name)))

    def read(self) -> tuple[InstalledTable, ...]:
        """Everything of ours, in one piece."""
        return read_settled(lambda kernel, _: tuple(_ours(kernel)))

    def remove(self) -> None:
        """Remove our chains and jumps, and tables that are empty then."""
        tables = self.read()
        _commit(_removal)
        for table in tables:
            _delete_if_vacant(table.family, table.name)

    def state(self) -> bytes:
        """The generation."""
        return generation().to_bytes(4, "big")


def _ours(kernel: Nfnetlink) -> Iterator[InstalledTable]:
    for family in FAMILIES:
        for name in TABLES:
            if table := read(kernel, family, name):
                yield table


# --- writing ------------------------------------------------------------------------------------------------------


def _commit(change: Callable[[Sequence[InstalledTable]], Batch]) -> None:
    """Commit a change of the present tables, computed again if another commit came first."""
    for _ in range(_ATTEMPTS):
        found, number = read_settled(lambda kernel, number: (tuple(_ours(kernel)), number))
        batch = change(found)
        if not batch.data:
            return
        try:
            with Nfnetlink() as kernel:
                kernel.commit(batch, number)
        except SupersededError:
            continue
        except RefusedError as error:
            raise ApplyError(f"nf_tables refused {error}: {_REMEDY}") from error
        except UnansweredError as error:
            raise ApplyError(f"the answer of nf_tables was lost ({error}): it is tried again") from error
        return
    raise UnsettledError("a process in the pod changes nf_tables all the time: stop it, or restart the pod")


def _replacement(wanted: Wanted, numbers: Mapping[str, int], found: Sequence[InstalledTable]) -> Batch:
    there = {(table.family, table.name): table for table in found}
    writer = BatchWriter()
    for family, table in wanted.items():
        _write(TableWriter(writer, family, table.name), table, numbers, there.get((family, table.name)))
    return writer.batch()


def _write(writer: TableWriter, wanted: WantedTable, numbers: Mapping[str, int], there: InstalledTable | None) -> None:
    old = there or InstalledTable(family=4, name="", chains=(), rules=(), jumps=())
    _prepare_chains(writer, wanted, old)
    for chain, rules in wanted.chains.items():
        for rule in rules:
            writer.new_rule(chain, rule.bound(numbers), rule.userdata)
    if not has_jumps(old, wanted):
        _delete_jumps(writer, old)
        for chain, rules in wanted.jumps.items():
            for rule in reversed(rules):
                writer.new_rule(chain, rule.bound(numbers), rule.userdata, append=False)
    for chain in old.chains:
        if chain not in wanted.chains:
            writer.delete_chain(chain)


def _prepare_chains(writer: TableWriter, wanted: WantedTable, old: InstalledTable) -> None:
    """All chains, ours empty."""
    writer.new_table()
    for chain, frame in wanted.frame.items():
        if chain != FLAGS and old.frame.get(chain) != frame:
            writer.new_chain(chain, frame)
    for chain in wanted.chains:
        if chain not in old.chains:
            writer.new_chain(chain)
    for chain in old.chains:
        writer.flush_chain(chain)


def _delete_jumps(writer: TableWriter, there: InstalledTable) -> None:
    for jump in there.jumps:
        writer.delete_rule(jump.chain, jump.handle)


def _removal(found: Iterable[InstalledTable]) -> Batch:
    batch = BatchWriter()
    for table in found:
        writer = TableWriter(batch, table.family, table.name)
        _delete_jumps(writer, table)
        for chain in table.chains:
            writer.flush_chain(chain)
        for chain in table.chains:
            writer.delete_chain(chain)
    return batch.batch()


def _delete_if_vacant(family: Family, name: str) -> None:
    vacant, number = read_settled(lambda kernel, number: (is_vacant(kernel, family, name), number))
    if not vacant:
        return
    writer = BatchWriter()
    TableWriter(writer, family, name).delete_table()
    try:
        with Nfnetlink() as kernel:
            kernel.commit(writer.batch(), number)
    except SupersededError:
        return
    except (RefusedError, UnansweredError) as error:
        if not isinstance(error, RefusedError) or error.code not in {errno.ENOENT, errno.EBUSY}:
            raise ApplyError(f"the empty table {name} cannot be deleted ({error}): it is tried again") from error


def _read_compiled(family: Family, name: str) -> InstalledTable | None:
    return read_settled(lambda kernel, _: read(kernel, family, name))


def _name_interface(data: bytes, placeholder: bytes, name: bytes) -> bytes:
    return data.replace(placeholder, name)


_COMPILER = Compiler(_TOOLS, _read_compiled, _name_interface)
