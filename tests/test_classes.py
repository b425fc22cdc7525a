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


def test_all_else_is_that_of_attrs():
    @frozen(order=True)
    class Pair:
        left: int
        right: int = 0

    assert (Pair(1), hash(Pair(1)), Pair.__slots__) == (Pair(1, 0), hash(Pair(1, 0)), ("left", "right", "__weakref__"))
    assert Pair(1) < Pair(2)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Pair(1).left = 2
