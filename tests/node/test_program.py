"""The program as it runs on a node: real pods of a lab, a process of its own, and an API server over HTTP."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mnp_core.testing import nft
from mnp_nftables import NftablesApplier
from tests.node.program import SOON, WEB

pytestmark = pytest.mark.root
applier = NftablesApplier()


def test_objects_of_the_api_server_hold_for_packets_and_go_on_holding(node):
    """S61, S62."""
    assert node.allowed() == {"client", "stranger"}
    node.start()
    assert node.allowed() == {"client"}
    node.server.delete("multi-networkpolicies", "web-allow-client", "demo")
    node.until(lambda: node.allowed() == set())
    assert node.end() == 0
    assert "rules stay in force" in node.log.read_text()
    assert node.allowed() == set()
    generation = node.inside(WEB, applier.generation)
    node.start()
    assert node.inside(WEB, applier.generation) == generation


def test_removed_rules_are_back_within_two_seconds(node):
    """S63, S49: and those of others stay."""
    node.start()
    ruleset = node.inside(WEB, applier.installed)
    node.inside(WEB, lambda: nft.load(nft.FOREIGN))
    foreign = node.inside(WEB, nft.foreign_listing)
    began = time.monotonic()
    node.inside(WEB, applier.remove)
    node.until(lambda: node.inside(WEB, applier.installed) == ruleset)
    assert time.monotonic() - began < 2 * 3, "three times as long as promised, for a machine that has much to do"
    assert node.inside(WEB, nft.foreign_listing) == foreign
    node.until(lambda: "drift" in node.log.read_text())


def test_a_killed_agent_leaves_the_rules_and_the_next_one_removes_stale_ones(node):
    """S62."""
    node.start()
    node.end(signal.SIGKILL)
    assert node.allowed() == {"client"}
    for name in ("web-allow-client", "web-deny"):
        node.server.delete("multi-networkpolicies", name, "demo")
    node.start()
    assert node.allowed() == {"client", "stranger"}


def test_a_setting_that_the_backend_refuses_ends_the_program_at_once_with_the_remedy(tmp_path):
    """One error at the start, not one in every pod for ever."""
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        yaml.safe_dump({"backend": "example", "established-flows": "recheck", "sandbox-locator": "lab"})
    )
    program = Path(sys.executable).with_name("multi-network-policy-node")
    done = subprocess.run([program, "--settings", settings], capture_output=True, text=True, timeout=SOON, check=False)
    assert done.returncode == 2
    assert "backend 'example' refuses the setting 'established-flows: recheck': take it out" in done.stderr
