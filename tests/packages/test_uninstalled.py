"""`pip uninstall` of one plugin: the others work on, and a configuration that names it gets an error that does, too."""

import json

import pytest

from tests.packages.conftest import ROOT, make_environment

pytestmark = pytest.mark.full  # each fills an environment of its own

QUICKSTART = ROOT / "examples" / "quickstart"
OFFERED = (
    "mnp-nftables",
    "mnp-iptables",
    "mnp-ebpf",
    "mnp-macvlan",
    "mnp-ipvlan",
    "mnp-netdev",
    "mnp-sriov",
    "mnp-nri",
    "mnp-cnigate",
    "mnp-lab",
)

SETTINGS = ("backend: {}", "backend-by-kind: {{macvlan: {}}}", "backend-by-network: {{demo/data: {}}}")


@pytest.fixture(scope="module")
def without_iptables(tmp_path_factory, dist):
    """Everything was installed, and mnp-iptables was used, before it went."""
    environment = make_environment(tmp_path_factory.mktemp("here") / "venv")
    environment.install(*OFFERED, links=dist)
    before = environment.run("mnp", "render", QUICKSTART, "--backend", "iptables")
    assert (before.returncode, before.stderr) == (0, "")
    environment.uninstall("mnp-iptables")
    return environment


def test_the_other_plugins_are_loaded_and_used(without_iptables):
    listing = json.loads(without_iptables.run("mnp", "plugins", "--output", "json").stdout)
    assert {row["state"] for row in listing["plugins"]} == {"loaded"}
    assert {row["distribution"] for row in listing["plugins"]} == {"mnp-core", *OFFERED} - {"mnp-iptables"}
    assert "mnp-iptables" in [row["distribution"] for row in listing["available"]]
    rendering = without_iptables.run("mnp", "render", QUICKSTART)
    assert (rendering.returncode, rendering.stderr) == (0, "")
    assert "MultiNetworkPolicy demo/web-allow-client ingress[0]" in rendering.stdout


@pytest.mark.root
def test_packets_are_enforced_as_before(without_iptables):
    asked = ("lab", "run", QUICKSTART, "--output", "json")
    probes = json.loads(without_iptables.run("mnp", *asked).stdout)["probes"]
    assert {probe["verdict"] for probe in probes} == {"allowed", "denied"}


@pytest.mark.root
@pytest.mark.parametrize("asked", ["iptables", "iptables-nft", "iptables-legacy"])
@pytest.mark.parametrize(
    "setting", ["backend: {}", "backend-by-kind: {{macvlan: {}}}", "backend-by-network: {{demo/lan: {}}}"]
)
def test_configured_without_the_package_the_error_names_the_package(without_iptables, tmp_path, setting, asked):
    """S64: not a word of falling back to another one."""
    settings = tmp_path / "settings.yaml"
    settings.write_text(setting.format(asked))
    ended = without_iptables.run("mnp", "lab", "run", QUICKSTART, "--settings", settings)
    assert ended.returncode == 2
    assert f"'{asked}'" in ended.stderr
    assert "It comes with mnp-iptables: pip install mnp-iptables." in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_a_kind_of_attachment_that_is_configured_and_not_installed_is_enforced(environment, dist, tmp_path):
    """S64: a type that no plugin claims and a setting names is an ordinary device, never an open interface."""
    environment.install("mnp-macvlan", "mnp-nftables", links=dist)
    environment.uninstall("mnp-macvlan")
    settings = tmp_path / "settings.yaml"
    settings.write_text("network-plugins: macvlan")
    ended = environment.run("mnp", "render", QUICKSTART, "--pod", "demo/web", "--settings", settings)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert 'iifname "net1"' in ended.stdout
