"""Loads a program that `c/build.py` compiled: maps and constants are put in, and the kernel's verifier checks it."""

import base64
import errno
import json
import os
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from attrs import frozen

from mnp_ebpf.bpf import BTF_LOAD, PROG_LOAD, Buffer, call, name_bytes

_LICENSE: Final = Buffer(b"Apache-2.0\0")
_LOG: Final = 1 << 20  # bytes of the verifier's words, asked for after a refusal
_PSEUDO_MAP: Final = 1  # BPF_PSEUDO_MAP_FD
_INSTRUCTION = struct.Struct("<BBhi")
_FUNCTION_INFO = struct.Struct("=II")  # struct bpf_func_info


class ProgramKind(IntEnum):
    """``enum bpf_prog_type``."""

    TC = 3  # BPF_PROG_TYPE_SCHED_CLS
    XDP = 6


_CONTEXTS: Final = {ProgramKind.TC: "__sk_buff", ProgramKind.XDP: "xdp_md"}
_KERNEL_TYPES: Final = Path("/sys/kernel/btf/vmlinux")
_REFUSALS: Final = frozenset({errno.EACCES, errno.EINVAL, errno.E2BIG})
_PACKET_SIZE: Final = 56  # struct packet of c/packet.h
_ARGUMENTS: Final = {"number": 1, "context": 3, "packet": 5}
"""Numbers of their types: those come first, then a prototype and a name for each function."""
_FIRST_FUNCTION: Final = 7


class RefusedError(OSError):
    """The verifier refuses a program. Nothing but another kernel helps, or another program."""


@frozen(kw_only=True)
class Object:
    """A compiled program.

    Attributes:
        code: Instructions of 8 bytes.
        functions: The instructions at which functions begin, the first is 0, and their arguments in words: those of
            functions that are verified by themselves, empty for the others.
        places: The instructions that load a map or a constant, by its name.
        compiler: What compiled it.
    """

    code: bytes
    functions: Mapping[int, str]
    places: Mapping[str, Sequence[int]]
    compiler: str


@cache
def read_object(name: str) -> Object:
    """Read an object of this distribution."""
    found = json.loads(files("mnp_ebpf").joinpath(f"{name}.json").read_text("ascii"))
    return Object(
        code=base64.b64decode(found["code"]),
        functions=dict(found["functions"]),
        places=found["places"],
        compiler=found["compiler"],
    )


def load_program(name: str, compiled: Object, kind: ProgramKind, maps: Mapping[str, int], **constants: int) -> int:
    """Load a program.

    Args:
        name: At most 15 characters, shown by bpftool.
        compiled: Its code.
        kind: Its type.
        maps: Descriptors by name.
        constants: By name, at most 32 bits.

    Returns:
        Its descriptor.

    Raises:
        RefusedError: The verifier refuses it: which kernel, which program, the verifier's last words, and a remedy.
        OSError: The kernel refuses for another reason.
    """
    code = Buffer(_patched(compiled, maps, constants))
    types = _load_types(kind, list(compiled.functions.values()))
    try:
        return _load(name, code, kind, types, list(compiled.functions))
    finally:
        os.close(types)


def _patched(compiled: Object, maps: Mapping[str, int], constants: Mapping[str, int]) -> bytes:
    code = bytearray(compiled.code)
    for name, places in compiled.places.items():
        for place in places:
            opcode, registers, offset, _ = _INSTRUCTION.unpack_from(code, place * 8)
            source, value = (_PSEUDO_MAP, maps[name]) if name in maps else (0, constants[name])
            _INSTRUCTION.pack_into(code, place * 8, opcode, registers & 15 | source << 4, offset, value)
            _INSTRUCTION.pack_into(code, place * 8 + 8, 0, 0, 0, 0)
    return bytes(code)


def _load(name: str, code: Buffer, kind: ProgramKind, types: int, functions: Sequence[int]) -> int:
    about = Buffer(b"".join(_FUNCTION_INFO.pack(start, _FIRST_FUNCTION + 2 * n) for n, start in enumerate(functions)))

    def attributes(log: Buffer | None) -> bytes:
        level, size, address = (1, log.size, log.address) if log else (0, 0, 0)
        head = struct.pack(
            "=IIQQIIQII", kind, code.size // 8, code.address, _LICENSE.address, level, size, address, 0, 0
        )
        return head + struct.pack(
            "=16sIIIIQI4x", name_bytes(name), 0, 0, types, _FUNCTION_INFO.size, about.address, len(functions)
        )

    try:
        return call(PROG_LOAD, attributes(None))[0]
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
    log = Buffer(_LOG)
    result, _ = call(PROG_LOAD, attributes(log), expected=_REFUSALS | {errno.ENOSPC})
    if result >= 0:
        return result
    raise _refusal(name, -result, log.data.partition(b"\0")[0].decode(errors="replace"))


def _refusal(name: str, number: int, log: str) -> OSError:
    words = [line for line in log.strip().splitlines() if not line.startswith("processed ")][-2:]
    if not words:  # it did not get as far as to the verifier
        return OSError(number, f"program {name}: {os.strerror(number)}")
    kernel, problem = f"Linux {os.uname().release} ({os.uname().machine})", " / ".join(words)
    return RefusedError(number, f"the verifier of {kernel} refuses program {name}: {problem}; {_remedy()}")


def _remedy() -> str:
    """Programs whose functions are verified by themselves need the kernel's types, for the context among arguments."""
    if _KERNEL_TYPES.exists():
        return "use another kernel, or another backend"
    return "it needs a kernel with CONFIG_DEBUG_INFO_BTF, which this one lacks: use one that has it, or another backend"


def _load_types(kind: ProgramKind, functions: Sequence[str]) -> int:
    """A description of the functions and of their arguments, in the kernel's format (BTF). All return an int."""
    names, types = bytearray(b"\0"), []

    def name(text: str) -> int:
        names.extend(text.encode() + b"\0")
        return len(names) - len(text) - 1

    types.append(struct.pack("=IIII", name("int"), 1 << 24, 4, 1 << 24 | 32))  # BTF_KIND_INT, signed, 32 bits
    for text, size in ((_CONTEXTS[kind], 4), ("packet", _PACKET_SIZE)):
        types.append(struct.pack("=III", name(text), 4 << 24, size))  # BTF_KIND_STRUCT; its members do not matter
        types.append(struct.pack("=III", 0, 2 << 24, len(types)))  # BTF_KIND_PTR to it
    for number, arguments in enumerate(functions):
        words = arguments.split()
        parameters = b"".join(struct.pack("=II", name("a"), _ARGUMENTS[word]) for word in words)
        types.append(struct.pack("=III", 0, 13 << 24 | len(words), 1) + parameters)  # BTF_KIND_FUNC_PROTO
        types.append(struct.pack("=III", name(f"f{number}"), 12 << 24 | bool(words), len(types)))  # BTF_KIND_FUNC
    about = b"".join(types)
    head = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(about), len(about), len(names))
    content = Buffer(head + about + bytes(names))
    return call(BTF_LOAD, struct.pack("=QQIII", content.address, 0, content.size, 0, 0))[0]
