"""Namespaces take turns: much work of one, or one item of each of many, delays no other for long."""

from mnp_core.turns import Turns


def taken(turns, count):
    return [each for _ in range(count) for each in turns.take(1)]


def test_a_namespace_with_much_work_delays_only_itself():
    turns = Turns()
    turns.add("noisy", range(100))
    turns.add("quiet", ["one", "two"])
    assert turns.take(5) == ["one", 0, "two", 1, 2]
    assert len(turns) == 97


def test_who_comes_last_is_next_whatever_the_number_of_namespaces():
    """Else who may make namespaces delays all others by a round of turns."""
    turns = Turns()
    for number in range(200):
        turns.add(f"noisy-{number}", range(10))
    for _ in range(5):
        taken(turns, 50)
        turns.add("quiet", ["now"])
        assert "now" in taken(turns, 2)


def test_who_comes_first_waits_two_rounds_at_most_while_others_come():
    turns = Turns()
    for number in range(100):
        turns.add(f"first-{number}", ["first"])
    waited = 0
    while turns.has(lambda item: item == "first"):
        turns.add(f"later-{waited}", ["later"])
        turns.take(1)
        waited += 1
    assert waited <= 200


def test_nobody_has_more_than_a_turn_of_two():
    """Whoever comes again and again takes turns with the rest."""
    turns = Turns()
    turns.add("patient", range(10))
    got = []
    for _ in range(20):
        turns.add("insistent", ["again"])
        got += turns.take(1)
    assert [each for each in got if each != "again"] == list(range(10))


def test_urgent_items_come_first_in_their_namespace_only():
    turns = Turns()
    turns.add("b", ["b"])
    turns.add("a", ["later"])
    turns.add("a", ["urgent"], urgent=True)
    assert turns.take(3) == ["urgent", "b", "later"]


def test_only_what_fits_is_taken_and_the_rest_keeps_its_place():
    turns = Turns()
    for number in range(6):
        turns.add(f"n{number}", [number])
    assert turns.take_first(lambda item: item == 3) == 3
    assert turns.take_first(lambda item: item == 3) is None
    assert not turns.has(lambda item: item == 3)
    assert sorted(turns.all()) == [0, 1, 2, 4, 5]
    assert (len(turns), turns.take(1)) == (0, [])
