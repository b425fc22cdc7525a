"""The prober's verdicts are right: open paths, drops and rejections by hand, closed ports."""

import socket
import threading
import time
from collections import Counter
from contextlib import closing

import pytest

from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import ObjectName
from mnp_core.offline.probe import ProbeVerdict, parse_probe
from mnp_core.sandbox.netns import run_inside
from mnp_lab.lab import Lab
from mnp_lab.probe import plan_probes
from mnp_lab.prober import Prober
from mnp_lab.transport.attempt import Loop
from mnp_lab.transport.pod_sockets import PodSockets
from tests.cluster.stopwatch import allowed
from tests.lab.manifests import nad, pod, subnet

pytestmark = pytest.mark.root

DUAL = nad("net", type="host-local", ranges=[[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64"}]])
VETH = nad("net", {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24"}})
A, B, C = (ObjectName("default", name) for name in "abc")
EVERYTHING = ["tcp:80", "udp:53", "sctp:99", "icmp"]
ALLOWED, DENIED, _, REFUSED, ERROR = ProbeVerdict
SHORT = 0.3


@pytest.fixture
def lab():
    with Lab.run([DUAL, *(pod(name) for name in "abc")]) as lab:
        yield lab


def ask(lab, specs=EVERYTHING, source=A, destination=B, timeout=SHORT, **filters):
    """Answers by protocol and family."""
    probes = lab.plan_probes(
        [parse_probe(spec) for spec in specs],
        sources=frozenset({source}),
        destinations=frozenset({destination}),
        **filters,
    )
    return {(r.probe.protocol.name, r.probe.address.version): (r.verdict, r.detail) for r in lab.probe(probes, timeout)}


def verdicts(answers):
    return {verdict for verdict, _ in answers.values()}


def filter_in(lab, name, hook, *rules):
    """Rules of a table by hand, instead of those from before."""
    chain = f"add chain inet hand c {{ type filter hook {hook} priority 0; }}"
    table = ["add table inet hand", "delete table inet hand", "add table inet hand", chain]
    script = "\n".join([*table, *(f"add rule inet hand c {rule}" for rule in rules)])
    assert lab.exec(name, ["nft", script]) == 0


# --- open, dropped, rejected ------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [DUAL, VETH], ids=["macvlan", "bridge"])
def test_every_pair_is_reached_by_every_protocol(network):
    with Lab.run([network, *(pod(name) for name in "abc")]) as lab:
        results = lab.probe(lab.plan_probes([parse_probe(spec) for spec in EVERYTHING]))
    families = 2 if network is DUAL else 1
    assert Counter(result.verdict for result in results) == {ALLOWED: 6 * 4 * families}
    assert max(result.seconds for result in results) < allowed(1)


def test_drop_by_traffic_control_at_the_source_is_denied(lab):
    """The sender gets ENOBUFS, which a full queue returns for a moment, too."""
    assert verdicts(ask(lab)) == {ALLOWED}  # and both ends know each other's MAC addresses
    assert lab.exec(A, ["tc", "qdisc", "add", "dev", "net1", "root", "bfifo", "limit", "1"]) == 0
    answers = ask(lab)
    assert verdicts(answers) == {DENIED}
    told = "dropped by traffic control on its way out of the source"
    assert {detail for (name, _), (_, detail) in answers.items() if name != "TCP"} == {told}
    assert lab.exec(A, ["tc", "qdisc", "del", "dev", "net1", "root"]) == 0
    assert verdicts(ask(lab)) == {ALLOWED}


def test_a_queue_that_is_full_for_a_moment_is_no_denial(lab):
    """The question is asked again."""
    ask(lab)
    assert lab.exec(A, ["tc", "qdisc", "add", "dev", "net1", "root", "bfifo", "limit", "1"]) == 0
    free = threading.Timer(0.3, lab.exec, (A, ["tc", "qdisc", "del", "dev", "net1", "root"]))
    free.start()
    try:
        assert verdicts(ask(lab, ["udp:53", "sctp:99", "icmp"], timeout=2.0)) == {ALLOWED}
    finally:
        free.join()


@pytest.mark.parametrize("hook", ["input", "output"])
def test_drop_on_either_side_is_denied(lab, hook):
    filter_in(
        lab,
        B if hook == "input" else A,
        hook,
        "meta l4proto { tcp, udp, sctp, icmp } drop",
        "icmpv6 type echo-request drop",
    )
    answers = ask(lab)
    assert len(answers) == 8
    assert verdicts(answers) == {DENIED}
    assert verdicts(ask(lab, source=C, destination=A if hook == "input" else B)) == {ALLOWED}


def test_a_rejection_is_a_denial_that_says_so_at_once(lab):
    """S48"""
    filter_in(lab, B, "input", "meta l4proto { tcp, udp, sctp } reject with icmpx admin-prohibited")
    started = time.monotonic()
    answers = ask(lab, ["tcp:80", "udp:53", "sctp:99"], timeout=3)
    assert answers == dict.fromkeys(answers, (DENIED, "rejected: administratively prohibited"))
    assert len(answers) == 6
    assert time.monotonic() - started < allowed(2)


@pytest.mark.parametrize("answer", ["icmpx port-unreachable", "tcp reset"])
def test_refusal_and_denial_differ(lab, answer):
    protocols, specs = ("tcp", ["tcp:80"]) if "tcp" in answer else ("tcp, udp", ["tcp:80", "udp:53"])
    filter_in(lab, B, "input", f"meta l4proto {{ {protocols} }} reject with {answer}")
    assert verdicts(ask(lab, specs)) == {REFUSED}


def test_sctp_abort_is_a_refusal(lab):
    (probe, _) = lab.plan_probes([parse_probe("sctp:99")], sources=frozenset({A}), destinations=frozenset({B}))
    loop = Loop()
    with (
        closing(loop),
        closing(PodSockets(lab.sandbox(A), loop)) as here,
        closing(PodSockets(lab.sandbox(B), loop)) as there,
    ):
        there.prepare_server(probe)  # but not asked to serve the port
        here.prepare_client(probe)
        there.open()
        here.open()
        attempt = here.attempt(probe)
        attempt.start()
        deadline = time.monotonic() + 5
        while attempt.result is None and time.monotonic() < deadline:
            loop.poll(0.1)
    assert attempt.result is not None
    assert attempt.result.verdict is REFUSED


def test_only_the_family_that_is_dropped_is_denied(lab):
    """S25"""
    filter_in(lab, B, "input", "meta nfproto ipv6 meta l4proto { tcp, udp, sctp } drop")
    answers = ask(lab, ["tcp:80", "udp:53", "sctp:99"])
    assert {key: verdict for key, (verdict, _) in answers.items()} == {
        (name, family): ALLOWED if family == 4 else DENIED for name in ("TCP", "UDP", "SCTP") for family in (4, 6)
    }


def test_conntrack_takes_the_packets_for_valid(lab):
    """S48: SCTP with a wrong checksum or tag would be invalid, and nothing would be learned from it."""
    for side in (A, B):
        filter_in(lab, side, "input", "ct state untracked,established,new accept", "drop")
    assert verdicts(ask(lab)) == {ALLOWED}


def test_a_probe_is_never_part_of_the_flow_of_an_earlier_one(lab):
    """S40: established flows pass, so a reused source port would hide a new policy."""
    filter_in(lab, B, "input", "ct state established accept")
    with lab.prober() as prober:
        probes = lab.plan_probes([parse_probe(s) for s in EVERYTHING], destinations=frozenset({B}))
        assert {r.verdict for _ in range(20) for r in prober.run(probes, SHORT)} == {ALLOWED}
        filter_in(
            lab,
            B,
            "input",
            "ct state established accept",
            "meta l4proto { tcp, udp, sctp, icmp } drop",
            "icmpv6 type echo-request drop",
        )
        assert {r.verdict for r in prober.run(probes, SHORT)} == {DENIED}


# --- who listens ------------------------------------------------------------------------------------------------


def test_a_pod_that_listens_itself_is_asked_as_it_is(lab):
    found = run_inside(lab.sandbox(B), lambda: socket.create_server(("10.0.0.3", 80)))
    with found as server:
        server.settimeout(0)
        assert ask(lab, ["tcp:80"])["TCP", 4] == (ALLOWED, "")
        connection, client = server.accept()
        connection.close()
    assert client[0] == "10.0.0.2"


def test_udp_to_a_program_that_does_not_echo_cannot_be_judged(lab):
    with run_inside(lab.sandbox(B), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("10.0.0.3", 53))
        verdict, detail = ask(lab, ["udp:53"])["UDP", 4]
    assert verdict is ERROR
    assert "does not echo" in detail


def test_listeners_end_with_the_prober(lab):
    with lab.prober() as prober:
        assert {r.verdict for r in prober.run(lab.plan_probes([parse_probe("tcp:80")]), SHORT)} == {ALLOWED}
    with run_inside(lab.sandbox(B), lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as sock:
        assert sock.connect_ex(("10.0.0.3", 80)) != 0


def test_a_pod_reaches_itself_through_lo_under_any_policy(lab):
    """S44"""
    filter_in(lab, A, "input", "iifname net1 drop")
    with lab.prober() as prober:
        probes = plan_probes(
            lab.plan, [parse_probe(spec) for spec in EVERYTHING], sources={A}, destinations={A}, include_self=True
        )
        assert [r.verdict for r in prober.run(probes, SHORT)] == [ALLOWED] * 8


def test_the_address_that_is_gone_is_an_error_not_a_denial(lab):
    assert lab.exec(B, ["ip", "address", "flush", "dev", "net1"]) == 0
    answers = ask(lab, ["tcp:80", "udp:53", "sctp:99"])
    assert verdicts(answers) == {ERROR}
    assert "cannot listen on" in answers["TCP", 4][1]


def test_pods_that_cannot_be_entered_are_errors_for_their_probes_alone(lab):
    def locate(name):
        if name == C:
            raise SandboxNotFoundError("no such pod")
        return lab.sandbox(name)

    with Prober(locate) as prober:
        results = prober.run(lab.plan_probes([parse_probe("tcp:80")]), SHORT)
    assert {r.verdict for r in results if C in (r.probe.source, r.probe.destination)} == {ERROR}
    assert {r.verdict for r in results if C not in (r.probe.source, r.probe.destination)} == {ALLOWED}


def test_a_network_twice_is_probed_interface_by_interface():
    """S3: a packet for an address arrives at the interface that has it."""
    with Lab.run([DUAL, pod("a"), pod("b", "net,net")]) as lab:
        filter_in(lab, B, "input", "iifname net2 meta l4proto { tcp, udp, sctp, icmp } drop")
        results = lab.probe(lab.plan_probes([parse_probe(s) for s in EVERYTHING], sources=frozenset({A})), SHORT)
    four = [r for r in results if r.probe.address.version == 4]
    assert {(r.probe.interface, r.verdict) for r in four} == {("net1", ALLOWED), ("net2", DENIED)}


def test_hundreds_of_probes_at_once_and_their_progress():
    """486 probes, all denied but those that are not: hardly more than the timeout."""
    told = []
    with Lab.run([DUAL, *(pod(f"p{number}") for number in range(9))]) as lab, lab.prober() as prober:
        for name in lab.plan.pods:
            filter_in(lab, name, "input", "tcp dport 81 drop")
        probes = [
            probe
            for probe in lab.plan_probes([parse_probe(f"{p}:{n}") for p in ("tcp", "udp", "sctp") for n in (80, 81)])
            if probe.address.version == 4
        ]
        results = prober.run(probes, SHORT, lambda *step: told.append(step))
    assert len(results) == 9 * 8 * 6
    assert Counter(r.verdict for r in results) == {DENIED: 72, ALLOWED: 360}
    assert all((r.verdict is DENIED) == (str(r.probe.spec) == "tcp:81") for r in results)
    assert told[-1] == ("probing", 432, 432)


def test_more_pairs_than_the_neighbour_table_holds_are_not_taken_for_denied():
    """1,260 pairs; the kernel's table, which all namespaces share, takes 1,024 and drops the rest without a word."""
    with Lab.run([subnet("10.0.0.0/24"), *(pod(f"p{number}") for number in range(36))]) as lab:
        results = lab.probe(lab.plan_probes([parse_probe("tcp:80"), parse_probe("udp:53")]))
    assert Counter(r.verdict for r in results) == {ALLOWED: 2 * 36 * 35}
