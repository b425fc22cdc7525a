"""The capabilities that the DaemonSet asks for are enough to enforce, and none of them can be spared.

In the kernel's terms: a process of root's with a bounding set of these alone, that can gain nothing by executing
programs (allowPrivilegeEscalation: false), in the network namespace that it must not write to, as with hostNetwork.
"""

import subprocess
import sys

import pytest

from mnp_core.plugins import load_plugins
from mnp_core.sandbox.created import pin, unpin
from mnp_core.sandbox.netns import identify, run_inside
from mnp_core.testing.netns import private_namespace
from tests.deploy.test_agent import build, pod_of

ENFORCE = """
import sys
from mnp_core.model import InterfacePolicy, Isolated, ObjectName, SandboxPolicy
from mnp_core.plugins import load_plugins
from mnp_core.sandbox.netns import identify, run_inside
path, renderer, applier = sys.argv[1:]
plugins = load_plugins()
interface = InterfacePolicy(interface="net1", ingress=Isolated(allows=()))
policy = SandboxPolicy(pod=ObjectName("demo", "web"), interfaces=(interface,), groups={})
ruleset = plugins.renderers.require(renderer).factory().render(policy)
applier = plugins.appliers.require(applier).factory()
sandbox = identify(path)
run_inside(sandbox, lambda: applier.apply(ruleset))
print(run_inside(sandbox, lambda: applier.installed().matches(ruleset)))
"""
NFTABLES, IPTABLES_NFT, IPTABLES_LEGACY = (
    ("nftables", "nftables"),
    ("iptables", "iptables-nft"),
    ("iptables", "iptables-legacy"),
)

pytestmark = pytest.mark.root


def capabilities(*components):
    (container,) = pod_of(build(*components))["containers"]
    return container["securityContext"]["capabilities"]["add"]


@pytest.fixture
def namespace(tmp_path):
    """A namespace with a name, as runtimes keep them in /run/netns."""
    path = tmp_path / "cni-1"
    with private_namespace() as sandbox:
        pin(sandbox, path)
        try:
            yield path
        finally:
            unpin(path)


def enforce(namespace, way, granted):
    bounding = ",".join(["-all", *(f"+{name.lower()}" for name in granted)])
    confined = ["setpriv", f"--bounding-set={bounding}", "--inh-caps=-all", "--no-new-privs"]
    program = [sys.executable, "-c", ENFORCE, namespace, *way]
    return subprocess.run([*confined, *program], capture_output=True, text=True, check=False)


def works_here(namespace, way):
    support = run_inside(identify(str(namespace)), load_plugins().appliers.require(way[1]).factory().probe)
    if not support.usable:
        pytest.skip(f"{way[1]}: {support.detail}")


@pytest.mark.parametrize(
    ("way", "components"),
    [(NFTABLES, ()), (IPTABLES_NFT, ()), (IPTABLES_LEGACY, ("iptables",))],
    ids=lambda value: value[-1] if value else "base",
)
def test_they_are_enough(namespace, way, components):
    works_here(namespace, way)
    ended = enforce(namespace, way, capabilities(*components))
    assert (ended.stdout, ended.stderr) == ("True\n", "")


@pytest.mark.parametrize("missing", capabilities())
def test_none_can_be_spared(namespace, missing):
    ended = enforce(namespace, NFTABLES, [name for name in capabilities() if name != missing])
    assert ended.returncode
    assert "UnsupportedError" in ended.stderr or "Operation not permitted" in ended.stderr


def test_legacy_tables_need_the_component(namespace):
    works_here(namespace, IPTABLES_LEGACY)
    assert enforce(namespace, IPTABLES_LEGACY, capabilities()).returncode
