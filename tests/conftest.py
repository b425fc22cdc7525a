"""Short names for what the suites of the kit and those of this folder share."""

import pytest


@pytest.fixture(scope="session")
def figures(mnp_figures):
    """Lines for the end of the run: what a suite has measured or counted."""
    return mnp_figures


@pytest.fixture
def chance(mnp_chance):
    """Randomness that is the same in every run, or what MNP_SEED says."""
    return mnp_chance
