"""What goes wrong."""


class TestBedError(Exception):
    """The bed cannot do what was asked; the message says why, and what helps."""

    __test__ = False  # no class of tests
