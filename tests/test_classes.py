"""Classes of the core: those of attrs, with one ``__repr__``."""

import attrs
import pytest
from attrs import field

from mnp_core.classes import define, frozen


def variants(make):
    """Classes with all that attrs lets a class say about its own ``__repr__``."""

    @make
    class Plain:
        number: int
        text: str = "a"

    @make(kw_only=True, order=True)
    class Told:
        hidden: int = field(repr=False)
        shown: int = field(repr=hex)
        inner: object = None

    @make
    class Derived(Plain):
        more: float = 0.5

    return Plain, Told, Derived


def shown(make):
    plain, told, derived = variants(make)
    inner = told(hidden=1, shown=16, inner=plain(1))
    return [repr(each) for each in (plain(1, "\n"), inner, derived(2, more=1.0), type("Further", (plain,), {})(3))]


@pytest.mark.parametrize(("ours", "theirs"), [(frozen, attrs.frozen), (define, attrs.define)], ids=["frozen", "define"])
def test_repr_is_that_of_attrs(ours, theirs):
    assert shown(ours) == shown(theirs)


def test_repr_of_a_class_that_has_its_own_stays():
    @frozen
    class Own:
        secret: str

        def __repr__(self):
            return "Own(...)"

    assert repr(Own("password")) == "Own(...)"


def test_repr_of_what_contains_itself_ends():
    @define(eq=False)
    class Node:
        others: list

    node = Node([])
    node.others.append(node)
    assert repr(node) == "Node(others=[...])"


@pytest.mark.parametrize("options", [{}, {"order": True}, {"cache_hash": True}, {"eq": False}], ids=str)
def test_values_are_equal_if_the_class_and_the_compared_fields_are(options):
    @frozen(**options)
    class Value:
        left: int
        right: int = 0
        noted: int = field(default=0, eq=False)
        unhashed: int = field(default=0, hash=False)

    class Other(Value):
        pass

    value, compares = Value(1), options != {"eq": False}
    assert (value == Value(1, noted=1)) is compares
    assert (hash(value) == hash(Value(1, noted=1, unhashed=1))) is compares
    assert value == value  # noqa: PLR0124 # by identity, too
    for unequal in (Value(1, 1), Value(1, unhashed=1), Other(1), 1):
        assert value != unequal


def test_values_without_fields_are_equal():
    @frozen
    class Nothing:
        pass

    assert len({Nothing(), Nothing()}) == 1


def test_values_that_can_change_are_compared_but_not_hashed():
    @define
    class Count:
        number: int

    assert Count(1) == Count(1) != Count(2)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Count(1))


def test_comparisons_of_a_class_that_has_its_own_stay():
    @frozen
    class Own:
        number: int

        def __eq__(self, other):
            return isinstance(other, Own)

        def __hash__(self):
            return 1

    assert (Own(1) == Own(2), hash(Own(2))) == (True, 1)


def test_all_else_is_that_of_attrs():
    @frozen(kw_only=True, order=True)
    class Value:
        number: int = field(converter=int)

    assert Value.__slots__ == ("number", "__weakref__")
    assert Value(number="1") < Value(number=2)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Value(number=1).number = 2
