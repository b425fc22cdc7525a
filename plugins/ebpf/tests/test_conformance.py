"""The kit's standard tests, which every backend must pass."""

import os
from functools import partial

from mnp_core.model import Direction, Protocol
from mnp_core.testing.conformance import BackendConformance
from mnp_core.testing.policies import only
from mnp_ebpf import EbpfApplier, EbpfRenderer, tcx
from mnp_ebpf.features import REFUSES
from mnp_ebpf.maps import INNER, NO_PREALLOCATION, Kind, Map
from mnp_ebpf.members import keys
from mnp_ebpf.pod import NOTHING, PodMaps, find_maps, open_maps
from mnp_ebpf.program import Object, ProgramKind, load_program
from mnp_ebpf.table import BLOCK_SIZE, ENTRY_SIZE

PASSING = Object(code=bytes.fromhex("b7000000ffffffff 9500000000000000"), functions={0: ""}, places={}, compiler="")
"""A program that returns -1, which is TCX_NEXT."""


def put_first(name, index=tcx.LOOPBACK, direction=Direction.INGRESS):
    """Attach a program of another owner, which lets everything pass."""
    program = load_program(name, PASSING, ProgramKind.TC, {})
    try:
        tcx.attach(index, direction, program)
    finally:
        os.close(program)


def programs():
    """All programs, by interface and direction: their names."""
    for name, index in (("lo", tcx.LOOPBACK), *sorted(tcx.links().items())):
        for direction in Direction:
            for identity in tcx.attached(index, direction):
                program = tcx.open_program(identity)
                yield name, direction, tcx.program_info(program).name
                os.close(program)


def contents():
    """What our maps hold, connections and counters aside."""
    for maps in find_maps():
        place = maps.in_force
        if place != NOTHING:
            found = maps.read_table(place).table
            yield place, found, [sorted(maps.read_set(place, number)) for number in range(len(found.sets))]


class TestEbpf(BackendConformance):
    refuses = REFUSES

    def make_renderer(self):
        return EbpfRenderer()

    def make_applier(self):
        return EbpfApplier()

    def everything(self):
        return f"{super().everything()}{[*programs()]}{[*contents()]}"

    def put_foreign_rules(self):
        super().put_foreign_rules()
        put_first("theirs")

    def foreign_rules(self):
        return f"{super().foreign_rules()}{[each for each in programs() if each[2] == 'theirs']}"

    def tampering(self):
        for direction in Direction:
            gone = partial(PodMaps.take_away, index=tcx.LOOPBACK, direction=direction)
            yield f"the program of {direction} is gone", tampered(gone)
            yield f"another program is first in {direction}", partial(put_first, "first", direction=direction)
        yield "nothing is in force", tampered(lambda maps: maps.put_in_force(NOTHING))
        yield "another table is in force", tampered(open_everything)
        yield "a rule is changed", tampered(change_rule)
        yield "the blocks are gone", tampered(empty_blocks)
        yield "a group is empty", tampered(partial(change_set, members=[]))
        yield "a group has a member more", tampered(partial(change_set, members=["203.0.113.66"]))
        yield "everything is gone", EbpfApplier().remove


def tampered(change):
    """Change our maps, as another process with root's rights can."""

    def work():
        with open_maps() as maps:
            change(maps)

    return work


def number(value):
    return value.to_bytes(4, "little")


def open_everything(maps):
    place = 1 - maps.in_force
    maps.write(place, EbpfRenderer().render(only()).table, {})
    maps.put_in_force(place)


def change_rule(maps):
    with Map.of(int.from_bytes(maps.tables.get(number(maps.in_force)), "little")) as found:
        entries = found.read()
    with Map.make("mnp_table", Kind.ARRAY, 4, ENTRY_SIZE, len(entries), flags=INNER) as made:
        rule = min(key for key, entry in entries.items() if entry[1] == Protocol.TCP and entry[4:8] == b"\x50\0\x50\0")
        made.fill((entries | {rule: entries[rule][:1] + bytes([Protocol.UDP]) + entries[rule][2:]}).items())
        maps.tables.put(number(maps.in_force), number(made.fd))


def empty_blocks(maps):
    with Map.make("mnp_trie", Kind.LPM_TRIE, BLOCK_SIZE, 4, 1, flags=NO_PREALLOCATION) as made:
        maps.blocks.put(number(maps.in_force), number(made.fd))


def change_set(maps, members):
    name = maps.read_table(maps.in_force).table.sets[0]
    found = maps.read_set(maps.in_force, 0) if members else frozenset()
    maps.replace_set(maps.in_force, 0, found | keys(name, members))
