"""A process with CAP_NET_ADMIN litters its own pod: the running agent lives, other pods' changes are in time.

Parametrised by backend; a tenant's litter is a function that runs in the pod.
"""

import copy
import os
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from mnp_core.model import ObjectName
from tests.node.conftest import node as node  # noqa: PLC0414 # a fixture

pytestmark = pytest.mark.root
BACKENDS = ("iptables-nft", "iptables-legacy")
HOSTILE = ObjectName("demo", "stranger")
SOON, RARE = 15, 5  # seconds: until it is reported, and in which at most one more try is made
LITTER_READ = 90  # seconds until 60,000 rules have been read on a busy machine; 2 of processor time
IN_TIME = 6  # seconds on a machine that does other things too; some 0.02 where nothing else runs

STORM = "while :; do nft add table ip litter; nft delete table ip litter; done"
SETS = "for n in $(seq 5000); do echo create mnp4-litter$n hash:ip hashsize 64; done | ipset restore"
RULES = """for t in iptables-nft iptables-legacy; do
( echo '*mangle'
  yes -- '-A PREROUTING -m comment --comment "%s"' | head -60000
  echo COMMIT ) | $t-restore; done""" % ("x" * 200)
NAMES = """nft -f - <<X
table ip mangle { flags dormant; chain MNP-INGRESS { type filter hook input priority 0; policy drop; }; }
table ip6 mangle { set MNP-I-net1 { type ipv6_addr; }; chain PREROUTING { type filter hook output priority 0; }; }
X
"""
QUICK = ("names", "iptables-nft")
LITTER = {"storm": STORM, "sets": SETS, "rules": RULES, "names": NAMES}

CASES = [
    pytest.param(litter, backend, marks=[] if (litter, backend) == QUICK else [pytest.mark.long])
    for litter in LITTER
    for backend in BACKENDS
]

REPORTED = {("rules", "iptables-legacy")}
"""Litter with which nothing can be written into that pod any more: a legacy table is read and written as a whole."""

OWNED = {"nftables": ["inet mnp"], "iptables-nft": ["ip mangle", "ip6 mangle"]}
"""Tables that nobody else can write to once a process in the pod owns them."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("litter", "written_by"), CASES)
def test_leftovers_of_a_process_in_its_pod_harm_no_other_pod(node, written_by, litter):
    """S6, S61: the agent lives, another pod's change is in time; the littered pod's rules hold, or it is reported."""

    def reported():
        return "demo/stranger" in " ".join(node.problems("Unenforceable"))

    node.set(backend=written_by)
    node.start()
    assert (node.allowed(), node.allowed(HOSTILE)) == ({"client"}, {"client", "web"})
    policies = {
        raw["metadata"]["name"]: copy.deepcopy(raw)
        for raw in (document.raw for document in node.lab.objects.values())
        if raw["kind"] == "MultiNetworkPolicy"
    }
    process = node.inside(HOSTILE, lambda: subprocess.Popen(["sh", "-c", LITTER[litter]], start_new_session=True))
    try:
        if litter != "storm":
            process.wait(60)
        node.server.put("multi-networkpolicies", about(policies["web-deny"], "stranger"))  # it is written to, too
        for allowed in (set(), {"client"}):
            began = time.monotonic()
            if allowed:
                node.server.put("multi-networkpolicies", policies["web-allow-client"])
            else:
                node.server.delete("multi-networkpolicies", "web-allow-client", "demo")
            node.until(lambda allowed=allowed: node.allowed() == allowed)
            assert time.monotonic() - began < IN_TIME
        node.until(
            lambda: reported() or ((litter, written_by) not in REPORTED and not node.allowed(HOSTILE)), LITTER_READ
        )
        if litter == "rules" and reported():
            assert "remove the entries that a process in the pod added" in node.log.read_text()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert node.process.poll() is None
    assert node.end() == 0


def about(policy, app):
    """The same policy about other pods."""
    policy = copy.deepcopy(policy)
    policy["metadata"]["name"] = f"{app}-deny"
    policy["spec"]["podSelector"] = {"matchLabels": {"app": app}}
    return policy


@pytest.mark.parametrize("written_by", OWNED)
def test_a_pod_whose_rules_cannot_be_written_is_unenforceable_soon_and_until_they_can(node, written_by):
    """S64: reported in log, metric and Event; other pods are as before, and the agent retries, rarely."""
    node.set(backend=written_by)
    node.start()
    script = "; ".join(f"add table {t}; delete table {t}; add table {t} {{ flags owner; }}" for t in OWNED[written_by])
    owner = node.inside(
        HOSTILE,
        lambda: subprocess.Popen(["sh", "-c", f"(echo '{script}'; exec sleep 600) | nft -i"], start_new_session=True),
    )
    try:
        raw = node.raw("MultiNetworkPolicy", "web-deny")
        node.server.put("multi-networkpolicies", about(raw, "stranger"))
        began = time.monotonic()
        node.until(lambda: "demo/stranger" in " ".join(node.problems("Unenforceable")))
        assert time.monotonic() - began < SOON
        node.until(lambda: node.metric('mnp_unenforceable_attachments{reason="Unenforceable"}') == 1)
        node.until(lambda: node.events("Unenforceable"))
        failures = node.metric('mnp_apply_failures_total{reason="Refused"}')
        time.sleep(RARE)
        assert node.metric('mnp_apply_failures_total{reason="Refused"}') <= failures + 1
        assert node.allowed() == {"client"}
    finally:
        os.killpg(owner.pid, signal.SIGKILL)
        owner.wait()
    node.server.put("multi-networkpolicies", {**about(raw, "stranger"), "spec": {"podSelector": {}, "ingress": []}})
    node.until(lambda: node.metric('mnp_unenforceable_attachments{reason="Unenforceable"}') == 0)
