"""Labs of a test's own, of which nothing may be left."""

import socket

import pytest

from mnp_lab.lab import Lab
from tests.lab.looks import mounts_below


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """Where a test's labs are kept. Afterwards nothing of them is there, nor anything on the host."""
    monkeypatch.setenv("MNP_RUN_DIR", str(tmp_path / "run"))
    before = socket.if_nameindex()
    yield tmp_path / "run"
    Lab.down_all()
    assert socket.if_nameindex() == before
    assert mounts_below(tmp_path) == []
