"""Behind the reference CNI plugins, as libcni runs a list: each gets the result of the one before it."""

import json
import os
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from mnp_cnigate import CniGate
from mnp_core.api import Admission, Decision
from mnp_core.testing.netns import End, private_namespace, run_inside, veth_pair
from plugins.cnigate.tests.calls import CALL

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnp-testbed"
BUILT = sorted(CACHE.glob("cni-*/ptp"))

pytestmark = [
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.skipif(not BUILT, reason="the CNI plugins are not built: scripts/testbed/build"),
]
STATIC = {
    "type": "static",
    "addresses": [{"address": "10.9.0.2/24", "gateway": "10.9.0.1"}, {"address": "fd09::2/64", "gateway": "fd09::1"}],
}
ADDRESSES = {ip_address("10.9.0.2"), ip_address("fd09::2")}


@pytest.fixture
def gate(plugin, keeper):
    gate = CniGate(plugin.socket)
    gate.open(keeper)
    yield gate
    gate.close()


@pytest.fixture
def chain(plugin, tmp_path):
    """Runs a list of two in a node's namespace; status and output of the last one that ran."""
    with private_namespace() as node, private_namespace() as pod:
        veth_pair(End(node, "eth1", ("192.0.2.1/24",)), End(node, "peer"))

        def call(verb, version, config, result=None):
            program = plugin.path if config["type"] == "mnp-cnigate" else BUILT[0].parent / config["type"]
            given = json.dumps({"cniVersion": version, "name": "data", **config}).encode()
            if result is not None:
                given = given[:-1] + b',"prevResult":' + result + b"}"
            path = f"{BUILT[0].parent}:{plugin.path.parent}"
            environment = {**CALL, "CNI_COMMAND": verb, "CNI_NETNS": pod.path, "CNI_PATH": path}
            return run_inside(
                node,
                lambda: subprocess.run(
                    [program], input=given, env=environment, capture_output=True, check=False, timeout=60, cwd=tmp_path
                ),
            )

        def run(verb, version, *plugins, result=None):
            for config in plugins if verb != "DEL" else reversed(plugins):
                ended = call(verb, version, config, result)
                if ended.returncode:
                    return ended.returncode, ended.stdout
                result = ended.stdout.strip() if verb == "ADD" else result
            return 0, result

        yield run


LISTS = {
    "macvlan": {"type": "macvlan", "master": "eth1", "ipam": STATIC},
    "ptp": {"type": "ptp", "ipam": STATIC},
}


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
@pytest.mark.parametrize("first", LISTS.values(), ids=LISTS)
@pytest.mark.usefixtures("gate")
def test_gate_passes_on_the_result_of_the_plugin(chain, plugin, keeper, first, version):
    own = {"type": "mnp-cnigate", "socket": str(plugin.socket), "network": "demo/data"}
    status, result = chain("ADD", version, first, own)
    assert status == 0, result
    assert json.loads(result)["cniVersion"] == version
    (start, _), *more = keeper.asked
    (interface,) = start.interfaces
    assert (interface.name, interface.network, {*interface.addresses}) == ("net1", "demo/data", ADDRESSES)
    assert (len(interface.mac), more) == (17, [])
    if version != "0.3.1":
        assert chain("CHECK", version, first, own, result=result)[0] == 0
    assert chain("DEL", version, first, own, result=result)[0] == 0
    assert [netns for _, _, netns in keeper.ended] == [start.netns]


@pytest.mark.usefixtures("gate")
def test_refused_attachment_is_removed_and_can_be_made_again(chain, plugin, keeper):
    first, own = LISTS["ptp"], {"type": "mnp-cnigate", "socket": str(plugin.socket)}
    keeper.decision = Decision(admission=Admission.REFUSED, reason="not yet")
    status, error = chain("ADD", "1.0.0", first, own)
    assert (status, json.loads(error)["code"]) == (1, 11)
    assert chain("DEL", "1.0.0", first, own)[0] == 0
    keeper.decision = Decision(admission=Admission.IN_FORCE)
    assert chain("ADD", "1.0.0", first, own)[0] == 0
