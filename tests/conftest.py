"""What the suites of this folder share."""

import os
import random
from collections import Counter
from functools import cache

import pytest

from mnp_core.backend import Backends, BackendSettings
from mnp_core.plugins import load_plugins

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figures(request):
    """Lines for the end of the run: what a suite has measured or counted."""
    return request.config.stash.setdefault(FIGURES, [])


@pytest.fixture
def chance():
    """Randomness that is the same in every run, or what MNP_SEED says."""
    return random.Random(int(os.environ.get("MNP_SEED", "0")))  # noqa: S311 - games of chance, no secrets


def pytest_addoption(parser):
    parser.addoption(
        "--backend",
        action="append",
        metavar="NAME",
        help="run the suites that send packets with this backend; several times for several, `all` for each that works "
        "here; without it, with the one that an agent would choose",
    )


@cache
def backends(asked):
    """The names of the backends to run with."""
    choice = Backends(load_plugins(), BackendSettings())
    best = choice.of(())
    return (best.name, *(backend.name for backend in choice.others(best))) if "all" in asked else asked or (best.name,)


def pytest_generate_tests(metafunc):
    if "backend" in metafunc.fixturenames:
        asked = tuple(metafunc.config.getoption("--backend", default=None) or ())
        metafunc.parametrize("backend", backends(asked), scope="module")


@pytest.fixture(autouse=True)
def _told_of_backend(request, record_property):
    if "backend" in request.fixturenames:
        record_property("backend", request.getfixturevalue("backend"))


def pytest_sessionfinish(session):
    """Send the figures of a worker of pytest-xdist to the process that prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = session.config.stash.get(FIGURES, [])


class FiguresOfWorkers:
    """A plugin of the process that starts the workers."""

    def __init__(self, config):
        self._config = config

    def pytest_testnodedown(self, node):
        self._config.stash.setdefault(FIGURES, []).extend(getattr(node, "workeroutput", {}).get("figures", ()))


def pytest_configure(config):
    if config.pluginmanager.has_plugin("dsession"):
        config.pluginmanager.register(FiguresOfWorkers(config))


def pytest_terminal_summary(terminalreporter, config):
    for line in (*config.stash.get(FIGURES, ()), *backend_table(terminalreporter.stats)):
        terminalreporter.write_line(line)


def backend_table(stats):
    """Backend x suite: how many passed, of how many."""
    passed, all_of_them = Counter(), Counter()
    for outcome in ("passed", "failed"):
        for report in stats.get(outcome, ()):
            backend = dict(report.user_properties).get("backend")
            if backend and report.when == "call":
                suite = report.nodeid.split("/")[1]
                all_of_them[backend, suite] += 1
                passed[backend, suite] += outcome == "passed"
    if all_of_them:
        yield f"{'backend':18}{'suite':16}{'passed':>8}{'of':>6}"
    for backend, suite in sorted(all_of_them):
        yield f"{backend:18}{suite:16}{passed[backend, suite]:>8}{all_of_them[backend, suite]:>6}"
