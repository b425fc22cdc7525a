"""Fixtures of this folder."""

import io
import json
import logging
from contextlib import redirect_stderr

import pytest
import structlog

from mnp_core.telemetry.logs import LogFormat, LogLevel, configure_logging
from tests.telemetry.timing import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def logging_restored():
    """Restores logging after each test."""
    root, ours = logging.getLogger(), logging.getLogger("mnp_core")
    levels = root.level, ours.level
    yield
    for handler in [each for each in root.handlers if isinstance(each.formatter, structlog.stdlib.ProcessorFormatter)]:
        root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def lines(logging_restored):  # noqa: ARG001 - undone after the test
    """Returns the lines logged since the last call, decoded from JSON."""
    written = io.StringIO()
    with redirect_stderr(written):
        configure_logging(LogFormat.JSON, LogLevel.DEBUG)

    def read():
        text = written.getvalue()
        written.seek(0)
        written.truncate()
        return [json.loads(line) for line in text.splitlines()]

    return read
