"""The executable that the build hook compiles."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from plugins.cnigate.tests.calls import PROJECT, load_build


def test_executable_is_static_and_stripped(executable):
    """It runs on any node, independently of its libraries."""
    assert b".symtab" not in executable.read_bytes()
    assert subprocess.run(["ldd", executable], capture_output=True, check=False).returncode != 0


def test_same_sources_give_the_same_bytes(executable, tmp_path):
    build = load_build()
    again = build.compile_one(PROJECT / "c", tmp_path, ("cc", "-Werror"), executable.name.rpartition("-")[2])
    assert again.read_bytes() == executable.read_bytes()


@pytest.mark.full
@pytest.mark.skipif(find_spec("ziglang") is None, reason="ziglang is not installed: pip install --group dist")
def test_ziglang_compiles_small_ones_for_every_machine(tmp_path):
    build = load_build()
    for folder in (tmp_path / "1", tmp_path / "2"):
        subprocess.run([sys.executable, PROJECT / "hatch_build.py", folder], check=True, timeout=290)
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "12")
    assert [*map(build.executable, build.MACHINES)] == sorted(first, reverse=True)
    assert first == second
    assert max(map(len, first.values())) < 200_000
