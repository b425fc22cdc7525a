"""A gate behind CNI plugins: a chained CNI plugin holds a pod's start until the node agent admits it.

Every `mnp` loads this module, so imports of the implementation are in the factories.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from mnp_core import hookimpl
from mnp_core.api import CommandSpec, GateSpec

if TYPE_CHECKING:
    from mnp_cnigate.gate import CniGate

__all__ = ["CniGate", "make_gate", "mnp_register_commands", "mnp_register_gates"]


@hookimpl
def mnp_register_gates() -> Iterable[GateSpec]:
    """Offer the gate."""
    yield GateSpec(name="cnigate", factory=make_gate)


@hookimpl
def mnp_register_commands() -> Iterable[CommandSpec]:
    """Offer `mnp cnigate`, which installs the CNI plugin on a node."""
    yield CommandSpec(name="cnigate", factory=_make_command)


def make_gate(settings: Mapping[str, str]) -> "CniGate":
    """Make the gate from the settings: ``cnigate-socket``, the path of its socket."""
    from mnp_cnigate.gate import make_gate as make  # noqa: PLC0415 # see above

    return make(settings)


def _make_command() -> click.Command:
    from mnp_cnigate.cli import cnigate_group  # noqa: PLC0415 # see above

    return cnigate_group


def __getattr__(name: str) -> object:
    if name == "CniGate":
        from mnp_cnigate.gate import CniGate  # noqa: PLC0415 # see above

        return CniGate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
