"""Maps of the kernel: more elements than one call takes, and no change once they are frozen."""

import pytest

from mnp_ebpf.maps import INNER, NO_PREALLOCATION, Kind, Map

pytestmark = pytest.mark.root
MANY = 10_000


def number(value):
    return value.to_bytes(4, "little")


@pytest.mark.parametrize(
    ("kind", "flags"),
    [(Kind.HASH, NO_PREALLOCATION), (Kind.ARRAY, INNER), (Kind.LRU_HASH, 0)],
    ids=str,
)
def test_many_elements_are_written_and_read(kind, flags):
    with Map.make("mnp_test", kind, 4, 8, 2 * MANY if kind is Kind.LRU_HASH else MANY, flags=flags) as made:
        expected = {number(key): number(key) * 2 for key in range(MANY)}
        made.fill(expected.items())
        found = made.read()
        assert {key: found[key] for key in expected} == expected


def test_blocks_are_written_and_read():
    with Map.make("mnp_test", Kind.LPM_TRIE, 8, 4, MANY, flags=NO_PREALLOCATION) as made:
        expected = {number(8 + key % 25) + bytes([key >> 8, key & 255, 7, 1]): number(key) for key in range(200, 700)}
        made.fill(expected.items())
        assert len(made.read()) > 1


def test_a_frozen_map_cannot_be_changed():
    with Map.make("mnp_test", Kind.HASH, 4, 4, 4, flags=NO_PREALLOCATION) as made:
        made.put(number(1), number(2))
        made.freeze()
        with pytest.raises(PermissionError):
            made.put(number(1), number(3))
        with pytest.raises(PermissionError):
            made.delete(number(1))
        assert made.get(number(1)) == number(2)
        assert made.get(number(2)) is None


def test_an_element_that_is_not_there_cannot_be_deleted():
    with Map.make("mnp_test", Kind.HASH, 4, 4, 4, flags=NO_PREALLOCATION) as made, pytest.raises(FileNotFoundError):
        made.delete(number(1))
