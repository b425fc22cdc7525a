"""The core's own plugin, loaded by the same entry point, hooks and checks as everybody else's.

It registers the ways to find a pod's network namespace, each imported inside its factory, because `mnp --help` loads
this module, too; and the objects that have addresses of virtual machines.
"""

from collections.abc import Iterator, Mapping

from attrs import evolve

from mnp_core._markers import hookimpl
from mnp_core.api import AddressSourceSpec, SandboxLocator, SandboxLocatorSpec
from mnp_core.model.parsing import (
    IPAM_CLAIM,
    VIRTUAL_MACHINE,
    parse_ipam_claim,
    parse_virtual_machine,
    parse_virtual_machine_and_guest,
)


@hookimpl
def mnp_register_sandbox_locators() -> Iterator[SandboxLocatorSpec]:
    """Offer the ways to pods: by the container runtime, by their processes, and by gates alone."""
    yield SandboxLocatorSpec(name="cri", factory=_make_cri_locator)
    yield SandboxLocatorSpec(name="proc", factory=_make_proc_locator)
    yield SandboxLocatorSpec(name="gates", factory=_make_gates_only)


@hookimpl
def mnp_register_address_sources() -> Iterator[AddressSourceSpec]:
    """Offer KubeVirt's machines, with or without what their guests say, and claims on addresses."""
    machines = AddressSourceSpec(
        name="kubevirt",
        group="kubevirt.io",
        versions=("v1",),
        kind=VIRTUAL_MACHINE,
        plural="virtualmachineinstances",
        pod_label="kubevirt.io/created-by",
        parse=parse_virtual_machine,
    )
    yield machines
    yield evolve(machines, name="kubevirt-guest-agent", parse=parse_virtual_machine_and_guest)
    yield AddressSourceSpec(
        name="ipam-claims",
        group="k8s.cni.cncf.io",
        versions=("v1alpha1",),
        kind=IPAM_CLAIM,
        plural="ipamclaims",
        parse=parse_ipam_claim,
    )


def _make_cri_locator(settings: Mapping[str, str]) -> SandboxLocator:
    from mnp_core.sandbox.cri.locator import make_cri_locator  # noqa: PLC0415 # see above

    return make_cri_locator(settings)


def _make_gates_only(_settings: Mapping[str, str]) -> SandboxLocator:
    from mnp_core.sandbox.gated import GatesOnly  # noqa: PLC0415 # see above

    return GatesOnly()


def _make_proc_locator(settings: Mapping[str, str]) -> SandboxLocator:
    from mnp_core.sandbox.proc.locator import make_proc_locator  # noqa: PLC0415 # see above

    return make_proc_locator(settings)
