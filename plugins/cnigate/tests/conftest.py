"""The executable, compiled by the system's compiler, and agents for it to ask."""

import platform

import pytest

from plugins.cnigate.tests.calls import PROJECT, Keeper, Plugin, load_build


@pytest.fixture(scope="session")
def executable(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cnigate")
    return load_build().compile_one(PROJECT / "c", folder, ("cc", "-Werror"), platform.machine())


@pytest.fixture
def plugin(executable, tmp_path):
    return Plugin(executable, tmp_path / "run" / "gate.sock")


@pytest.fixture
def keeper():
    keeper = Keeper()
    keeper.go.set()
    return keeper
