"""Tests that run in the virtual machine, started there by `make test-vm`; elsewhere they are skipped."""

import os
import subprocess
from collections import Counter, defaultdict

import pytest

from mnp_core.backend import choose_backend
from mnp_core.plugins import load_plugins

MODULES = ("nf_tables", "ip_set", "ip_tables", "ip6_tables")
TABLE = pytest.StashKey[defaultdict[tuple[str, str], Counter]]()


def pytest_collection_modifyitems(items):
    """The devices that these tests are about are nowhere else; the reason is printed."""
    if "MNP_VM" not in os.environ:
        for item in items:
            if item.get_closest_marker("vm"):
                item.add_marker(pytest.mark.skip(reason="needs the devices of the virtual machine: make test-vm"))


@pytest.fixture(scope="session")
def registry():
    return load_plugins()


def pytest_generate_tests(metafunc):
    """Every backend that is installed has to work here, unless --backend names some; devices are made once for all."""
    if "engine" in metafunc.fixturenames:
        asked = {*(metafunc.config.getoption("--backend", default=None) or ["all"])}
        names = sorted(load_plugins().appliers if "all" in asked else asked)
        metafunc.parametrize("engine", names, indirect=True)


@pytest.fixture
def engine(request, registry, record_property):
    """The renderer and the applier of one backend."""
    record_property("mnp_backend", request.param)
    return choose_backend(registry, request.param)


@pytest.fixture
def check(request, engine):
    """Ask everything, compare the answers with the expected ones, and count for the table."""
    stash = request.config.stash

    def check(row, conversations, expected):
        wrong = conversations.wrong(expected)
        counts = Counter(states=1, cases=len(expected), allowed=sum(expected.values()), wrong=len(wrong))
        stash[TABLE][str(row), engine.name] += counts
        return {str(question): "allowed" if answered else "denied" for question, answered in wrong.items()}

    return check


def pytest_configure(config):
    """Backends do not load modules of the kernel themselves; who installs a node does."""
    if "MNP_VM" in os.environ:
        subprocess.run(["modprobe", "--all", *MODULES], check=True)
    config.stash[TABLE] = defaultdict(Counter)


def pytest_terminal_summary(terminalreporter, config):
    """Kind of attachment by backend: how many conversations were tried, and how many did not go as `evaluate` says."""
    table = config.stash[TABLE]
    if table:
        columns = ("states", "cases", "allowed", "wrong")
        terminalreporter.section("real devices: verdicts of packets against evaluate")
        terminalreporter.line(_row("kind", "backend", *columns))
        for (kind, backend), counts in table.items():
            terminalreporter.line(_row(kind, backend, *(counts[column] for column in columns)))


def _row(kind, backend, *numbers):
    return f"{kind:24} {backend:18}" + "".join(f"{number:>9}" for number in numbers)
