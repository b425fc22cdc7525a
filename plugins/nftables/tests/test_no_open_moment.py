"""Not one packet of a denied flow gets through while rules change, and an allowed flow loses none (S60).

Datagrams that are never answered stay new to connection tracking, so each is judged by the rules that are in force at
its moment. They are sent as fast as a process can; every one that passes our chains is counted behind them, in a table
of the test's own.
"""

import itertools
import subprocess
import sys
from contextlib import contextmanager

import pytest

from mnp_nftables import NftablesApplier, NftablesRenderer
from plugins.nftables.tests.policies import DENY, GROUP, OTHER_GROUP, addresses, allow, interface, isolated, sandbox
from plugins.nftables.tests.wire import PEER, POD

pytestmark = pytest.mark.root
CHANGES = 300
DENIED, ALLOWED = 80, 81

COUNTERS = """table inet seen {
 chain before {
  type filter hook prerouting priority -300; policy accept;
  udp dport 80 counter comment "denied before"
  udp dport 81 counter comment "allowed before"
 }
 chain after {
  type filter hook prerouting priority -140; policy accept;
  udp dport 80 counter comment "denied after"
  udp dport 81 counter comment "allowed after"
 }
 chain sent {
  type filter hook output priority -300; policy accept;
  udp dport 80 counter comment "denied before"
  udp dport 81 counter comment "allowed before"
 }
 chain out {
  type filter hook output priority 10; policy accept;
  udp dport 80 counter comment "denied after"
  udp dport 81 counter comment "allowed after"
 }
}
"""


def policies():
    """Ever different rules, of which none allows port 80 and each allows port 81, by port, by block and by group."""
    for number in itertools.count():
        peers = [GROUP] if number % 3 else ["10.0.0.0/24", f"10.1.0.{number % 200}/32"]
        others = [allow([OTHER_GROUP], [f"UDP/{1000 + n}"]) for n in range(number % 5)]
        rules = isolated(allow(peers, [f"UDP/{ALLOWED}", f"TCP/{number + 1}-{number + 9}"]), *others)
        groups = [addresses(GROUP, PEER[4], f"10.2.0.{number % 200}"), addresses(OTHER_GROUP, f"10.3.0.{number % 200}")]
        more = [interface(f"net{2 + n}", ingress=DENY, egress=DENY) for n in range(number % 4)]
        yield sandbox(interface("net1", ingress=rules, egress=rules), *more, groups=groups)


SENDER = """
import socket, sys
source, target, *ports = sys.argv[1:]
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind((source, 0))
targets = [(target, int(port)) for port in ports]
while True:
    for each in targets:
        try:
            sender.sendto(b"!", each)
        except PermissionError:
            pass  # dropped in the output hook
"""


@contextmanager
def flood(host, source, target):
    """Send all the time, to both ports in turn, from a process of its own: a thread would wait for this one's lock."""
    command = [sys.executable, "-c", SENDER, source, target, str(DENIED), str(ALLOWED)]
    sender = host.run(lambda: subprocess.Popen(command))
    try:
        yield
    finally:
        sender.kill()
        sender.wait()


def counted(pod):
    """Packets by label of the counters above."""
    found = {}
    for rule in (each["rule"] for each in pod.objects() if "rule" in each):
        if rule["table"] == "seen":
            counter = next(part["counter"] for part in rule["expr"] if "counter" in part)
            found[rule["comment"]] = found.get(rule["comment"], 0) + counter["packets"]
    return found


def change_rules(pod):
    """Replace everything, time and again."""
    for policy in itertools.islice(policies(), CHANGES):
        pod.enforce(policy)


def change_members(pod):
    """Members of a group that a rule uses come and go, while others stay."""
    states = [addresses(GROUP, PEER[4], *(f"10.2.{n}.{k}" for k in range(1, n))) for n in (1, 20, 3, 40)]
    rules = isolated(allow([GROUP], [f"UDP/{ALLOWED}"]))
    pod.enforce(sandbox(interface("net1", ingress=rules, egress=rules), groups=[states[0]]))
    for number in range(CHANGES):
        pod.regroup(states[number % 4], states[(number + 1) % 4])


def change_nothing(pod):
    """The same ruleset, applied whole, as after drift."""
    ruleset = NftablesRenderer().render(next(policies()))
    for _ in range(CHANGES // 3):
        pod.run(lambda: NftablesApplier().apply(ruleset))


@pytest.mark.parametrize("change", [change_rules, change_members, change_nothing])
@pytest.mark.parametrize("direction", ["ingress", pytest.param("egress", marks=pytest.mark.full)])
def test_no_packet_meets_anything_between_two_states(wire, change, direction):
    """S60."""
    pod = wire.pod
    pod.enforce(next(policies()))
    sender, receiver = (wire.peer, pod) if direction == "ingress" else (pod, wire.peer)
    source, target = (PEER[4], POD[4]) if direction == "ingress" else (POD[4], PEER[4])
    for port in (DENIED, ALLOWED):
        receiver.udp(target, port)  # nobody answers, not even with an error
    pod.nft(COUNTERS)
    with flood(sender, source, target):
        change(pod)
    found = counted(pod)
    assert min(found["denied before"], found["allowed before"]) > 10 * CHANGES
    assert found["denied after"] == 0
    assert found["allowed after"] == found["allowed before"]
