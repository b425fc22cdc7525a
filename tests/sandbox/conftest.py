"""A namespace to test in."""

import pytest

from mnp_core.testing.netns import private_namespace


@pytest.fixture
def sandbox():
    with private_namespace() as sandbox:
        yield sandbox
