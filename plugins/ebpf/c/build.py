"""Compiles the BPF programs into the form that `mnp_ebpf.program` loads: `python build.py [FOLDER]`.

The object is JSON: the instructions of one program with its functions, linked, and the places at which the loader puts
in maps and constants. It needs clang, and nothing else; the same clang makes the same bytes.
"""

import base64
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

HERE = Path(__file__).parent
PROGRAMS = ("policy", "xdp")
FLAGS = ("-target", "bpf", "-mcpu=v3", "-O2", "-Wall", "-Wextra", "-Werror")
MAPS = ("state", "tables", "blocks", "groups", "flows", "nascent", "fragments", "counts")
CONSTANTS = ("direction",)
"""In the order of the numbers in bpf.h."""
GLOBALS = {
    "read_packet": ("context", "number", "packet", "number"),
    "is_related": ("context", "packet"),
    "is_established": ("packet", "number"),
    "remember": ("packet", "number", "number"),
    "keep_verdict": ("packet", "number", "number"),
    "kept_verdict": ("packet", "number"),
    "turn_round": ("packet",),
    "may_be_known": ("packet",),
}
"""The arguments of functions that are verified by themselves. The others, and callbacks, are verified at each call."""

_MAP, _CONSTANT = 0x6D6E7001, 0x6D6E7002
_LOAD = 0x18  # BPF_LD | BPF_IMM | BPF_DW
_PSEUDO_FUNCTION = 4
_INSTRUCTION = struct.Struct("<BBhi")
_R_BPF_64_64 = 1
_FUNCTION = 2  # STT_FUNC


class Symbol(NamedTuple):
    """A symbol of an ELF file."""

    name: str
    kind: int
    section: int
    value: int


class Section(NamedTuple):
    """A section of an ELF file."""

    name: str
    data: bytes
    link: int


def compiler() -> str:
    """The compiler's command: the variable CLANG, or clang."""
    return os.environ.get("CLANG") or "clang"


def version() -> str:
    """The first line of what the compiler says of itself."""
    return subprocess.run((compiler(), "--version"), check=True, capture_output=True, text=True).stdout.splitlines()[0]  # noqa: S603 - named above


def build(name: str) -> str:
    """Compile one program; returns its object."""
    with TemporaryDirectory() as folder:
        made = Path(folder, f"{name}.o")
        subprocess.run((compiler(), *FLAGS, "-c", f"{name}.c", "-o", made), cwd=HERE, check=True)  # noqa: S603 - named above
        code, functions = link(made.read_bytes())
    lines = {
        "compiler": version(),
        "functions": [[start, " ".join(GLOBALS.get(name, ()))] for start, name in functions],
        "places": {key: found for key, found in places(code).items() if found},
        "code": base64.b64encode(code).decode(),
    }
    return json.dumps(lines, indent=1) + "\n"


def link(elf: bytes) -> tuple[bytes, list[tuple[int, str]]]:
    """Join the program and its functions; returns the code, and the functions: first instruction and name."""
    sections = list(_sections(elf))
    number = {section.name: index for index, section in enumerate(sections)}
    symbols = list(_symbols(sections[number[".symtab"]].data, sections[number[".strtab"]].data))
    program, text = (sections[number[name]].data for name in ("program", ".text"))
    code, offset = bytearray(program + text), len(program) // 8
    for section, start in (("program", 0), (".text", offset)):
        relocations = sections[number[f".rel{section}"]].data if f".rel{section}" in number else b""
        for position, about in struct.iter_unpack("<QQ", relocations):
            target = offset + symbols[about >> 32].value // 8
            _relocate(code, start + position // 8, target, kind=about & 0xFFFFFFFF)
    found = [(offset + each.value // 8, each.name) for each in symbols if _is_function(each, number[".text"])]
    return bytes(code), [(0, "program"), *sorted(found)]


def _is_function(symbol: Symbol, section: int) -> bool:
    return symbol.kind == _FUNCTION and symbol.section == section


def _relocate(code: bytearray, place: int, target: int, *, kind: int) -> None:
    """Make a call, or the address of a function, relative; all of them lead into the section of functions."""
    opcode, registers, _, value = _INSTRUCTION.unpack_from(code, place * 8)
    target += value // 8 if kind == _R_BPF_64_64 else value + 1
    if kind == _R_BPF_64_64:
        registers = registers & 15 | _PSEUDO_FUNCTION << 4
    _INSTRUCTION.pack_into(code, place * 8, opcode, registers, 0, target - place - 1)


def places(code: bytes) -> Mapping[str, list[int]]:
    """The instructions that load a map or a constant, by its name."""
    found: dict[str, list[int]] = {name: [] for name in (*MAPS, *CONSTANTS)}
    for place in range(len(code) // 8 - 1):
        opcode, _, _, low = _INSTRUCTION.unpack_from(code, place * 8)
        high = _INSTRUCTION.unpack_from(code, place * 8 + 8)[3]
        if opcode == _LOAD and high in {_MAP, _CONSTANT}:
            found[(MAPS if high == _MAP else CONSTANTS)[low - 1]].append(place)
    return found


def _symbols(table: bytes, names: bytes) -> Iterator[Symbol]:
    for name, info, _, section, value, _ in struct.iter_unpack("<IBBHQQ", table):
        yield Symbol(names[name : names.index(b"\0", name)].decode(), info & 15, section, value)


def _sections(elf: bytes) -> Iterator[Section]:
    if elf[:6] != b"\x7fELF\x02\x01":
        raise ValueError("this is no ELF file of 64 bits, little end first")
    (start,) = struct.unpack_from("<Q", elf, 40)
    size, number, names = struct.unpack_from("<HHH", elf, 58)
    heads = [struct.unpack_from("<IIQQQQII", elf, start + index * size) for index in range(number)]
    texts = heads[names][4]
    for name, kind, _, _, offset, length, link_to, _ in heads:
        end = elf.index(b"\0", texts + name)
        data = b"" if kind == 8 else elf[offset : offset + length]  # SHT_NOBITS
        yield Section(elf[texts + name : end].decode(), data, link_to)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "mnp_ebpf"
    for each in PROGRAMS:
        path = target / f"{each}.json"
        path.write_text(build(each), encoding="ascii")
        sys.stdout.write(f"{path}\n")
