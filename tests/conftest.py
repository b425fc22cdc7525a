"""Short names for fixtures shared by the suites of the kit and of this folder."""

import pytest


@pytest.fixture(scope="session")
def figures(mnp_figures):
    """Lines for the end of the run: measurements and counts of a suite."""
    return mnp_figures


@pytest.fixture
def chance(mnp_chance):
    """Randomness with the same seed in every run, or with MNP_SEED."""
    return mnp_chance
