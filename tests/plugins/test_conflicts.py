"""Two plugins that claim one thing: neither is used, both are named, the rest works."""

import shutil

import pytest

from mnp_core.errors import PluginError
from mnp_core.plugins import State

BOTH = "mnp-left 1.0 and by mnp-right 2.0"


def spec(text: str, hook: str) -> str:
    return f"""
from mnp_core import hookimpl
from mnp_core.api import *

class Thing:
    def discover(self, claim, links): ...
    def render(self, policy): ...
    def render_delta(self, delta): ...

@hookimpl
def {hook}():
    yield {text}
@hookimpl
def mnp_register_commands():
    yield CommandSpec(name=__name__.removeprefix("mnp_"), factory=Thing)
"""


def discoverer(name: str, *types: str) -> str:
    text = f"InterfaceDiscovererSpec(name={name!r}, cni_types=frozenset({types!r}), factory=Thing)"
    return spec(text, "mnp_register_interface_discoverers")


def renderer(name: str, dialect: str) -> str:
    text = f"PolicyRendererSpec(name={name!r}, dialect={dialect!r}, factory=Thing)"
    return spec(text, "mnp_register_policy_renderers")


def policy_kind(name: str, kind: str, plural: str, group: str = "a.b") -> str:
    text = (
        f"PolicyKindSpec(name={name!r}, group={group!r}, versions=('v1',), kind={kind!r}, plural={plural!r},"
        " parse=Thing)"
    )
    return spec(text, "mnp_register_policy_kinds")


@pytest.mark.parametrize(
    ("left", "right", "claim", "lookup"),
    [
        (discoverer("same", "x"), discoverer("same", "y"), "discoverer 'same'", lambda r: r.discoverer("x")),
        (discoverer("one", "x", "z"), discoverer("two", "y", "z"), "CNI type 'z'", lambda r: r.discoverer("z")),
        (discoverer("one", "x", "z"), discoverer("two", "y", "z"), "CNI type 'z'", lambda r: r.discoverer("y")),
        (renderer("same", "x"), renderer("same", "y"), "renderer 'same'", lambda r: r.renderers.require("same")),
        (renderer("one", "z"), renderer("two", "z"), "dialect 'z'", lambda r: r.renderer("z")),
        (
            policy_kind("one", "Z", "x"),
            policy_kind("two", "Z", "y", group="c.d"),
            "API kind 'Z'",
            lambda r: r.policy_kinds.require("one"),
        ),
        (
            policy_kind("one", "X", "z"),
            policy_kind("two", "Y", "z"),
            "API resource 'z.a.b'",
            lambda r: r.policy_kinds.require("two"),
        ),
    ],
)
def test_name_with_two_claims_belongs_to_neither(site, left, right, claim, lookup):
    site.install("mnp-left", left)
    site.install("mnp-right", right, version="2.0")
    registry = site.load()
    for name in ("left", "right"):
        status = site.status(registry, name)
        assert status.state is State.CONFLICT
        assert f"{claim} is claimed by {BOTH}" in status.detail
        assert status.provides == (f"command {name}",), "what nobody else claims stays"
    with pytest.raises(PluginError, match=f"{claim} is claimed by {BOTH}"):
        lookup(registry)
    assert site.status(registry, "healthy").state is State.LOADED
    assert registry.discoverer("healthy")


def test_contested_type_stays_the_kind_of_an_attachment_and_is_reported(site, attachment):
    """S64"""
    site.install("mnp-left", discoverer("one", "z"))
    site.install("mnp-right", discoverer("two", "z"), version="2.0")
    registry = site.load()
    assert "z" in registry.claimed_types
    assert BOTH in registry.make_discoverers()["z"].discover(attachment, ()).unenforceable
    assert not {"one", "two"} & set(registry.discoverers)


def test_disabling_one_of_two_ends_the_conflict(site):
    site.install("mnp-left", renderer("one", "z"))
    site.install("mnp-right", renderer("two", "z"))
    registry = site.load("right")
    assert site.status(registry, "left").state is State.LOADED
    assert registry.renderer("z")


def test_one_entry_point_name_in_two_distributions_loads_neither(site):
    source = "raise AssertionError('imported')"
    site.install("mnp-left", source, entry_points="[mnp]\nsame = mnp_left\n")
    site.install("mnp-right", source, entry_points="[mnp]\nsame = mnp_right\n", version="2.0")
    registry = site.load()
    both = [status for status in registry.statuses if status.name == "same"]
    assert [status.state for status in both] == [State.CONFLICT, State.CONFLICT]
    assert all(f"plugin 'same' is claimed by {BOTH}" in status.detail for status in both)
    assert site.status(site.load("mnp-right"), "healthy").state is State.LOADED


def test_one_module_in_two_distributions_loads_neither(site):
    site.install("mnp-left", "raise AssertionError('imported')")
    site.install("mnp-right", "", entry_points="[mnp]\nright = mnp_left\n", version="2.0")
    registry = site.load()
    for name in ("left", "right"):
        assert site.status(registry, name).state is State.CONFLICT
        assert f"module 'mnp_left' is claimed by {BOTH}" in site.status(registry, name).detail


def test_distribution_found_twice_counts_once(site, tmp_path, monkeypatch):
    shutil.copytree(site.folder, tmp_path / "again")
    monkeypatch.syspath_prepend(str(tmp_path / "again"))
    registry = site.load()
    assert site.status(registry, "healthy").state is State.LOADED


def test_the_distribution_that_is_found_first_counts(site, tmp_path, monkeypatch):
    """An import finds the modules of the first one too."""
    shutil.copytree(site.folder, tmp_path / "newer")
    (tmp_path / "newer" / "mnp_healthy-1.0.dist-info" / "entry_points.txt").unlink()
    monkeypatch.syspath_prepend(str(tmp_path / "newer"))
    assert "healthy" not in {status.name for status in site.load().statuses}
