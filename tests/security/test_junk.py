"""One pod fills its own network namespace with junk: the agent lives, other pods do not wait."""

import time
from contextlib import contextmanager
from random import Random

import pytest

from mnp_core.model import ObjectName
from mnp_core.netfilter.attributes import number, text_attribute
from mnp_core.netfilter.batch import BatchWriter
from mnp_core.netfilter.messages import CREATE, DELETE_TABLE, NEW_TABLE
from mnp_core.netfilter.nfnetlink import Nfnetlink
from mnp_nftables import NftablesApplier
from mnp_nftables.sets import TABLE
from tests.node.program import Node, served_lab
from tests.security.junk import KINDS

pytestmark = pytest.mark.root
WEB, HOSTILE = ObjectName("demo", "web"), ObjectName("demo", "stranger")
ON_TIME = 5.0  # seconds, on a machine that has much else to do; some hundredths otherwise
applier = NftablesApplier()


def policy(name, port):
    """Allow one port of one pod."""
    return {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": "MultiNetworkPolicy",
        "metadata": {
            "name": f"junk-{name}",
            "namespace": "demo",
            "annotations": {"k8s.v1.cni.cncf.io/policy-for": "data"},
        },
        "spec": {"podSelector": {"matchLabels": {"app": name}}, "ingress": [{"ports": [{"port": port}]}]},
    }


@contextmanager
def running(folder):
    """The program on the pods of the quickstart, one of which will be hostile."""
    with served_lab(folder) as (lab, server), Node(lab, server, folder) as node:
        server.put("multi-networkpolicies", policy("stranger", 80))
        node.start()
        yield node


def seconds_of_a_change(node, turn):
    """How long a change of the quiet pod's policy takes until the kernel has it."""
    before, began = node.inside(WEB, applier.installed), time.monotonic()
    node.server.put("multi-networkpolicies", policy("web", 1000 + turn))
    node.until(lambda: node.inside(WEB, applier.installed) != before)
    return time.monotonic() - began


def hostile_rounds(node, rounds, seed):
    """Junk in one pod, and a change in the other; the slowest change."""
    chance, slowest = Random(seed), 0.0  # noqa: S311 - the same junk again, no secret
    for turn in range(rounds):
        kinds = chance.choices(list(KINDS.values()), k=4)
        node.inside(HOSTILE, lambda kinds=kinds: [kind(chance) for kind in kinds])
        slowest = max(slowest, seconds_of_a_change(node, turn))
        assert node.process.poll() is None, node.log.read_text()
    return slowest


def test_junk_in_one_pod_neither_ends_the_agent_nor_delays_another_pod(tmp_path):
    """S6, S63: and when it has calmed down, that pod is as it should be."""
    with running(tmp_path) as node:
        wanted = node.inside(HOSTILE, applier.installed).digest
        assert hostile_rounds(node, 8, seed=1) < ON_TIME
        node.until(lambda: node.inside(HOSTILE, applier.installed).digest == wanted)
        assert "Traceback" not in node.log.read_text()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_hundreds_of_rounds_of_junk_neither_end_the_agent_nor_delay_another_pod(tmp_path, seed):
    """S6, S63."""
    with running(tmp_path) as node:
        assert hostile_rounds(node, 150, seed=seed) < ON_TIME


def test_a_pod_whose_table_cannot_be_written_to_is_reported_and_harms_no_other(tmp_path):
    """S64: a process in it owns the table, so the kernel refuses all other writers."""
    with running(tmp_path) as node, node.inside(HOSTILE, own_the_table):
        node.until(lambda: "owns the table" in node.log.read_text())
        assert seconds_of_a_change(node, 1) < ON_TIME
        assert node.process.poll() is None


def own_the_table():
    """Make our table anew, so that it belongs to the socket that is returned (NFT_TABLE_F_OWNER)."""
    writer = BatchWriter()
    writer.add(DELETE_TABLE, 0, text_attribute(1, TABLE))
    writer.add(NEW_TABLE, CREATE, text_attribute(1, TABLE), number(2, 2))
    owner = Nfnetlink()
    owner.commit(writer.batch())
    return owner
