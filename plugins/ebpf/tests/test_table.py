"""Tables and members as bytes, and back."""

import random

import pytest
from attrs import evolve

from mnp_core.errors import ApplyError
from mnp_core.model import Direction, parse_cidr
from mnp_core.testing.corpus import CORPUS
from mnp_core.testing.policies import GROUP, allow, endpoints, isolated, only, origin
from mnp_ebpf import EbpfRenderer
from mnp_ebpf.features import REFUSES
from mnp_ebpf.members import completed, elements, elements_only, keys, members_of, set_name
from mnp_ebpf.table import ENTRY_SIZE, Place, read_table

CASES = [name for name, case in CORPUS.items() if not case.policy.common.features & REFUSES]


@pytest.mark.parametrize("case", CASES)
def test_a_table_is_read_as_it_was_written(case):
    table = EbpfRenderer().render(CORPUS[case].policy).table
    placed = table.at({"net1": Place(index=7), "eth0": Place(index=2), "tun0": Place(index=9, ethernet=False)})
    found = read_table(placed.packed()).having(table.blocks).table
    assert found == placed
    assert found.digest == table.digest


UNUSED = {
    "a rule whose ports match nothing": only(ingress=isolated(allow(["10.0.0.0/8"], []))),
    "prefixes where all is open": only(allow_src_prefixes=(parse_cidr("10.0.0.0/8"),)),
    "one of two": only(ingress=isolated(allow(["10.0.0.0/8"], []), allow(["10.1.0.0/16"]))),
}


@pytest.mark.root
@pytest.mark.parametrize("case", UNUSED)
def test_blocks_that_no_rule_names_leave_nothing_to_be_mended(case, wire):
    """S62, S63: what is read back is what was written."""
    ruleset = wire.pod.enforce(UNUSED[case])
    assert wire.pod.run(wire.pod.applier.installed).matches(ruleset)
    assert "10.0.0.0/8" not in ruleset.text


def test_counters_are_those_of_their_rule():
    rules = isolated(allow(ports=["TCP/80"], source=origin(1)), allow(ports=["TCP/81"], source=origin(2)))
    table = EbpfRenderer().render(only(ingress=rules)).table.at({"net1": Place(index=7), "eth0": Place(index=2)})
    entries = [entry[:32] + number.to_bytes(8, "little") * 2 for number, entry in enumerate(table.packed())]
    entries[0] = table.packed()[0]
    names = int.from_bytes(entries[0][4:8], "little")
    entries[names:] = table.packed()[names:]
    counted = {label: packets for _, _, label, packets, _ in read_table(entries).counted()}
    assert counted == {
        "established": 3,
        "denied": 4,
        "neighbour-discovery": 5,
        str(origin(1)): 6,
        str(origin(2)): 7,
    }


def test_what_somebody_else_has_written_is_refused_and_breaks_nothing():
    chance = random.Random(0)  # noqa: S311 # any junk
    entries = EbpfRenderer().render(CORPUS["peers and ports"].policy).table.packed()
    for _ in range(300):
        junk = list(entries)
        place = chance.randrange(len(junk))
        junk[place] = chance.randbytes(ENTRY_SIZE)
        try:
            read_table(junk[: chance.randrange(len(junk) + 1)])
        except ValueError:
            continue


def test_the_name_of_an_interface_is_not_where_it_is():
    table = EbpfRenderer().render(only()).table
    assert table.at({"net1": Place(index=7)}).digest == table.at({}).digest
    assert evolve(table, recheck=True).digest != table.digest


def test_endpoints_are_kept_with_their_addresses_alone():
    group = endpoints(GROUP, ("10.0.0.2", "TCP", 80), ("10.0.0.2", "UDP", 53), ("fd00::2", "SCTP", 1))
    name, found = set_name(group), keys(set_name(group), elements(group))
    whole = completed(name, found)
    assert len(whole) == len(found) + 2
    assert elements_only(name, whole) == found
    assert members_of(name, whole) == elements(group)
    less = whole - {next(iter(whole - found))}
    assert members_of(name, less) != elements(group), "a change shows"


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.1 TCP", "10.0.0.1 TCP/70000", "10.0.0.1 X/1", "::1%lo", "a\nb"])
def test_what_is_no_member_is_refused(text):
    with pytest.raises(ApplyError):
        keys("addresses-x", [text])


def test_both_directions_have_their_rules():
    rules = isolated(allow(ports=["TCP/80"]))
    interface = EbpfRenderer().render(only(egress=rules)).table.interfaces[0]
    assert [len(interface.sides[direction].rules) for direction in Direction] == [0, 2]
