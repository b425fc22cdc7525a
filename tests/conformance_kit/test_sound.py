"""Sound plugins pass the kit: the core's own locator and kind of policy, and the originals of the broken plugins."""

from contextlib import contextmanager

import pytest

from mnp_core.testing.builders import pod
from mnp_core.testing.conformance import AddressSourceConformance, SandboxLocatorConformance
from mnp_core.testing.conformance.locator import Located
from mnp_lab.locator import make_lab_locator
from mnp_lab.namespaces import pod_key
from mnp_lab.state import LabDirectory
from tests.conformance_kit.sound import (
    SOURCES,
    AddressSourceTests,
    DiscovererTests,
    GateTests,
    LocatorTests,
    PolicyKindTests,
)


class TestDiscoverer(DiscovererTests):
    pass


class TestGate(GateTests):
    pass


class TestLocator(LocatorTests):
    pass


class TestMultiNetworkPolicy(PolicyKindTests):
    pass


class TestMachines(AddressSourceTests):
    pass


class TestGuests(AddressSourceTests):
    source, origin = "kubevirt-guest-agent", "domain, guest-agent"


class TestClaims(AddressSourceConformance):
    def make_spec(self):
        return SOURCES.require("ipam-claims")

    def example(self):
        return {
            "apiVersion": "k8s.cni.cncf.io/v1alpha1",
            "kind": "IPAMClaim",
            "metadata": {"name": "vm.net", "namespace": "demo", "uid": "1"},
            "spec": {"network": "tenant", "interface": "net1"},
            "status": {"ips": ["10.9.0.5/24", "fd00:9::5/64"], "ownerPod": "virt-launcher-vm"},
        }


class TestLocatorOfLabsThatStay(SandboxLocatorConformance):
    @pytest.fixture(autouse=True)
    def _run_dir(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MNP_RUN_DIR", str(tmp_path))

    @contextmanager
    def located(self):
        lab, there = LabDirectory("kit"), pod("there")
        with lab.locked(create=True):
            sandbox = lab.namespaces.make(pod_key(there.name))
            try:
                yield Located(
                    locator=make_lab_locator({"lab": "kit"}),
                    pod=there,
                    sandbox=sandbox,
                    remake=lambda: lab.namespaces.make(pod_key(there.name)),
                )
            finally:
                lab.namespaces.drop(pod_key(there.name))
