"""The pytest plugin of the suites: ``--backend`` and ``--wiring``, shared fixtures, and a table of results.

Opt in with ``-p mnp_core.testing.suites.plugin``, which brings `mnp_core.testing.plugin` with it. Tests that take the
fixture ``mnp_backend`` run once for each backend that is named.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import PurePath
from typing import Any

import pytest

_SUITES = ("truthtable", "differential", "atomicity")
pytest.register_assert_rewrite(
    *(f"mnp_core.testing.suites.{suite}" for suite in _SUITES)
)  # before the first import of one

from mnp_core.backend import Backends, BackendSettings  # noqa: E402 # see above
from mnp_core.errors import PluginError, UnsupportedError  # noqa: E402 # see above
from mnp_core.model import LinkPath  # noqa: E402 # see above
from mnp_core.plugins import load_plugins  # noqa: E402 # see above
from mnp_core.testing.wiring import WIRINGS, Wiring  # noqa: E402 # see above

pytest_plugins = ["mnp_core.testing.plugin"]

_FIGURES = pytest.StashKey[list[str]]()
_FIGURES_KEY = "mnp-figures"
_BACKEND, _WIRING = "mnp_backend", "mnp_wiring"


# --- fixtures ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def mnp_figures(request: pytest.FixtureRequest) -> list[str]:
    """Lines for the end of the report: measurements and counts of a suite."""
    return request.config.stash.setdefault(_FIGURES, [])


@pytest.fixture(scope="module")
def mnp_wiring(request: pytest.FixtureRequest, mnp_backend: str) -> Wiring:
    """How pods and networks are wired: ``--wiring``."""
    made = WIRINGS[request.config.getoption("--wiring")]()
    if made.path is not LinkPath.IP and os.geteuid() == 0:
        obstacle = Backends(load_plugins(), BackendSettings(node=mnp_backend)).obstacle((), made.path)
        if obstacle:
            pytest.skip(f"{made.path.value} pods are enforced by no backend here: {obstacle}")  # by this kernel
    return made


@pytest.fixture
def mnp_chance() -> random.Random:
    """Randomness that is the same in every run, unless the variable ``MNP_SEED`` has another seed."""
    return random.Random(int(os.environ.get("MNP_SEED", "0")))  # noqa: S311 - games of chance, no secrets


@pytest.fixture(autouse=True)
def _mnp_backend_in_report(request: pytest.FixtureRequest) -> None:
    if _BACKEND in request.fixturenames:
        wiring = request.config.getoption("--wiring") if _WIRING in request.fixturenames else "plain"
        row = f"{request.getfixturevalue(_BACKEND)}{'' if wiring == 'plain' else f', {wiring}'}"
        request.node.user_properties.append((_BACKEND, row))


# --- hooks ------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption(
        "--backend",
        action="append",
        metavar="NAME",
        help="run the suites that send packets with this backend; several times for several, `all` for each that works "
        "here; without it, with the one that an agent would choose",
    )
    parser.addoption(
        "--wiring",
        choices=sorted(WIRINGS),
        default="plain",
        help="the pods of the suites: `plain` with interfaces of their own, `bridged` as those of virtual machines, "
        "behind a bridge in the pod",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    config.addinivalue_line("markers", "full: repeats with many more cases what shorter tests show")
    config.addinivalue_line("markers", "long: takes minutes")
    config.addinivalue_line("markers", "timeout: seconds, for pytest-timeout where that is installed")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse the name of a backend that is not installed, before collection starts."""
    if named := session.config.getoption("--backend"):
        _backends(tuple(named))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests with the fixture ``mnp_backend`` once for each named backend."""
    if _BACKEND in metafunc.fixturenames:
        named = tuple(metafunc.config.getoption("--backend") or ())
        metafunc.parametrize(_BACKEND, _backends(named), scope="module")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the figures of a worker of pytest-xdist to the process that prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_FIGURES_KEY] = session.config.stash.get(_FIGURES, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in the figures of a worker of pytest-xdist, where that is installed."""
    received = getattr(node, "workeroutput", {}).get(_FIGURES_KEY, ())
    node.config.stash.setdefault(_FIGURES, []).extend(received)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the figures, and the table of results."""
    for line in (*config.stash.get(_FIGURES, ()), *_table(terminalreporter.stats)):
        terminalreporter.write_line(line)


@cache
def _backends(named: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the backends to run with."""
    try:
        if named and "all" not in named:
            return tuple(_name(name) for name in named)
        choice = Backends(load_plugins(), BackendSettings())
        best = choice.of(())
    except PluginError as error:
        raise pytest.UsageError(f"--backend: {error}") from error
    except UnsupportedError:
        return ("",)  # without root the tests are skipped; with it they fail, and say why
    return (best.name, *(backend.name for backend in choice.others(best))) if named else (best.name,)


def _name(name: str) -> str:
    """Of the applier, where the name is that of a dialect."""
    try:
        return Backends(load_plugins(), BackendSettings(node=name)).of(()).name
    except UnsupportedError:
        return name  # as above


def _table(stats: Mapping[str, Sequence[pytest.TestReport]]) -> Iterator[str]:
    """Backend x suite: how many passed, of how many."""
    passed, run = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for outcome in ("passed", "failed"):
        for report in stats.get(outcome, ()):
            backend = dict(report.user_properties).get(_BACKEND)
            if backend and report.when == "call":
                row = str(backend), PurePath(report.nodeid.partition("::")[0]).parent.name
                run[row] += 1
                passed[row] += outcome == "passed"
    if run:
        yield f"{'backend':26}{'suite':16}{'passed':>8}{'of':>6}"
    for backend, suite in sorted(run):
        yield f"{backend:26}{suite:16}{passed[backend, suite]:>8}{run[backend, suite]:>6}"
