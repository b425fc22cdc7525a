"""The kit's standard tests, which every backend must pass."""

from functools import partial

from mnp_core.model import Direction, Protocol
from mnp_core.testing.conformance import BackendConformance
from mnp_core.testing.policies import only
from mnp_ebpf import EbpfApplier, EbpfRenderer
from mnp_ebpf.attachment import Programs, find_pods, open_pod
from mnp_ebpf.clsact import Clsact
from mnp_ebpf.features import REFUSES
from mnp_ebpf.hooks import LOOPBACK, Hook, both, links
from mnp_ebpf.maps import INNER, NO_PREALLOCATION, Kind, Map
from mnp_ebpf.members import keys
from mnp_ebpf.pod import NOTHING
from mnp_ebpf.program_info import find_program
from mnp_ebpf.table import BLOCK_SIZE, ENTRY_SIZE
from mnp_ebpf.tcx import Tcx
from plugins.ebpf.tests.theirs import put_first


def programs(attacher):
    """All programs, by interface and direction: their names."""
    for name, index in (("lo", LOOPBACK), *sorted(links().items())):
        for hook in both(index):
            for identity in attacher.attached(hook):
                yield name, hook.direction, find_program(identity).name


def contents(attacher):
    """What our maps hold, connections and counters aside."""
    for pod in find_pods(attacher):
        maps, place = pod.maps, pod.maps.in_force
        if place != NOTHING:
            found = maps.read_table(place).table
            yield place, found, [sorted(maps.read_set(place, number)) for number in range(len(found.sets))]


class TestEbpf(BackendConformance):
    attacher = Tcx()
    refuses = REFUSES

    def make_renderer(self):
        return EbpfRenderer()

    def make_applier(self):
        return EbpfApplier(self.attacher)

    def everything(self):
        return f"{super().everything()}{[*programs(self.attacher)]}{[*contents(self.attacher)]}"

    def put_foreign_rules(self):
        super().put_foreign_rules()
        put_first(self.attacher, "theirs")

    def foreign_rules(self):
        return f"{super().foreign_rules()}{[each for each in programs(self.attacher) if each[2] == 'theirs']}"

    def tampering(self):
        first = partial(put_first, self.attacher, "first")
        for direction in Direction:
            gone = partial(Programs.take_away, hook=Hook(index=LOOPBACK, direction=direction))
            yield f"the program of {direction} is gone", partial(tamper, self.attacher, gone)
            yield f"another program is first in {direction}", partial(first, direction=direction)
        for what, change in CHANGES.items():
            yield what, partial(tamper, self.attacher, lambda pod, change=change: change(pod.maps))
        yield "everything is gone", self.make_applier().remove


class TestEbpfByTrafficControl(TestEbpf):
    """With filters of traffic control, as before Linux 6.6."""

    attacher = Clsact()


def tamper(attacher, change):
    """Change what is ours, as another process with root's rights can."""
    with open_pod(attacher) as pod:
        change(pod)


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


CHANGES = {
    "nothing is in force": lambda maps: maps.put_in_force(NOTHING),
    "another table is in force": open_everything,
    "a rule is changed": change_rule,
    "the blocks are gone": empty_blocks,
    "a group is empty": partial(change_set, members=[]),
    "a group has a member more": partial(change_set, members=["203.0.113.66"]),
}
