"""What goes says so for a while, at the line that has to be changed."""

import linecache
import types

import pytest

from mnp_core._deprecation import Deprecation, deprecated, deprecated_names

OLD = Deprecation(name="mnp_core.api.old", since="0.2", gone_in="0.4", instead="use new")


@deprecated(OLD)
def old(number, *, doubled=False):
    """Give a number back."""
    return number * 2 if doubled else number


def lines_of(caught):
    """The lines that the warnings point at."""
    return [linecache.getline(warning.filename, warning.lineno).strip() for warning in caught]


def test_it_says_since_when_until_when_and_what_instead():
    assert str(OLD) == "mnp_core.api.old is deprecated since 0.2 and will be gone in 0.4: use new"


def test_function_still_works_and_warns_at_the_line_that_calls_it():
    with pytest.warns(DeprecationWarning, match=str(OLD)) as caught:
        assert old(2, doubled=True) == 4
    assert lines_of(caught) == ["assert old(2, doubled=True) == 4"]
    assert (old.__name__, old.__doc__) == ("old", "Give a number back.")


def test_argument_warns_at_the_line_that_passes_it():
    def compare(*, kinds=None):
        if kinds is not None:
            OLD.warn()

    compare()
    with pytest.warns(DeprecationWarning, match="use new") as caught:
        compare(kinds=())
    assert lines_of(caught) == ["compare(kinds=())"]


def test_old_name_of_a_module_still_works_and_warns():
    module = types.ModuleType("mnp_core.example")
    module.__getattr__ = deprecated_names(module.__name__, {"Old": (int, OLD)})
    with pytest.warns(DeprecationWarning, match="use new") as caught:
        assert module.Old is int
    assert lines_of(caught) == ["assert module.Old is int"]
    with pytest.raises(AttributeError, match=r"module 'mnp_core\.example' has no attribute 'Other'"):
        _ = module.Other
