"""Connection tracking entries written by a pod, and its isolation, by packets (S49, docs/security.md)."""

import errno
import socket
from itertools import count

import pytest

from mnp_core.model import AddressSource, Reason, Severity
from mnp_core.sandbox.netns import run_inside
from tests.security import flows
from tests.security.tenants import HONEST, Shared, lan, pod, policy

pytestmark = pytest.mark.root
MALLORY, STRANGER = "tenant/mallory", "prod/stranger"
ADDRESSES = {MALLORY: lan(4)[0], STRANGER: lan(3)[0]}
PORTS = count(7000)  # no test meets the entries of another
ISOLATED = policy("tenant/nothing", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
ADMIN = pod(MALLORY) | {
    "spec": {"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]}
}
PATIENCE = 0.5  # seconds for a packet that is to arrive on the same machine


@pytest.fixture(scope="module")
def rig():
    with Shared(AddressSource.NETWORK_STATUS) as rig:
        yield rig


class Pair:
    """UDP sockets in the isolated pod and in another one, and the ends that they are bound to."""

    def __init__(self, rig):
        self.inside, self.outside = (self._bound(rig, name) for name in (MALLORY, STRANGER))
        self.ends = self.outside.getsockname(), self.inside.getsockname()

    def _bound(self, rig, name):
        end = run_inside(rig.sandbox(name), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        end.bind((ADDRESSES[name], next(PORTS)))
        end.settimeout(PATIENCE)
        return end

    def open(self):
        """Whether packets arrive: into the pod, and out of it."""
        return _arrives(self.outside, self.inside), _arrives(self.inside, self.outside)

    def close(self):
        self.inside.close()
        self.outside.close()


def _arrives(one, other):
    try:
        one.sendto(b"x", other.getsockname())
        return other.recv(16) == b"x"
    except (TimeoutError, PermissionError):  # dropped on its way in, or on its way out
        return False


@pytest.fixture
def pair(rig):
    rig.tell([*HONEST, ISOLATED])
    pair = Pair(rig)
    yield pair
    pair.close()


def test_an_entry_that_a_process_with_net_admin_forges_passes_and_the_pod_carries_the_hint(rig, pair):
    """S49: the limit that docs/security.md names; the hint stands before anything is done."""
    others = [each for each in HONEST if each["metadata"] != ADMIN["metadata"]]
    reports = rig.tell([*others, ISOLATED, ADMIN]).reports
    hints = [report for report in reports if report.reason is Reason.NETWORK_ADMIN]
    assert [(str(hint.about), hint.severity) for hint in hints] == [(f"Pod {MALLORY}", Severity.HINT)]
    assert pair.open() == (False, False)
    run_inside(rig.sandbox(MALLORY), lambda: flows.forge(*pair.ends))
    assert pair.open() == (True, True)


@pytest.mark.parametrize("way", [1, -1], ids=["coming", "leaving"])
def test_a_process_without_net_admin_can_forge_none(rig, pair, way):
    ends = pair.ends[::way]
    assert run_inside(rig.sandbox(MALLORY), lambda: flows.forge_without_net_admin(*ends)) == errno.EPERM
    assert pair.open() == (False, False)
    assert all(report.reason is not Reason.NETWORK_ADMIN for report in rig.agent.reports())


def test_an_entry_in_another_pod_opens_nothing_here(rig, pair):
    """Each network namespace has connection tracking of its own."""
    run_inside(rig.sandbox(STRANGER), lambda: flows.forge(*pair.ends))
    assert pair.open() == (False, False)
