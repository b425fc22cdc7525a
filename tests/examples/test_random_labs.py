"""Random labs: `mnp matrix` is the result of real probes, and `mnp diff` of two labs the difference of theirs."""

import json
from itertools import count

import pytest
import yaml
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from mnp_core.testing.suites.differential.profile import SEED
from mnp_core.testing.suites.differential.strategies import CONTAINERS, LABELS, NAMESPACES, namespaces, policies

pytestmark = [pytest.mark.root, pytest.mark.full, pytest.mark.timeout(1800)]

PROFILE = settings(settings.get_profile("differential"), phases=[Phase.generate])  # a smaller lab is no clearer
LABS = 50
SUBNETS = {"x/blue": ("10.1.0.0/24", "fd01::/64"), "y/red": ("10.2.0.0/24",)}
PODS = {"x/one": ("x/blue",), "x/two": ("x/blue", "y/red"), "y/three": ("x/blue", "y/red"), "z/four": ("x/blue",)}
PROBES = ("tcp:80", "tcp:81", "udp:79", "sctp:65535")
KEYS = ("from", "to", "network", "interface", "address", "protocol", "port", "verdict")
FLAGS = [word for probe in PROBES for word in ("--probe", probe)]


def network(name):
    namespace, _, bare = name.partition("/")
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in SUBNETS[name]]}
    config = {"cniVersion": "1.0.0", "name": bare, "type": "macvlan", "master": "eth1", "ipam": ipam}
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": bare, "namespace": namespace},
        "spec": {"config": json.dumps(config)},
    }


@st.composite
def pods(draw, name):
    namespace, _, bare = name.partition("/")
    containers = [{"name": f"c{index}", "image": "none", **each} for index, each in enumerate(draw(CONTAINERS))]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": bare,
            "namespace": namespace,
            "labels": draw(LABELS),
            "annotations": {"k8s.v1.cni.cncf.io/networks": ", ".join(PODS[name])},
        },
        "spec": {"containers": containers},
    }


@st.composite
def labs(draw):
    """Labels, ports and policies differ; the pods and their networks stay, so that each is the change of the last."""
    standing = [*(draw(namespaces(name)) for name in NAMESPACES), *map(network, SUBNETS)]
    number = draw(st.integers(min_value=1, max_value=5))
    return [*standing, *(draw(pods(name)) for name in PODS), *(draw(policies(index)) for index in range(number))]


def key(probe):
    return tuple(probe[key] for key in KEYS)


def allowed(probes):
    """Pairs and ports that packets pass on some way."""
    return {
        (f"{each['from']}", f"{each['to']}", each["network"], 6 if ":" in each["address"] else 4, port(each))
        for each in probes
        if each["verdict"] == "allowed"
    }


def port(probe):
    return f"{probe['protocol'].lower()}:{probe['port']}"


def changed(changes, side):
    """Pairs of pods: addresses outside send no probes."""
    return {
        (source, destination, each["network"], each["family"], what)
        for each in changes
        for source in each["from"]
        for destination in each["to"]
        for what in each[side]
        if source != destination and {source, destination} <= PODS.keys()
    }


class Labs:
    """One after the other; each is compared with the last."""

    def __init__(self, mnp, folder, backend):
        self.mnp, self.folder, self.numbers = mnp, folder, count()
        self.run = ("lab", "run", "--backend", backend, "--timeout", "0.4")
        self.last = None

    def json(self, *words):
        return json.loads(self.mnp(*words, *FLAGS, "--output", "json").out)

    def check(self, objects):
        path = self.folder / f"{next(self.numbers)}.yaml"
        path.write_text(yaml.safe_dump_all(objects))
        sent = self.json(*self.run, path)["probes"]
        assert sent
        assert sorted(map(key, sent)) == sorted(map(key, self.json("matrix", path)["probes"]))
        if self.last is not None:
            changes, old, new = self.json("diff", self.last[0], path)["changes"], allowed(self.last[1]), allowed(sent)
            assert changed(changes, "opened") == new - old
            assert changed(changes, "closed") == old - new
        self.last = path, sent


def test_matrix_and_diff_are_those_of_packets(mnp, tmp_path, mnp_backend):
    made = Labs(mnp, tmp_path, mnp_backend)

    @seed(int(SEED or 0))
    @settings(PROFILE, max_examples=LABS)
    @given(labs())
    def check(objects):
        made.check(objects)

    check()
