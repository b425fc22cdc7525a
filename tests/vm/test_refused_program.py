"""A kernel that has every command of bpf(2) that mnp-ebpf calls, and refuses its programs: User Mode Linux."""

from pathlib import Path

import pytest

from mnp_core.backend import Backends, BackendSettings
from mnp_core.errors import UnsupportedError
from mnp_core.model import LinkPath

pytestmark = [pytest.mark.root, pytest.mark.vm]

WORDS = r"the verifier of Linux \S+ \(\S+\) refuses program mnp_ingress: .+; it needs .*CONFIG_DEBUG_INFO_BTF"


@pytest.fixture(autouse=True)
def _types_are_missing():
    if Path("/sys/kernel/btf/vmlinux").exists():
        pytest.skip("this kernel has types of its own, and takes the programs: make test-vm-full has one without")


def test_another_backend_is_chosen(registry):
    assert Backends(registry, BackendSettings()).of(()).name == "nftables"


def test_a_setting_that_names_it_is_refused_with_the_words_of_the_verifier(registry):
    with pytest.raises(UnsupportedError, match=f"backend 'ebpf' cannot be used here: {WORDS}"):
        Backends(registry, BackendSettings(node="ebpf"))


def test_interfaces_that_it_alone_reaches_are_reported_with_the_words_of_the_verifier(registry):
    found = Backends(registry, BackendSettings()).obstacle((), LinkPath.REDIRECTED)
    assert found.startswith("backend 'ebpf' cannot be used here: the verifier of Linux ")
    assert "CONFIG_DEBUG_INFO_BTF" in found
