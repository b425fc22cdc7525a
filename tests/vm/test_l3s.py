"""Ipvlan in mode l3s: no hook of the pod's namespace meets a packet from the wire; egress is enforced.

The kernel takes such a packet through the hooks of the node's namespace and gives it to the pod behind the last of them
(drivers/net/ipvlan/ipvlan_l3s.c: `ipvlan_nf_input` is registered in the namespace of the parent, at NF_INET_LOCAL_IN
with priority INT_MAX, before the pod's socket). Mode l3 is the control: there the same counters count.
"""

import json
import subprocess

import pytest

from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import builders as make
from tests.vm.corpus import OUTSIDE, verdict
from tests.vm.devices import KINDS
from tests.vm.network import PodNetwork

pytestmark = pytest.mark.vm
BY_NAME = {kind.name: kind for kind in KINDS}
POD, INTERFACE = "web", "net1"
WAY_IN = {"inet": ("ingress", "prerouting", "input", "forward"), "netdev": ("ingress",)}
"""Every hook of nftables that a packet can meet on its way in; `ip`, `ip6` and x_tables hang on the same as `inet`."""
PRIORITIES = (-500, 0, 500)
MET = {
    "ipvlan-l3": {("netdev", "ingress"), ("inet", "ingress"), ("inet", "prerouting"), ("inet", "input")},
    "ipvlan-l3s": set(),
}


@pytest.fixture(scope="module", params=MET)
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def network(mode):
    with PodNetwork([BY_NAME[mode]]) as network:
        yield network


def nft(*arguments, text=None):
    done = subprocess.run(["nft", *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def counters():
    """A table for each family, in each of its hooks a counter at the first, a middle and the last priority."""
    for family, hooks in WAY_IN.items():
        yield f"table {family} looks {{"
        for hook in hooks:
            device = f" device {INTERFACE}" if hook == "ingress" else ""
            for number, priority in enumerate(PRIORITIES):
                base = f"type filter hook {hook}{device} priority {priority}"
                yield f"chain {hook}{number} {{ {base}; udp dport 53 counter; }}"
        yield "}"


def places_met():
    """Family and hook, of those that have counted something."""
    for row in json.loads(nft("--json", "list", "ruleset"))["nftables"]:
        for part in row.get("rule", {}).get("expr", ()):
            if part.get("counter", {}).get("packets"):
                yield row["rule"]["family"], row["rule"]["chain"].rstrip("012")


def test_hooks_that_a_packet_from_outside_meets(network, mode):
    """S64: in mode l3s it reaches the pod's socket, and nothing in the pod's namespace could have stopped it."""
    pod = network.pods[POD]
    run_inside(pod, lambda: nft("-f", "-", text="\n".join(counters())))
    try:
        asked = [
            q for q in network.questions if (q.source.name, q.destination.name, q.protocol, q.port) == _FROM_OUTSIDE
        ]
        assert {question.source.version for question in asked} == {4, 6}
        assert network.conversations.wrong(dict.fromkeys(asked, True)) == {}
        assert {*run_inside(pod, lambda: [*places_met()])} == MET[mode]
    finally:
        run_inside(pod, lambda: nft("flush", "ruleset"))


_FROM_OUTSIDE = (OUTSIDE, POD, "UDP", 53)


def test_egress_is_enforced(network, mode, engine, check):
    """S11: outgoing packets meet the pod's output hook in every mode, answers to them come back (S40)."""
    out = make.policy("out", networks=["lan1"], selector=make.selector(app=POD), egress=[make.rule(None, ["UDP/53"])])
    asked = [question for question in network.questions if question.source.name == POD]
    with network.enforced(engine) as enforce:
        rules = enforce([out])
        expected = {question: verdict(rules, question) for question in asked}
        assert {q.destination.name for q, passes in expected.items() if not passes} >= {OUTSIDE}
        assert {q.destination.name for q, passes in expected.items() if passes} >= {OUTSIDE}
        assert check(f"{mode}, egress", network.conversations, expected) == {}
