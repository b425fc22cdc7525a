"""The compiled programs are those of the sources."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from mnp_ebpf.program import read_object

BUILD = Path(__file__).parents[1] / "c" / "build.py"
PACKAGE = Path(__file__).parents[1] / "mnp_ebpf"


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("mnp_ebpf_build", BUILD)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_compiler_makes_the_same_bytes(build):
    if shutil.which(build.compiler()) is None:
        pytest.skip("clang is not installed: apt-get install clang")  # users need none: the object is shipped
    for name in build.PROGRAMS:
        if (ours := build.version()) != (theirs := read_object(name).compiler):
            pytest.skip(f"the object comes from {theirs}, and this is {ours}")  # another compiler makes other bytes
        assert build.build(name) == (PACKAGE / f"{name}.json").read_text(), f"make ebpf, and commit {name}.json"


def test_every_place_of_an_object_is_a_load_of_64_bits():
    found = read_object("policy")
    assert next(iter(found.functions)) == 0
    for places in found.places.values():
        assert {found.code[place * 8] for place in places} == {0x18}
