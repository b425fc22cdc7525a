"""For every test of this repository, those of plugins included."""

import os
import signal

from hypothesis import HealthCheck, settings

# Machines that run tests have much else to do, so time says nothing about a case. CI asks the same questions each time:
# what is found by chance is found by developers, whose runs differ.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

pytest_plugins = ["mnp_core.testing.plugin"]  # fixtures, and what needs root is skipped without it


def pytest_configure():
    """What runs in the background of a shell, or under nohup, is started deaf to these, and tests send them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
