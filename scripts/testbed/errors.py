"""Errors of the bed."""


class TestBedError(Exception):
    """A failure of the bed; the message has the reason and a remedy."""

    __test__ = False  # no class of tests
