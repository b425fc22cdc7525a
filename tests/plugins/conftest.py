"""Real distributions, as pip would have installed them: a package and its dist-info on `sys.path`."""

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from mnp_core.model import Attachment, ObjectName
from mnp_core.plugins import PluginStatus, Registry, load_plugins
from tests.plugins.distributions import write_distribution

HEALTHY = """
from mnp_core import hookimpl
from mnp_core.api import Discovery, InterfaceDiscovererSpec, PolicyRendererSpec, RuleApplierSpec, Support
from mnp_core.model import Delta, Ruleset

OUTCOMES = []

class Discoverer:
    def discover(self, claim, links):
        return Discovery(attachment=claim)

class Renderer:
    def render(self, policy):
        return Ruleset(dialect="healthy", text=str(policy.pod), digest="")
    def render_delta(self, delta):
        return Delta(dialect="healthy", text="")

class Applier:
    def probe(self):
        return Support(usable=True, rank=1)
    def apply(self, ruleset): ...
    def update(self, delta): ...
    def installed(self): ...
    def generation(self): return 0
    def counters(self): return ()
    def remove(self): ...

@hookimpl
def mnp_register_interface_discoverers():
    return [InterfaceDiscovererSpec(name="healthy", cni_types=frozenset({"healthy"}), factory=Discoverer)]

@hookimpl
def mnp_register_policy_renderers():
    yield PolicyRendererSpec(name="healthy", dialect="healthy", factory=Renderer)

@hookimpl
def mnp_register_rule_appliers():
    yield RuleApplierSpec(name="healthy", dialect="healthy", factory=Applier)

@hookimpl
def mnp_observe_outcome(outcome):
    OUTCOMES.append(outcome)
"""

ENVIRONMENT = sorted({entry.dist.name for entry in entry_points(group="mnp") if entry.dist} - {"mnp-core"})
"""Installed where the tests run; not their subject."""


@frozen
class Site:
    """A folder on `sys.path` and the plugins in it."""

    folder: Path

    def install(self, name: str, source: str, **options: Any) -> None:
        write_distribution(self.folder, name, source, **options)

    def load(self, *disabled: str) -> Registry:
        importlib.invalidate_caches()
        return load_plugins((*ENVIRONMENT, *disabled))

    def status(self, registry: Registry, name: str) -> PluginStatus:
        [status] = [status for status in registry.statuses if status.name == name]
        return status


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    write_distribution(folder, "mnp-healthy", HEALTHY)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if name.startswith("mnp_") and not name.startswith("mnp_core"):
            del sys.modules[name]


@pytest.fixture
def attachment() -> Attachment:
    return Attachment(pod=ObjectName("a", "pod"), network=ObjectName("a", "net"), interface="net1", kind="sick")
