"""Time that passes when a test says so."""


class Clock:
    """Seconds; serves as a monotonic clock."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
