"""The probe has the kernel verify the programs: one that refuses them makes the backend unusable, with its words."""

import json
import os
import platform
import subprocess
import sys

import pytest

from mnp_ebpf.maps import Kind, Map
from mnp_ebpf.program import ProgramKind, RefusedError, load_program, read_object

pytestmark = pytest.mark.root

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3, "ppc64le": 0xC0000015}  # AUDIT_ARCH_*
_WITHOUT_LOADS = """
import ctypes, errno, json, platform, struct, sys
from mnp_ebpf.bpf import _NUMBERS, PROG_LOAD
from mnp_ebpf import EbpfApplier

failure, machine = map(int, sys.argv[1:])
steps = [  # cBPF on struct seccomp_data: bpf(PROG_LOAD) of this machine fails, the rest is allowed
    (0x20, 0, 0, 4), (0x15, 0, 4, machine),
    (0x20, 0, 0, 0), (0x15, 0, 2, _NUMBERS[platform.machine()]),
    (0x20, 0, 0, 16), (0x15, 1, 0, PROG_LOAD),
    (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | failure),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(steps), ctypes.addressof(code)))
PR_SET_SECCOMP, FILTER = 22, 2
assert ctypes.CDLL(None).prctl(PR_SET_SECCOMP, FILTER, ctypes.c_void_p(ctypes.addressof(program)), 0, 0) == 0
found = EbpfApplier().probe()
print(json.dumps([found.usable, found.rank, found.detail]))
"""


def probe_without_loads(failure):
    """The answer of the probe in a process in which every bpf(PROG_LOAD) fails."""
    command = [sys.executable, "-c", _WITHOUT_LOADS, str(failure), str(_MACHINES[platform.machine()])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(
    ("failure", "words"),
    [(22, "Invalid argument"), (1, "the agent needs the capabilities SYS_ADMIN and NET_ADMIN")],
    ids=["EINVAL", "EPERM"],
)
def test_a_kernel_that_loads_no_program_makes_the_backend_unusable(failure, words):
    usable, rank, detail = probe_without_loads(failure)
    assert (usable, rank) == (False, -100)
    assert words in detail


def test_the_programs_are_loaded_for_one_probe_of_many():
    script = (
        "from mnp_ebpf import EbpfApplier, trial\n"
        "assert all(EbpfApplier().probe().usable for _ in range(3))\n"
        "print(trial.verify.cache_info().misses)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert int(done.stdout) == 1


def test_a_refused_program_is_an_error_with_kernel_program_words_and_remedy():
    compiled = read_object("policy")
    with Map.make("mnp_test", Kind.ARRAY, 4, 4, 1) as wrong:
        maps = dict.fromkeys(compiled.places, wrong.fd)
        with pytest.raises(RefusedError) as caught:
            load_program("mnp_test", compiled, ProgramKind.TC, maps, direction=0)
    start = f"the verifier of Linux {os.uname().release} ({os.uname().machine}) refuses program mnp_test: "
    assert caught.value.strerror.startswith(start)
    assert caught.value.strerror.endswith("; use another kernel, or another backend")
    assert "processed" not in caught.value.strerror
