"""For every test of this repository, those of plugins included."""

import gc
import os
import signal
import subprocess

import pytest
from hypothesis import HealthCheck, settings

from mnp_core.sandbox._syscalls import CLONE_NEWNET, unshare

# Machines that run tests have much else to do, so time says nothing about a case. CI asks the same questions each time:
# chance finds are for developers, whose runs differ. MNP_CASES is read here, too: pytest has yet to rewrite the package
# that mnp_core.testing.suites.differential.profile is in, which therefore must not be imported.
EXAMPLES = max(1, int(os.environ.get("MNP_CASES", "200")) // 2)
settings.register_profile("here", deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

CLONE_NEWNS = 0x00020000  # <linux/sched.h>

pytest_plugins = ["mnp_core.testing.suites.plugin"]  # fixtures, --backend, skips without root


def pytest_configure(config):
    """Isolate a worker of pytest-xdist; restore signals that a shell in the background or nohup ignores."""
    if hasattr(config, "workerinput") and os.geteuid() == 0:
        _isolate()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Begin with the folders whose tests follow one another in one file for a minute and more, mostly waiting.

    Tests of one file run in one worker, which else would be alone with them at the end.
    """
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/faults/", "tests/security/")))


def pytest_collection():
    """Let the collector of garbage wait: thousands of tests are made, and all are kept."""
    gc.disable()


def pytest_collection_finish():
    """Spare it what is there now in each later pass, too."""
    gc.freeze()
    gc.enable()


def _isolate() -> None:
    """Enter mount and network namespaces of this process alone.

    Workers share names otherwise: labs and network namespaces under /run, links, the lock of legacy iptables.
    """
    unshare(CLONE_NEWNS | CLONE_NEWNET)
    for command in (
        ("mount", "--make-rprivate", "/"),
        ("mount", "-t", "tmpfs", "tmpfs", "/run"),
        ("mkdir", "/run/netns", "/run/lock"),
        ("ip", "link", "set", "lo", "up"),
    ):
        subprocess.run(command, check=True)  # noqa: S603 # programs named here
