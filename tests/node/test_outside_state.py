"""A backend with state outside of network namespaces, in the program as it runs on a node."""

import time
from pathlib import Path

import pytest

from mnp_core.model import ObjectRef
from tests.node.program import WEB
from tests.plugins.distributions import write_distribution

pytestmark = pytest.mark.root

PINNED = """
import json
import os
import zlib
from pathlib import Path
from mnp_core import hookimpl
from mnp_core.api import PolicyRendererSpec, RuleApplierSpec, Support
from mnp_core.model import Installed
from mnp_core.testing.fakes import FakeRenderer

PINS = Path(os.environ["PINS"])

class Pinned:
    def pin(self):
        status = os.stat("/proc/thread-self/ns/net")
        return PINS / f"{status.st_dev}-{status.st_ino}"
    def read(self):
        return self.pin().read_text() if self.pin().exists() else ""
    def write(self, digest, sets):
        self.pin().write_text(json.dumps([digest, {name: sorted(members) for name, members in sets.items()}]))
    def probe(self):
        return Support(usable=True, rank=-100)
    def apply(self, ruleset):
        self.write(ruleset.digest, ruleset.sets)
    def update(self, delta):
        found, none = self.installed(), frozenset()
        names = {*found.sets, *delta.added}
        sets = {n: found.sets[n] - delta.removed.get(n, none) | delta.added.get(n, none) for n in names}
        self.write(found.digest, sets)
    def installed(self):
        if not self.read():
            return None
        digest, sets = json.loads(self.read())
        return Installed(digest=digest, sets={name: frozenset(members) for name, members in sets.items()})
    def generation(self):
        return zlib.crc32(self.read().encode())
    def counters(self):
        return ()
    def remove(self):
        self.pin().unlink(missing_ok=True)
    def forget(self, sandbox):
        (PINS / f"{sandbox.device}-{sandbox.inode}").unlink(missing_ok=True)
    def sweep(self, known):
        keep = {f"{each.device}-{each.inode}" for each in known}
        for each in PINS.iterdir():
            if each.name not in keep:
                each.unlink()

@hookimpl
def mnp_register_policy_renderers():
    yield PolicyRendererSpec(name="pinned", dialect="fake", factory=FakeRenderer)

@hookimpl
def mnp_register_rule_appliers():
    yield RuleApplierSpec(name="pinned", dialect="fake", factory=Pinned)
"""


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_state_outside_goes_with_its_namespace_and_stale_state_at_start(node, tmp_path, monkeypatch):
    """S62: objects pinned for a pod outlive restarts, and go with the pod."""
    pins, site = tmp_path / "pins", tmp_path / "site"
    pins.mkdir()
    site.mkdir()
    write_distribution(site, "mnp-pinned", PINNED)
    monkeypatch.setenv("PINS", str(pins))
    monkeypatch.setenv("PYTHONPATH", str(site))
    node.set(backend="pinned")
    (pins / "4-1").write_text("of a namespace that went while no agent ran")
    node.start()
    mine = node.inside(WEB, Path("/proc/thread-self/ns/net").stat)
    pin = f"{mine.st_dev}-{mine.st_ino}"
    node.until(lambda: "4-1" not in names(pins))
    assert pin in names(pins)
    node.end()
    node.start()
    time.sleep(7)  # a sweep, and two turns of the watch
    assert pin in names(pins)
    node.server.delete("pods", "web", "demo")
    node.lab.delete([ObjectRef("Pod", WEB)])
    node.until(lambda: pin not in names(pins))
    assert names(pins), "those of other pods stay"
