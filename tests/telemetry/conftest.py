"""Fixtures of this folder."""

import pytest

from tests.telemetry.timing import Clock


@pytest.fixture
def clock():
    return Clock()
