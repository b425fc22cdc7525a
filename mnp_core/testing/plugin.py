"""A pytest plugin for those who test plugins of this project; opt in with ``-p mnp_core.testing.plugin``.

It gives fixtures for private network namespaces and wired pods, the marker ``root`` for tests that need them (skipped
without root, with the reason), and a section at the end of the report that says which conformance classes ran and which
exceptions they claim. Nothing is active in a project that does not ask for it.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest
from attrs import field

from mnp_core.classes import define

pytest.register_assert_rewrite("mnp_core.testing.conformance")  # before anything imports it

from mnp_core.api import Sandbox  # noqa: E402 # see above
from mnp_core.testing.conformance.base import Conformance  # noqa: E402 # see above
from mnp_core.testing.netns import private_namespace  # noqa: E402 # see above
from mnp_core.testing.wired import WiredPod  # noqa: E402 # see above

_PROPERTY = "mnp-conformance"


@define
class _Summary:
    """The results of one conformance class."""

    standard: int
    exceptions: dict[str, str]
    outcomes: dict[str, set[str]] = field(factory=dict)  # by test, over its parameters
    skipped: Counter[str] = field(factory=Counter)  # by reason, for those that no exception is claimed for

    def __str__(self) -> str:
        found = list(self.outcomes.values())
        counts = {
            "passed": found.count({"passed"}),
            "failed": sum("failed" in outcomes for outcomes in found),
            "passed in part": found.count({"passed", "skipped"}),
            "skipped": found.count({"skipped"}),
            "left out": self.standard - len(found),
        }
        told = (f"{count} {what}" for what, count in counts.items() if count)
        return f"{self.standard} standard tests: {', '.join(told)}"


# --- fixtures ---------------------------------------------------------------------------------------------------


@pytest.fixture
def mnp_cleanup() -> Iterator[ExitStack]:
    """Contexts entered here end with the test, passed or failed."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def mnp_namespaces(mnp_cleanup: ExitStack) -> Callable[[], Sandbox]:
    """Makes private network namespaces, with ``lo`` and nothing else; they go with the test."""
    return lambda: mnp_cleanup.enter_context(private_namespace())


@pytest.fixture
def mnp_namespace(mnp_namespaces: Callable[[], Sandbox]) -> Sandbox:
    """A private network namespace."""
    return mnp_namespaces()


@pytest.fixture(scope="class")
def mnp_wired_pods() -> Iterator[Callable[..., WiredPod]]:
    """Makes wired pods by the names of their interfaces; the same names give the same pod, rules included."""
    made: dict[tuple[str, ...], WiredPod] = {}
    with ExitStack() as cleanup:

        def make(*interfaces: str) -> WiredPod:
            if interfaces not in made:
                made[interfaces] = WiredPod(cleanup, interfaces)
            return made[interfaces]

        yield make


# --- hooks ------------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and collect results for the summary."""
    config.addinivalue_line("markers", "root: needs root and its own network namespaces")
    config.pluginmanager.register(_Reporter(), "mnp-conformance")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without root there are no network namespaces: say so instead of failing. Standard tests are made sure of."""
    refused: dict[type[Conformance], Mapping[str, str]] = {}  # asked once for each class, not for each test
    for item in items:
        if os.geteuid() != 0 and item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root: network namespaces"))
        kind = getattr(item, "cls", None)
        if isinstance(kind, type) and issubclass(kind, Conformance) and isinstance(item, pytest.Function):
            if kind not in refused:
                refused[kind] = _refused(kind)
            _prepare(item, kind, refused[kind])


def _prepare(item: pytest.Function, kind: type[Conformance], refused: Mapping[str, str]) -> None:
    kind.check()  # again: attributes can be set after a class was made
    name = item.originalname
    if name in kind.exceptions and getattr(kind, name) is kind.standard_tests[name]:
        item.add_marker(pytest.mark.skip(reason=f"exception: {kind.exceptions[name]}"))
    about = {
        "class": item.nodeid.rpartition("::")[0],
        "test": name,
        "names": sorted(kind.standard_tests),
        "exceptions": {**kind.exceptions, **refused},
    }
    item.user_properties.append((_PROPERTY, about))


def _refused(kind: type[Conformance]) -> Mapping[str, str]:
    """Cases of the corpus that a renderer refuses, with the reasons."""
    refusals = kind.refusals() if hasattr(kind, "refusals") else {}  # of those that test a renderer
    return {f"corpus case {case!r}": reason for case, reason in refusals.items()}


class _Reporter:
    """Collects outcomes where the summary is printed, which under pytest-xdist is not where tests run."""

    def __init__(self) -> None:
        self._summaries: dict[str, _Summary] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = dict(report.user_properties).get(_PROPERTY)
        if not isinstance(found, dict) or (report.when != "call" and report.outcome == "passed"):
            return
        summary = self._summaries.setdefault(
            found["class"], _Summary(standard=len(found["names"]), exceptions=found["exceptions"])
        )
        if found["test"] in found["names"]:
            summary.outcomes.setdefault(found["test"], set()).add(report.outcome)
            if report.skipped and not _is_claimed(reason := _reason_of(report)):
                summary.skipped[reason] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Summarise the standard tests: run, and left out with the reason."""
        if self._summaries:
            terminalreporter.section("conformance")
        for name, summary in sorted(self._summaries.items()):
            terminalreporter.write_line(f"{name}: {summary}")
            for test, reason in sorted(summary.exceptions.items()):
                terminalreporter.write_line(f"  exception: {test}: {reason}")
            for reason, count in sorted(summary.skipped.items()):
                terminalreporter.write_line(f"  skipped: {count} {'case' if count == 1 else 'cases'}: {reason}")


def _reason_of(report: pytest.TestReport) -> str:
    """Why a test was skipped, or is expected to fail."""
    reason = getattr(report, "wasxfail", None)
    if reason is None and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped").removeprefix(":")
    return (reason or "").strip() or "no reason is given"


def _is_claimed(reason: str) -> bool:
    """Whether it stands among the exceptions already."""
    return reason.startswith(("exception: ", "refused: "))
