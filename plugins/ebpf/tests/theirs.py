"""A program of another owner."""

import os

from mnp_core.model import Direction
from mnp_ebpf.hooks import LOOPBACK, Hook
from mnp_ebpf.program import Object, ProgramKind, load_program

PASSING = Object(code=bytes.fromhex("b7000000ffffffff 9500000000000000"), functions={0: ""}, places={}, compiler="")
"""A program that returns -1, which is TCX_NEXT and TC_ACT_UNSPEC."""


def put_first(attacher, name, index=LOOPBACK, direction=Direction.INGRESS):
    """Attach a program of another owner, which lets everything pass."""
    program = load_program(name, PASSING, ProgramKind.TC, {})
    try:
        attacher.attach(Hook(index=index, direction=direction), program)
    finally:
        os.close(program)
