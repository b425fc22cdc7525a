"""Sources of addresses that the setting `guest-addresses` names (S75)."""

import pytest

from mnp_core.errors import InputError, PluginError
from mnp_core.plugins import load_plugins


def test_the_sources_in_use_are_those_named_in_their_order():
    found = load_plugins().addresses_from(("ipam-claims", "kubevirt"))
    assert [source.name for source in found] == ["ipam-claims", "kubevirt"]
    assert load_plugins().addresses_from(()) == ()


def test_an_unknown_source_is_an_error_that_names_the_nearest():
    with pytest.raises(PluginError, match=r"no address source 'kubevrit', installed are .* Is 'kubevirt' meant"):
        load_plugins().addresses_from(("kubevrit",))


def test_two_sources_of_one_kind_are_an_error():
    """One object has one meaning."""
    with pytest.raises(InputError, match=r"guest-addresses: 'kubevirt' reads VirtualMachineInstance, as .* leave one"):
        load_plugins().addresses_from(("kubevirt-guest-agent", "kubevirt"))
