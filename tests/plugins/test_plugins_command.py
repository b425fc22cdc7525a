"""`mnp plugins` shows every plugin with its state; a broken one does not break the list."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mnp_core.cli.plugins import plugins_command


@pytest.fixture
def registry(site):
    site.install("mnp-sick", "raise LookupError('[red]what[/red] now')", version="2.3")
    return site.load()


def test_json_alone_on_stdout(registry):
    result = CliRunner().invoke(plugins_command, ["--output", "json"], obj=registry)
    assert result.exit_code == 0
    plugins = {plugin["name"]: plugin for plugin in json.loads(result.stdout)["plugins"]}
    assert plugins["healthy"] == {
        "name": "healthy",
        "distribution": "mnp-healthy",
        "version": "1.0",
        "state": "loaded",
        "detail": "",
        "provides": ["discoverer healthy (healthy)", "renderer healthy", "applier healthy", "observe_outcome"],
        "remedy": "",
    }
    assert plugins["sick"]["state"] == "failed"
    assert "what" in plugins["sick"]["detail"]
    assert "pip install --upgrade mnp-sick" in plugins["sick"]["remedy"]
    assert plugins["core"]["state"] == "loaded"


@pytest.mark.usefixtures("site")
def test_a_plugin_that_the_settings_disable_is_listed_as_disabled(registry, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("plugins: {disabled: [mnp-healthy]}")
    result = CliRunner().invoke(plugins_command, ["--output", "json", "--settings", str(settings)], obj=registry)
    states = {plugin["name"]: plugin["state"] for plugin in json.loads(result.stdout)["plugins"]}
    assert states["healthy"] == "disabled"


def test_a_disabled_plugin_that_is_not_installed_is_an_error_with_the_field(registry, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("plugins: {disabled: [heathy]}")
    result = CliRunner().invoke(plugins_command, ["--settings", str(settings)], obj=registry)
    assert str(result.exception) == ("plugins.disabled[0]: no plugin 'heathy' is installed: is 'healthy' meant?")


def test_table_shows_state_and_reason_unchanged(registry):
    result = CliRunner().invoke(plugins_command, obj=registry)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["sick", "mnp-sick", "2.3", "failed", "-"] in rows
    assert any(row[:4] == ["healthy", "mnp-healthy", "1.0", "loaded"] for row in rows)
    assert (
        "plugin sick of mnp-sick 2.3: failed: it cannot be imported: LookupError: [red]what[/red] now" in result.stdout
    )


PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "mnp-outside"
version = "3.1"
dependencies = ["mnp-core>=0.1,<0.2"]
[project.entry-points.mnp]
outside = "mnp_outside"
"""
SOURCE = """
from mnp_core import hookimpl
from mnp_core.api import SandboxLocatorSpec
@hookimpl
def mnp_register_sandbox_locators():
    yield SandboxLocatorSpec(name="outside", factory=dict)
"""


def installer() -> list[str]:
    """Environments made by uv have no pip of their own."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    return ["uv", "pip", "install", "--python", sys.executable]


def test_plugin_installed_by_pip_is_found_by_a_fresh_process(tmp_path: Path):
    project, target = tmp_path / "project", tmp_path / "target"
    (project / "mnp_outside").mkdir(parents=True)
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "mnp_outside" / "__init__.py").write_text(SOURCE)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", target]
    subprocess.run([*installer(), *options, project], check=True, timeout=120)
    listing = subprocess.run(
        [sys.executable, "-c", "from mnp_core.cli import main; main()", "plugins", "--output", "json"],
        env={**os.environ, "PYTHONPATH": str(target)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    [found] = [plugin for plugin in json.loads(listing.stdout)["plugins"] if plugin["name"] == "outside"]
    assert (found["distribution"], found["version"], found["state"]) == ("mnp-outside", "3.1", "loaded")
    assert found["provides"] == ["locator outside"]


def test_settings_that_a_renderer_refuses_are_listed(site):
    source = """
from mnp_core import hookimpl
from mnp_core.api import PolicyRendererSpec
from mnp_core.model import Feature

@hookimpl
def mnp_register_policy_renderers():
    yield PolicyRendererSpec(name="few", dialect="few", factory=object, refuses=frozenset({Feature.REJECT}))
"""
    site.install("mnp-few", source)
    result = CliRunner().invoke(plugins_command, ["--output", "json"], obj=site.load())
    [found] = [plugin for plugin in json.loads(result.stdout)["plugins"] if plugin["name"] == "few"]
    assert found["provides"] == ["renderer few, refuses deny-action: reject"]
