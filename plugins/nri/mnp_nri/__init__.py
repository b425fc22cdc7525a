"""A gate at the container runtime's Node Resource Interface: a pod's containers wait for the pod's rules."""

from collections.abc import Iterable

from mnp_core import hookimpl
from mnp_core.api import GateSpec
from mnp_nri.gate import NriGate, make_nri_gate

__all__ = ["NriGate", "make_nri_gate", "mnp_register_gates"]


@hookimpl
def mnp_register_gates() -> Iterable[GateSpec]:
    """Hold pods by NRI (containerd from 1.7, CRI-O from 1.26)."""
    yield GateSpec(name="nri", factory=make_nri_gate)
