"""A node on a lab of the quickstart's pods."""

import pytest

from tests.node.program import Node, served_lab


@pytest.fixture
def node(tmp_path):
    with served_lab(tmp_path) as (lab, server), Node(lab, server, tmp_path) as found:
        yield found
