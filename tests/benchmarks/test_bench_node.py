"""What `make bench` measures nodes with: pods, policies, packets and other engines' programs."""

import json
import subprocess
import time

import grpc
import pytest
from attrs import evolve

from benchmarks.bench import engines, manifests
from benchmarks.bench.__main__ import main as bench
from benchmarks.bench.local_pods import local_pods
from benchmarks.bench.measurement import Measurement, Unavailable
from benchmarks.bench.runtime import CONTAINERS, runtime
from benchmarks.bench.verdicts import UnfinishedError, packets_to
from mnp_core.sandbox.cri.locator import CriLocator
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.builders import pod

CLOSED = "table inet bench { chain in { type filter hook input priority 0; policy drop; }; }"


def close(pods):
    for each in pods.pods:
        run_inside(each.sandbox, lambda: subprocess.run(["nft", CLOSED], check=True))


def pid_of_container(socket, name):
    """As other engines ask (pkg/cri/cri.go of multi-networkpolicy-nftables)."""
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        ask = channel.unary_unary(
            "/runtime.v1.RuntimeService/ContainerStatus",
            request_serializer=CONTAINERS["ContainerStatusRequest"].SerializeToString,
            response_deserializer=CONTAINERS["ContainerStatusResponse"].FromString,
        )
        request = CONTAINERS["ContainerStatusRequest"](container_id=name, verbose=True)
        return json.loads(ask(request, timeout=5).info["info"])["pid"]


@pytest.fixture(scope="module")
def two_pods():
    with local_pods(2) as found:
        yield found


def test_packets_tell_when_each_pod_closes_and_opens(two_pods):
    with packets_to(two_pods.addresses(), two_pods.sender.path) as packets:
        before = time.monotonic()
        closed = packets.until("closed", lambda: close(two_pods))
        opened = packets.until("open", two_pods.forget_rules)
        assert before < closed.began < opened.began < time.monotonic()
        for change in (closed, opened):
            assert len(change.pods) == 2
            assert 0 < min(change.pods) <= change.answered + 50


def test_a_change_that_does_not_come_is_unfinished(two_pods):
    with packets_to(two_pods.addresses(), two_pods.sender.path) as packets:
        with pytest.raises(UnfinishedError, match="2 of 2 pods not closed after 1 s"):
            packets.until("closed", lambda: None, seconds=1)
        with pytest.raises(RuntimeError, match="flow 0 is open before the change"):
            packets.until("open", lambda: None, seconds=1)


def test_the_stand_in_for_the_runtime_knows_pods_as_sandboxes_and_as_containers(two_pods, tmp_path):
    first = two_pods.pods[0]
    with runtime(tmp_path / "cri.sock", "bench", {"uid-0": first}):
        locator = CriLocator([str(tmp_path / "cri.sock")])
        found = locator.locate(evolve(pod(f"bench/{first.name}"), uid="uid-0"))
        assert (found.device, found.inode) == (first.sandbox.device, first.sandbox.inode)
        assert pid_of_container(tmp_path / "cri.sock", first.name) == first.pid


@pytest.mark.parametrize("per_pod", manifests.PER_POD)
def test_each_pod_is_selected_by_so_many_policies_and_members(per_pod):
    policies = [each["spec"]["podSelector"]["matchLabels"] for each in manifests.policies(per_pod)]
    for number in (0, 1, 99, 249):
        labels = manifests.local_pod(number, "web", "10.60.1.1")["labels"].items()
        assert sum(selected.items() <= labels for selected in policies) == per_pod + 1


def test_engines_are_looked_for_in_the_folder_of_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv(engines.PEERS, raising=False)
    with pytest.raises(Unavailable, match="let MNP_BENCH_PEERS name a folder with multi-networkpolicy-iptables"):
        engines.peers()
    program = tmp_path / "multi-networkpolicy-nftables"
    program.touch(mode=0o755)
    monkeypatch.setenv(engines.PEERS, str(tmp_path))
    (found,) = engines.peers()
    assert found.name == program.name
    assert found.command(tmp_path / "cri.sock", tmp_path)[0] == str(program)


def test_a_part_that_cannot_be_measured_is_left_out_in_one_line(monkeypatch, capsys):
    monkeypatch.delenv(engines.PEERS, raising=False)
    assert bench(["beside", "--quick"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("beside:")]
    assert line.startswith("beside: not measured here: no programs of other engines: let MNP_BENCH_PEERS")


def test_a_target_may_be_about_the_99th_percentile():
    samples = (1.0, 1.0, 9.0)
    assert Measurement(part="x", name="y", unit="ms", samples=samples, target=5).met
    judged = Measurement(part="x", name="y", unit="ms", samples=samples, target=5, judged="p99")
    assert not judged.met
    assert Measurement.from_json(judged.as_json()) == judged
