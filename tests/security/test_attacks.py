"""Attack x effect x bound, on the running program beside a quiet tenant: `make test-attacks` prints the table.

The bounds are the same for all: a change of the quiet tenant is in force within a second (as many times that as there
are programs for each processor) and waits for less than a second of the agent's work, the process stays under the limit
of its manifest, probes are answered, no denied packet passes, and the attack is reported.
"""

import json
import os
import select
import time
import urllib.request
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from attrs import define, field

from mnp_core.model import ObjectName, Reason
from mnp_core.sources.manifests import Document, load_documents
from mnp_core.telemetry.line_limit import BURST, LINES_PER_SECOND
from mnp_nftables import NftablesApplier
from tests.node.program import QUICKSTART, WEB, Node, served_lab
from tests.security.attacks import ATTACKS, FOR, NETWORKS, POLICIES, TENANT, policy, slow_clients

pytestmark = pytest.mark.root
MOST_MEMORY = 300  # MiB, deploy/kustomize/base/daemonset.yaml
LONGEST = 1.0  # seconds; also of processor time that the agent uses while the quiet tenant waits
TICKS = os.sysconf("SC_CLK_TCK")
EVENTS = 50_000
PODS, PEERS = 10, 3000
TENANT_PODS = [ObjectName(TENANT, f"{sort}-{number}") for sort in ("pod", "wide") for number in range(PODS)]
QUIET = {"apiVersion": "k8s.cni.cncf.io/v1beta1", "kind": "MultiNetworkPolicy"}


@define
class Effect:
    """A row as it was measured."""

    attack: str
    delays: list = field(factory=list)
    works: list = field(factory=list)
    memory: float = 0.0
    probes: list = field(factory=list)
    told: set = field(factory=set)
    seen: set = field(factory=set)
    crowded: float = 1.0


class Beside(Node):
    """The program with two tenants: the quiet one is `demo` of the quickstart."""

    def __init__(self, *args):
        super().__init__(*args)
        self._numbers = count()
        self._commits = None
        self._started_at = 0.0

    def start(self):
        self._started_at = time.monotonic()
        super().start()
        self.deafen()
        self._commits = self.inside(WEB, NftablesApplier().watch)
        self.settle()

    def deafen(self):
        if self._commits is not None:
            self._commits.close()

    def kill(self):
        super().kill()
        self.deafen()

    def settle(self):
        while select.select([self._commits], [], [], 0.7)[0]:
            self._commits.recv(65536)

    def quiet_change(self):
        """Seconds until a change of the quiet tenant is committed in its pod, and of the agent's work meanwhile."""
        number = next(self._numbers)
        metadata = {"name": "quiet", "namespace": "demo", "annotations": FOR}
        peer = {"ipBlock": {"cidr": f"192.0.{number // 250}.{number % 250}/32"}}
        spec = {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [peer]}]}
        began, worked = time.monotonic(), self.worked()
        self.server.put(POLICIES, {**QUIET, "metadata": metadata, "spec": spec})
        assert select.select([self._commits], [], [], 300)[0], "nothing was written within 300 s"
        delay, work = time.monotonic() - began, self.worked() - worked
        self.settle()
        return delay, work

    def worked(self):
        """Seconds of processor time that the agent has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def age(self):
        """Seconds since it was started."""
        return time.monotonic() - self._started_at

    def probe(self):
        """Seconds of a liveness probe."""
        began = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/livez", timeout=5) as answer:
            assert answer.status == 200
        return time.monotonic() - began

    def forget_peak(self):
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak(self):
        """MiB resident at most, since `forget_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def do_inside(self, attacks):
        for work in [attack.inside for attack in attacks if attack.inside is not None]:
            for pod in TENANT_PODS:
                self.inside(pod, work)

    def tenant_is_enforced(self):
        return all(self.inside(pod, NftablesApplier().installed) is not None for pod in TENANT_PODS)

    def tells(self, reason):
        return [line for line in self.problems(reason) if f"{TENANT}/" in line]


def tenant_pod(number):
    metadata = {"name": f"pod-{number}", "namespace": TENANT, "labels": {"number": str(number)}}
    metadata["annotations"] = {"k8s.v1.cni.cncf.io/networks": "demo/data"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "c"}]}}


def wide_pod(number):
    """With a network interface in each of `NETWORKS`."""
    raw = tenant_pod(number)
    raw["metadata"] |= {"name": f"wide-{number}", "labels": {"wide": str(number)}}
    raw["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/networks": ",".join(NETWORKS)}
    return raw


def network(number):
    ipam = {"type": "host-local", "subnet": f"10.30.{number}.0/24"}
    config = {"cniVersion": "0.3.1", "type": "macvlan", "master": f"eth{2 + number}", "mode": "bridge", "ipam": ipam}
    namespace, name = NETWORKS[number].split("/")
    kind = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition"}
    return {**kind, "metadata": {"name": name, "namespace": namespace}, "spec": {"config": json.dumps(config)}}


def peer(number):
    """A pod of another node."""
    status = f'[{{"name": "demo/data", "interface": "net1", "ips": ["10.20.{number >> 8}.{number & 255}"]}}]'
    metadata = {"name": f"far-{number}", "namespace": "crowd", "labels": {"far": "yes"}}
    metadata["annotations"] = {"k8s.v1.cni.cncf.io/network-status": status}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "elsewhere"}}


def tenant():
    yield from map(network, range(len(NETWORKS)))
    for number in range(PODS):
        yield tenant_pod(number)
        yield wide_pod(number)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacks")
    documents = [*load_documents([QUICKSTART / "cluster.yaml", QUICKSTART / "policy.yaml"])]
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (TENANT, "crowd")]
    documents += [Document(where="attacks", raw=raw) for raw in (*spaces, *tenant())]
    with served_lab(folder, documents) as (lab, server), Beside(lab, server, folder) as found:
        for number in range(PEERS):
            server.put("pods", peer(number))
        found.start()
        yield found


@pytest.fixture(scope="module")
def table():
    rows = []
    yield rows
    print(f"\n{'attack':40} {'quiet change, worst':>20} {'work':>8} {'resident':>10} {'probe':>8}  reported")  # noqa: T201
    for row in rows:
        told = ", ".join(sorted(row.told)) or "-"
        print(  # noqa: T201 - the purpose of the command
            f"{row.attack:40} {max(row.delays):>18.3f} s {max(row.works):>6.2f} s {row.memory:>6.0f} MiB"
            f" {max(row.probes):>6.3f} s  {told}"
        )


def measure(node, attacks, seconds=3.0):
    """The effect of simultaneous attacks; afterwards all is as before."""
    effect = Effect(" + ".join(attack.name for attack in attacks)[:40])
    written = [(POLICIES, raw) for attack in attacks for raw in attack.policies()]
    written += [each for attack in attacks for each in attack.others()]
    names = {(plural, raw["metadata"].get("namespace", ""), raw["metadata"]["name"]) for plural, raw in written}
    wanted = {reason for attack in attacks for reason in attack.told}
    node.forget_peak()
    with slow_clients(node.port, sum(attack.clients for attack in attacks)):
        for plural, raw in written:
            node.server.put(plural, raw)
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(effect.delays) < 3:
            node.do_inside(attacks)
            delay, work = node.quiet_change()
            effect.delays.append(delay)
            effect.works.append(work)
            effect.probes.append(node.probe())
        node.until(lambda: all(node.tells(reason) for reason in wanted))
        if len(attacks) == 1:  # beside changes of policies, rules come back with these and are no news
            node.until(lambda: attacks[0].logged in node.log.read_text())
        node.until(node.tenant_is_enforced, 30 * crowd())
    effect.told = {str(reason) for reason in wanted}
    effect.crowded = crowd()
    effect.seen = node.allowed()
    effect.memory = node.peak()
    for plural, namespace, name in sorted(names):
        node.server.delete(plural, name, namespace)
    node.settle()
    return effect


def check(effect, longest=LONGEST):
    assert max(effect.delays) < longest * effect.crowded, "the quiet tenant waits"
    assert max(effect.works) < longest, "the quiet tenant waits for the work of others"
    assert effect.memory < MOST_MEMORY
    assert max(effect.probes) < LONGEST * effect.crowded
    assert effect.seen == {"client"}, "packets"


def test_nothing_is_done(node, table):
    """The baseline of the others."""
    delays, works = zip(*(node.quiet_change() for _ in range(5)), strict=True)
    table.append(Effect("nothing", delays, works, node.peak(), [node.probe()]))
    assert node.allowed() == {"client"}


def marked(attack):
    return pytest.param(attack, marks=[getattr(pytest.mark, attack.tier)] if attack.tier else [], id=str(attack))


@pytest.mark.parametrize("attack", [*map(marked, ATTACKS)])
def test_an_attack_costs_its_tenant(node, table, attack):
    """S6, S61: a tenant's memory and time are its own."""
    effect = measure(node, [attack])
    table.append(effect)
    check(effect, attack.longest)


@pytest.mark.long
def test_all_attacks_at_once(node, table):
    effect = measure(node, ATTACKS, seconds=20)
    effect.attack = "all at once"
    table.append(effect)
    check(effect)


def test_a_flood_of_problems_does_not_fill_the_log(node):
    """One line says how many were left out; what the quiet tenant writes wrong is still said."""
    junk = [policy(f"odd-{n}", [{"from": [{f"odd-{k}": {}} for k in range(6)]}]) for n in range(200)]
    for raw in junk:
        node.server.put(POLICIES, raw)
    node.until(lambda: "lines left out" in node.log.read_text())
    assert 'msg="lines left out" namespace=tenant lines=' in node.log.read_text()
    wrong = {**QUIET, "metadata": {"name": "typo", "namespace": "demo", "annotations": FOR}, "spec": {"ingress": [1]}}
    node.server.put(POLICIES, wrong)
    node.until(lambda: "demo/typo" in node.log.read_text())
    assert len(node.tells(Reason.INVALID_PEER)) <= BURST + LINES_PER_SECOND * node.age() + 1, "1,200 were made"
    for raw in (*junk, wrong):
        node.server.delete(POLICIES, raw["metadata"]["name"], raw["metadata"]["namespace"])
    node.settle()


def test_readiness_after_a_restart_does_not_wait_for_a_tenant(node):
    (attack,) = [attack for attack in ATTACKS if attack.name.startswith("10,000 selectors")]
    written = [
        *attack.policies(),
        *(raw for attack in ATTACKS if attack.name.startswith("1,000 rules") for raw in attack.policies()),
    ]
    for raw in written:
        node.server.put(POLICIES, raw)
    assert node.end() == 0
    began = time.monotonic()
    node.start()
    assert time.monotonic() - began < 15 * crowd(), "it was 70 to 300 s"
    for raw in written:
        node.server.delete(POLICIES, raw["metadata"]["name"], TENANT)
    node.settle()


@pytest.mark.long
def test_soak_of_fifty_thousand_events_with_junk_leaves_no_memory_behind(node):
    """Soak: memory is back within 20 % of the start when the junk is gone; the quiet tenant does not wait.

    The start is after a tenth of it: queues and caches of a fixed size are full by then, some 15 MiB.
    """
    soak(node, range(EVENTS // 10))
    before = resident(node)
    delays = soak(node, range(EVENTS // 10, EVENTS))
    after = resident(node)
    print(f"\n{EVENTS} events: {before:.0f} MiB, then {after:.0f}; longest delay {max(delays):.2f} s")  # noqa: T201
    assert after < before * 1.2
    assert after < MOST_MEMORY / 3
    assert max(delays) < LONGEST * crowd(), "the quiet tenant waits"


def soak(node, numbers):
    """Make so many events, with changes of the quiet tenant among them, and remove the junk; the delays."""
    delays = []
    for number in numbers:
        change(node, number)
        if number % 2000 == 0:
            delays.append(node.quiet_change()[0])
    for raw in node.server.store.objects(POLICIES):
        if raw["metadata"]["namespace"] == TENANT:
            node.server.delete(POLICIES, raw["metadata"]["name"], TENANT)
    node.server.compact()
    node.settle()
    time.sleep(10)
    return delays


def change(node, number):
    """Write, change or delete one of a hundred policies: none is as it was."""
    name = f"soak-{number % 100}"
    if number % 7 == 0:
        with suppress(KeyError):
            node.server.delete(POLICIES, name, TENANT)
        return
    odd = [{f"odd-{number}-{place}": {}} for place in range(20)]
    blocks = [{"ipBlock": {"cidr": f"10.{number >> 8 & 255}.{number & 255}.{place}/32"}} for place in range(20)]
    node.server.put(POLICIES, policy(name, [{"from": odd if number % 3 else blocks}]))


def crowd():
    """How many programs wait for each processor here."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def resident(node):
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
