"""What the suites of this folder share."""

import os
import random

import pytest

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figures(request):
    """Lines for the end of the run: what a suite has measured or counted."""
    return request.config.stash.setdefault(FIGURES, [])


@pytest.fixture
def chance():
    """Randomness that is the same in every run, or what MNP_SEED says."""
    return random.Random(int(os.environ.get("MNP_SEED", "0")))  # noqa: S311 - games of chance, no secrets


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash.get(FIGURES, ()):
        terminalreporter.write_line(line)
