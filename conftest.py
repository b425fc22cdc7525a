"""For every test of this repository, those of plugins included."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Machines that run tests have much else to do, so time says nothing about a case. CI asks the same questions each time:
# what is found by chance is found by developers, whose runs differ.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_collection_modifyitems(items):
    """Without root there are no network namespaces: say so instead of failing."""
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root: network namespaces"))
