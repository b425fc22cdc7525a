"""A gate at the container runtime's Node Resource Interface: a pod's containers wait for the pod's rules.

Every `mnp` loads this module, so the gate, which needs protobuf, is imported when it is made.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mnp_core import hookimpl
from mnp_core.api import GateSpec

if TYPE_CHECKING:
    from mnp_nri.gate import NriGate

__all__ = ["NriGate", "make_nri_gate", "mnp_register_gates"]


@hookimpl
def mnp_register_gates() -> Iterable[GateSpec]:
    """Hold pods by NRI (containerd from 1.7, CRI-O from 1.26)."""
    yield GateSpec(name="nri", factory=make_nri_gate)


def make_nri_gate(settings: Mapping[str, str]) -> "NriGate":
    """Make a gate from the settings ``nri-socket`` and ``nri-plugin-index``; both may be left out.

    Raises:
        InputError: One of them is invalid.
    """
    from mnp_nri.gate import make_nri_gate as make  # noqa: PLC0415 # see above

    return make(settings)


def __getattr__(name: str) -> object:
    if name == "NriGate":
        from mnp_nri.gate import NriGate  # noqa: PLC0415 # see above

        return NriGate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
