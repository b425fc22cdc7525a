"""Our maps and programs in one sandbox.

Programs at ``lo`` hold them, where they let everything pass: so a pod without any interface has its rules, too, and a
fresh process finds them. There are two places for the rules. Those not in force are written, and then one store in the
map `state` puts them into force, for all interfaces in the same moment.
"""

import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from attrs import frozen

from mnp_core.model import EarlyDrop
from mnp_ebpf import members, xdp
from mnp_ebpf.maps import INNER, NO_PREALLOCATION, Kind, Map
from mnp_ebpf.program import ProgramKind, load_program, read_object
from mnp_ebpf.program_info import closing, find_program
from mnp_ebpf.table import BLOCK_SIZE, ENTRY_SIZE, FoundTable, Table, read_table

FRAGMENTED: Final = 1024
"""Datagrams in fragments, at the same time."""

NOTHING: Final = 2
"""Instead of the number of a place: no rules are in force."""
_PLACES: Final = 2
_GROUPS: Final = 2048  # of one place; GROUPS_NUMBER of c/policy.c
_STATE = struct.Struct("=II")  # place in force, number of changes
_ZERO: Final = bytes(4)
MAP_NAMES: Final = ("state", "tables", "blocks", "groups", "flows", "nascent", "fragments", "counts")
_COUNTS: Final = 4
_FLOWS_IN, _FLOWS_OUT, _NASCENT_IN, _NASCENT_OUT = range(_COUNTS)  # of c/flows.h
_CHANGES: Final = 2**32


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")


@frozen(kw_only=True)
class PodMaps:
    """The maps of one pod, open."""

    state: Map
    tables: Map
    blocks: Map
    groups: Map
    flows: Map
    nascent: Map
    fragments: Map
    counts: Map

    @property
    def by_name(self) -> Mapping[str, Map]:
        """As the program names them."""
        return {name: getattr(self, name) for name in MAP_NAMES}

    # --- state ----------------------------------------------------------------------------------------------------

    @property
    def in_force(self) -> int:
        """The place of the rules in force, or `NOTHING`."""
        return self._read_state()[0]

    @property
    def state_bytes(self) -> bytes:
        """What every change of ours changes, and the number of the map itself."""
        return repr((self.state.identity, self._read_state())).encode()

    def put_in_force(self, place: int) -> None:
        """One store, which all programs see at once."""
        self.state.put(_ZERO, _STATE.pack(place, (self._read_state()[1] + 1) % _CHANGES))

    def wait_for_packets(self) -> None:
        """Wait until no program looks at rules that are in force no more: the kernel waits when a map is replaced."""
        place = _number(self.in_force)
        if table := self.tables.get(place):
            with Map.of(int.from_bytes(table, "little")) as same:
                self.tables.put(place, _number(same.fd))

    def note_change(self) -> None:
        """Count a change of members."""
        self.put_in_force(self.in_force)

    def _read_state(self) -> tuple[int, int]:
        place, changes = _STATE.unpack(self.state.get(_ZERO) or bytes(8))
        return (place if place < _PLACES else NOTHING), changes

    # --- rules ----------------------------------------------------------------------------------------------------

    def write(self, place: int, table: Table, sets: Mapping[str, frozenset[str]]) -> None:
        """Write rules to a place that is not in force."""
        with ExitStack() as made:
            entries = made.enter_context(_array(table.packed()))
            blocks = made.enter_context(_trie(table.blocks))
            keys = (members.completed(name, members.keys(name, sets[name])) for name in table.sets)
            groups = [made.enter_context(_group(found)) for found in keys]
            if table.uses_blocks:
                self.blocks.put(_number(place), _number(blocks.fd))
            self.groups.fill(
                (_number(place * _GROUPS + number), _number(group.fd)) for number, group in enumerate(groups)
            )
            self.tables.put(_number(place), _number(entries.fd))

    def read_table(self, place: int) -> FoundTable:
        """Read the rules of a place.

        Raises:
            ValueError: There are none, or of another form.
        """
        with self._inner(self.tables, place) as entries:
            found = entries.read()
        table = read_table([found[_number(number)] for number in range(len(found))])
        if not table.table.uses_blocks:
            return table
        with self._inner(self.blocks, place) as blocks:
            return table.having(frozenset(blocks.read()))

    def read_set(self, place: int, number: int) -> frozenset[bytes]:
        """Read the keys of a group; `ValueError` if there is no such group."""
        with self._inner(self.groups, place * _GROUPS + number) as group:
            return frozenset(group.read())

    def replace_set(self, place: int, number: int, keys: frozenset[bytes]) -> None:
        """Replace the members of a group, in one step."""
        with _group(keys) as made:
            self.groups.put(_number(place * _GROUPS + number), _number(made.fd))

    @contextmanager
    def _inner(self, outer: Map, number: int) -> Iterator[Map]:
        found = outer.get(_number(number))
        if found is None:
            raise ValueError(f"map {outer.name} lacks its element {number}")
        with Map.of(int.from_bytes(found, "little")) as inner:
            yield inner

    def identities(self) -> bytes:
        """Everything that tells one content from another: state, and the numbers of inner maps."""
        inner = [self.tables.read(), self.blocks.read(), self.groups.read()]
        return self.state_bytes + repr([sorted(each.items()) for each in inner]).encode()

    def forget_connections(self) -> None:
        """Empty the tables of connections."""
        for each in (self.flows, self.nascent, self.fragments):
            each.clear()
        for number in range(_COUNTS):
            self.counts.put(_number(number), bytes(8))

    def evicted(self) -> tuple[int, int]:
        """Connections that lost their place to others: of those in use, and of those that were not answered yet."""
        return (
            self._evicted(self.flows, _FLOWS_IN, _FLOWS_OUT),
            self._evicted(self.nascent, _NASCENT_IN, _NASCENT_OUT),
        )

    def _evicted(self, table: Map, taken_in: int, let_go: int) -> int:
        """What was taken in and is not there. Packets go on meanwhile, so it may be some too few, never too many."""
        arrived = self._count(taken_in)
        present = table.count()
        return max(0, arrived - present - self._count(let_go))

    def _count(self, number: int) -> int:
        return int.from_bytes(self.counts.get(_number(number)) or b"", "little")

    # --- early stage -------------------------------------------------------------------------------------------------

    def drop_early(self, index: int, where: EarlyDrop) -> None:
        """Have the early stage at an interface, there or nowhere, as far as its driver can."""
        program, found = xdp.attached(index)
        if found is where and (not program or self._holds(program)):
            return
        xdp.detach(index)
        if where is not EarlyDrop.OFF:
            with closing(load_program(xdp.NAME, read_object("xdp"), ProgramKind.XDP, self.descriptors)) as fd:
                xdp.attach(index, fd, where)

    def _holds(self, program: int) -> bool:
        info = find_program(program)
        return info is not None and self.state.identity in info.maps

    @property
    def descriptors(self) -> Mapping[str, int]:
        """Of the maps, by name."""
        return {name: each.fd for name, each in self.by_name.items()}


@contextmanager
def make_maps(connections: int) -> Iterator[PodMaps]:
    """Make the maps of a pod, with nothing in force.

    Args:
        connections: That are in use at the same time; half as many have a place before they are answered.
    """
    with ExitStack() as made:

        def add(each: Map) -> Map:
            return made.enter_context(each)

        def outer(name: str, entries: int, like: Map) -> Map:
            with like:
                return add(Map.make(f"mnp_{name}", Kind.ARRAY_OF_MAPS, 4, 4, entries, inner=like))

        def least_used(name: str, value: int, entries: int) -> Map:
            return add(Map.make(f"mnp_{name}", Kind.LRU_HASH, 40, value, entries))

        maps = PodMaps(
            state=add(Map.make("mnp_state", Kind.ARRAY, 4, 8, 1)),
            tables=outer("tables", _PLACES, _array([bytes(ENTRY_SIZE)])),
            blocks=outer("blocks", _PLACES, _trie(frozenset())),
            groups=outer("groups", _PLACES * _GROUPS, _group(frozenset())),
            flows=least_used("flows", 8, connections),
            nascent=least_used("nascent", 8, max(1, connections // 2)),
            fragments=least_used("fragments", 4, FRAGMENTED),
            counts=add(Map.make("mnp_counts", Kind.ARRAY, 4, 8, _COUNTS)),
        )
        maps.put_in_force(NOTHING)
        yield maps


def _array(entries: list[bytes]) -> Map:
    made = Map.make("mnp_table", Kind.ARRAY, 4, ENTRY_SIZE, len(entries), flags=INNER)
    return _filled(made, ((_number(number), entry) for number, entry in enumerate(entries)))


def _trie(keys: frozenset[bytes]) -> Map:
    made = Map.make("mnp_trie", Kind.LPM_TRIE, BLOCK_SIZE, 4, max(1, len(keys)), flags=NO_PREALLOCATION)
    return _filled(made, ((key, _ZERO) for key in keys))


def _group(keys: frozenset[bytes]) -> Map:
    made = Map.make("mnp_group", Kind.HASH, members.KEY_SIZE, 4, max(1, len(keys)), flags=NO_PREALLOCATION)
    return _filled(made, ((key, members.VALUE) for key in keys))


def _filled(made: Map, elements: Iterator[tuple[bytes, bytes]]) -> Map:
    with ExitStack() as failed:
        failed.callback(made.close)
        made.fill(elements)
        made.freeze()
        failed.pop_all()
    return made
