"""The node's container runtime: `containerd` or `crio`, two modules with the same functions."""

from types import ModuleType

from scripts.testbed import containerd, crio, place, programs
from scripts.testbed.kind import chosen as kind

SLOW = "slow"
"""The handler of a runtime class: its containers, sandboxes included, take `SLOW_BY` seconds longer to be created."""
SLOW_BY = 2.0
_SLOW_RUNC = """#!/bin/sh
case " $* " in *" create "*) sleep {by} ;; esac
exec {runc} "$@"
"""


def chosen() -> ModuleType:
    """The module of the runtime that the bed has."""
    return {"containerd": containerd, "crio": crio}[kind().runtime]


def configure(*, under_state: bool = False) -> None:
    """Write the runtime's configuration, and the program behind the runtime class `SLOW`.

    Args:
        under_state: Namespaces of pods are kept in the runtime's own state, where it can do that (containerd).
    """
    slow = place.CONFIG / "slow-runc"
    slow.write_text(_SLOW_RUNC.format(by=SLOW_BY, runc=programs.find("runc")))
    slow.chmod(0o755)
    chosen().configure(slow=slow, under_state=under_state)
