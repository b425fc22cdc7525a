"""Lookups on a host mounted below a directory never leave that directory."""

import pytest

from mnp_core.errors import SandboxNotFoundError
from mnp_core.sandbox.host import HostFilesystem


@pytest.fixture
def host(tmp_path):
    (tmp_path / "run" / "netns").mkdir(parents=True)
    (tmp_path / "run" / "netns" / "x").touch()
    (tmp_path / "var").mkdir()
    links = {
        "var/run": "/run",
        "var/lock": "../run",
        "run/deep": "/var/run/netns/../netns",
        "escape": "../../../../run/netns/x",
        "out": "/../../run",
        "round": "/round",
        "far": "far/../far",
        "magic": "net:[4026531840]",
        "gone": "/nothing/here",
    }
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    return HostFilesystem(str(tmp_path))


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/run/netns/x", "/run/netns/x"),
        ("/var/run/netns/x", "/run/netns/x"),
        ("/var/lock/netns/x", "/run/netns/x"),
        ("/run/deep/x", "/run/netns/x"),
        ("//run/./netns//x", "/run/netns/x"),
        ("/../../run/netns/x", "/run/netns/x"),
        ("/run/../../../run/netns/x", "/run/netns/x"),
        ("/escape", "/run/netns/x"),
        ("/out/netns/x", "/run/netns/x"),
        ("/gone/x", "/nothing/here/x"),
        ("/nothing/at/all", "/nothing/at/all"),
        ("/magic", "/magic"),
        ("/run/\0", "/run/\0"),
        ("/", "/"),
        ("", "/"),
    ],
)
def test_a_path_leads_where_it_leads_on_the_host(host, path, leads_to):
    assert host.path(path) == f"{host.prefix}{leads_to}"


@pytest.mark.parametrize("path", ["/round", "/far/x"])
def test_links_that_lead_round_in_a_circle_end(host, path):
    with pytest.raises(SandboxNotFoundError, match="too many symbolic links"):
        host.path(path)


@pytest.mark.parametrize("path", ["/var/run/netns/x", "relative", "/a/../b"])
def test_without_a_prefix_a_path_is_left_to_the_kernel(path):
    assert HostFilesystem().path(path) == path
