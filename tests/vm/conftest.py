"""Tests that run in the virtual machine, started there by `make test-vm`; elsewhere they are skipped."""

import os
import subprocess
from collections import Counter, defaultdict

import pytest

from mnp_core.backend import choose_backend
from mnp_core.errors import MnpError
from mnp_core.plugins import load_plugins

MODULES = ("nf_tables", "ip_set", "ip_tables", "ip6_tables")
TABLE = pytest.StashKey[defaultdict[tuple[str, str], Counter]]()


def pytest_collection_modifyitems(items):
    """The devices that these tests are about are nowhere else; the reason is printed."""
    if "MNP_VM" not in os.environ:
        for item in items:
            if item.get_closest_marker("vm"):
                item.add_marker(pytest.mark.skip(reason="needs the devices of the virtual machine: make test-vm"))


def pytest_generate_tests(metafunc):
    """Every applier that is installed."""
    if "backend_name" in metafunc.fixturenames:
        metafunc.parametrize("backend_name", sorted(load_plugins().appliers))


@pytest.fixture(scope="session")
def registry():
    """Backends do not load modules of the kernel themselves; who installs a node does."""
    subprocess.run(["modprobe", "--all", *MODULES], check=True)
    return load_plugins()


@pytest.fixture
def backend(backend_name, registry):
    """An applier with its renderer; one that cannot work on this kernel says why."""
    try:
        return choose_backend(registry, backend_name)
    except MnpError as error:
        pytest.skip(str(error))


@pytest.fixture
def check(request):
    """Ask everything, hold the answers against what is expected, and count for the table."""
    stash = request.config.stash
    backend = request.node.callspec.params["backend_name"]

    def check(row, talk, expected):
        wrong = talk.wrong(expected)
        counts = Counter(states=1, cases=len(expected), allowed=sum(expected.values()), wrong=len(wrong))
        stash[TABLE][str(row), backend] += counts
        return {str(question): "allowed" if answered else "denied" for question, answered in wrong.items()}

    return check


def pytest_configure(config):
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
