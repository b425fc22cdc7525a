"""A gate behind CNI plugins: a chained CNI plugin holds a pod's start until the node agent admits it."""

from collections.abc import Iterable

import click

from mnp_cnigate.gate import CniGate, make_gate
from mnp_core import hookimpl
from mnp_core.api import CommandSpec, GateSpec

__all__ = ["CniGate", "make_gate", "mnp_register_commands", "mnp_register_gates"]


@hookimpl
def mnp_register_gates() -> Iterable[GateSpec]:
    """Offer the gate."""
    yield GateSpec(name="cnigate", factory=make_gate)


@hookimpl
def mnp_register_commands() -> Iterable[CommandSpec]:
    """Offer `mnp cnigate`, which installs the CNI plugin on a node."""
    yield CommandSpec(name="cnigate", factory=_make_command)


def _make_command() -> click.Command:
    from mnp_cnigate.cli import cnigate_group  # noqa: PLC0415 # every `mnp` loads this module

    return cnigate_group
