"""The core's own plugin, loaded by the same entry point, hooks and checks as everybody else's.

It registers the ways to find a pod's network namespace. Each is imported inside its factory, because `mnp --help`
loads this module, too.
"""

from collections.abc import Iterator, Mapping

from mnp_core._markers import hookimpl
from mnp_core.api import SandboxLocator, SandboxLocatorSpec


@hookimpl
def mnp_register_sandbox_locators() -> Iterator[SandboxLocatorSpec]:
    """Offer the ways to pods: by the container runtime, by their processes, and by gates alone."""
    yield SandboxLocatorSpec(name="cri", factory=_make_cri_locator)
    yield SandboxLocatorSpec(name="proc", factory=_make_proc_locator)
    yield SandboxLocatorSpec(name="gates", factory=_make_gates_only)


def _make_cri_locator(settings: Mapping[str, str]) -> SandboxLocator:
    from mnp_core.sandbox.cri.locator import make_cri_locator  # noqa: PLC0415 # see above

    return make_cri_locator(settings)


def _make_gates_only(_settings: Mapping[str, str]) -> SandboxLocator:
    from mnp_core.sandbox.gated import GatesOnly  # noqa: PLC0415 # see above

    return GatesOnly()


def _make_proc_locator(settings: Mapping[str, str]) -> SandboxLocator:
    from mnp_core.sandbox.proc.locator import make_proc_locator  # noqa: PLC0415 # see above

    return make_proc_locator(settings)
