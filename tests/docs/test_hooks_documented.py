"""Every hook is documented where plugin authors look: in its spec, and in docs/plugins.md."""

import inspect
import re
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.build import build_wheel

from mnp_core import hookspecs
from mnp_core.model import Attachment, Link, ObjectName
from mnp_core.plugins import State, load_plugins

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("mnp_")}


def heading(name: str) -> str:
    return f"### `{name}({', '.join(inspect.signature(HOOKS[name]).parameters)})`"


@pytest.mark.parametrize("name", HOOKS)
def test_spec_has_purpose_and_version(name):
    text = inspect.getdoc(HOOKS[name])
    assert re.search(r"^Added in \d+\.\d+\.$", text, re.MULTILINE)
    assert ("Returns:" in text) == name.startswith("mnp_register_")
    assert all(f"    {argument}: " in text for argument in inspect.signature(HOOKS[name]).parameters)


def test_page_has_a_heading_per_hook_in_the_order_of_the_specs():
    headings = [line for line in PAGE.read_text().splitlines() if line.startswith("### `mnp_")]
    assert headings == [heading(name) for name in HOOKS]


def test_page_equals_the_spec():
    page = " ".join(PAGE.read_text().split())
    for name, hook in HOOKS.items():
        summary = inspect.getdoc(hook).splitlines()[0]
        assert f"{heading(name)} {summary}" in page


def test_plugin_of_the_page_can_be_installed_and_works(tmp_path, monkeypatch):
    files = re.findall(r"^`(\S+)`:\n+```\w*\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert [path for path, _ in files] == ["pyproject.toml", "mnp_cable/__init__.py"]
    for path, text in files:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.chdir(tmp_path)
    with ZipFile(Path("dist", build_wheel("dist"))) as wheel:
        wheel.extractall("site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry = load_plugins()
    [status] = [status for status in registry.statuses if status.name == "cable"]
    assert (status.state, status.detail) == (State.LOADED, "")
    assert status.provides == ("discoverer cable (cable)",)
    claim = Attachment(pod=ObjectName("a", "pod"), network=ObjectName("a", "net"), interface="net1", kind="cable")
    discoverer = registry.discoverer("cable")
    assert "none by that name" in discoverer.discover(claim, ()).unenforceable
    found = discoverer.discover(claim, (Link(name="net1", index=2, kind="veth"),))
    assert (found.unenforceable, found.attachment) == ("", claim)
    monkeypatch.delitem(sys.modules, "mnp_cable")
