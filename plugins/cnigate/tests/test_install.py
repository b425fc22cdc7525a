"""`mnp cnigate install`."""

import platform
import stat

import pytest
from click.testing import CliRunner

from mnp_cnigate.cli import cnigate_group
from mnp_cnigate.install import install_executable
from mnp_core.errors import InputError, UnsupportedError
from mnp_core.plugins import load_plugins


@pytest.fixture
def packaged(tmp_path):
    folder = tmp_path / "packaged"
    folder.mkdir()
    (folder / "mnp-cnigate-x86_64").write_bytes(b"intel")
    (folder / "mnp-cnigate-aarch64").write_bytes(b"arm")
    return folder


@pytest.fixture
def node(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(("machine", "content"), [("x86_64", b"intel"), ("aarch64", b"arm")])
def test_executable_of_the_machine_is_installed_once(packaged, node, machine, content):
    first = install_executable(node, machine, packaged)
    assert (first.path, first.changed) == (node / "mnp-cnigate", True)
    assert first.path.read_bytes() == content
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o755
    inode = first.path.stat().st_ino
    assert not install_executable(node, machine, packaged).changed
    assert first.path.stat().st_ino == inode
    assert [each.name for each in node.iterdir()] == ["mnp-cnigate"]


def test_running_executable_is_replaced_as_a_whole(packaged, node):
    old = node / "mnp-cnigate"
    old.write_bytes(b"a longer one of before")
    with old.open("rb") as running:
        assert install_executable(node, "x86_64", packaged).changed
        assert running.read() == b"a longer one of before"
    assert old.read_bytes() == b"intel"


def test_wrong_mode_and_symbolic_link_are_replaced(packaged, node, tmp_path):
    install_executable(node, "x86_64", packaged)
    (node / "mnp-cnigate").chmod(0o777)
    assert install_executable(node, "x86_64", packaged).changed
    target = tmp_path / "elsewhere"
    (node / "mnp-cnigate").replace(target)
    (node / "mnp-cnigate").symlink_to(target)
    assert install_executable(node, "x86_64", packaged).changed
    assert not (node / "mnp-cnigate").is_symlink()


def test_unknown_machine_is_unsupported(packaged, node):
    with pytest.raises(UnsupportedError, match="no executable for riscv64"):
        install_executable(node, "riscv64", packaged)
    assert [*node.iterdir()] == []


def test_folder_has_to_be_one(packaged, node):
    with pytest.raises(InputError, match="bin/x: is no folder"):
        install_executable(node / "x", "x86_64", packaged)
    (node / "mnp-cnigate").mkdir()
    with pytest.raises(InputError, match="no folder itself"):
        install_executable(node, "x86_64", packaged)
    assert [each.name for each in node.iterdir()] == ["mnp-cnigate"], "nothing is left behind"


def test_command_reports_its_effect(packaged, node, monkeypatch):
    monkeypatch.setattr("mnp_cnigate.cli.install_executable", lambda *args: install_executable(*args, packaged))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    runs = [CliRunner().invoke(cnigate_group, ["install", str(node)]) for _ in range(2)]
    assert [run.exit_code for run in runs] == [0, 0]
    assert [run.output.split(": ")[1] for run in runs] == ["installed\n", "up to date\n"]


def test_plugin_registers_the_command():
    assert load_plugins().commands.require("cnigate").factory() is cnigate_group
